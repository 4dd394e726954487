"""The checks' own machinery (tests/env), in a pytest of its own."""

from __future__ import annotations

import dataclasses
import platform
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from gpuenv.harness import command as harness
from gpuenv.harness.report.model import Outcome, Report
from gpuenv.harness.targets.model import Plan, Target, save_plan

CPU = Target("cuda10.0-cpu", "image", "cuda10.0", "cpu", image="sha256:1")
GPU = Target("cuda10.0-gpu", "image", "cuda10.0", "gpu", "genuine", image="sha256:2")


def run_checks(folder: Path, plan: Plan, *options: str) -> tuple[int, str, tuple[Outcome, ...]]:
    """Run the checks on a plan; exit code, what was printed, and the results."""
    save_plan(plan, folder / "plan.json")
    argv = harness.pytest_argv(folder / "plan.json", folder / "results.jsonl", folder / "junit.xml", jobs=1)
    done = subprocess.run([*argv, *options], capture_output=True, text=True, check=False)
    results = folder / "results.jsonl"
    return done.returncode, done.stdout, tuple(Report(plan).update(results).outcomes)


def test_missing_targets_are_not_tested_or_failures(tmp_path: Path) -> None:
    missing = dataclasses.replace(GPU, missing="no source answers")
    required = dataclasses.replace(CPU, missing="it broke", is_required=True)
    run = run_on_this_python(tmp_path, missing, required)
    assert [(one.target, one.outcome, one.reason) for one in run.outcomes[:2]] == [
        ("cuda10.0-gpu", "skipped", "no source answers"),
        ("cuda10.0-cpu", "failed", ""),
    ]
    failed = run.outcomes[1]
    assert (failed.what, failed.why) == ("cuda10.0-cpu was asked for and is not there", "it broke")
    assert failed.next_step
    assert "3 failed, 2 passed, 1 skipped" in run.text
    names = {case.get("name") for case in ET.parse(tmp_path / "junit.xml").iter("testcase")}
    assert {"test_target_is_there[cuda10.0-gpu]", "test_target_is_there[cuda10.0-cpu]"} <= names
    # Beside them, what programs find is handed over.
    check_findings(run)


def test_gpu_checks_are_not_tested_without_a_driver(tmp_path: Path) -> None:
    code, _, outcomes = run_checks(tmp_path, Plan("r", (CPU, GPU)), "-k", "test_gpu")
    assert code == 0
    # A cpu target has none at all.
    assert {(one.target, one.group, one.outcome, one.reason) for one in outcomes} == {
        ("cuda10.0-gpu", "gpu", "skipped", "no NVIDIA driver on this host")
    }
    assert Report(Plan("r", (CPU, GPU)), list(outcomes), exit_code=code).status == "nothing tested"


def test_a_required_gpu_fails_in_one_readable_line(tmp_path: Path) -> None:
    code, text, outcomes = run_checks(tmp_path, Plan("r", (GPU,), require_gpu=True), "-k", "test_gpu")
    assert code == 1
    failed = [one for one in outcomes if one.outcome == "failed"]
    assert [one.check for one in failed] == ["gpu/promised"]
    assert failed[0].what == "no GPU: REQUIRE_GPU=1, but there is no NVIDIA driver on this host"
    assert "Traceback" not in text


def test_cpu_targets_have_no_gpu_checks(tmp_path: Path) -> None:
    code, _, outcomes = run_checks(tmp_path, Plan("r", (CPU,)), "-k", "test_gpu", "--collect-only")
    assert (code, outcomes) == (5, ())


def test_checks_without_a_plan_say_what_to_run() -> None:
    command = [sys.executable, "-m", "pytest", "tests/env"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "make test-env" in done.stderr


def test_every_check_has_an_id_and_ids_are_unique(tmp_path: Path) -> None:
    plan = Plan("r", (CPU, GPU, dataclasses.replace(CPU, identity="v", kind="venv", prefix="/v")))
    save_plan(plan, tmp_path / "plan.json")
    argv = harness.pytest_argv(tmp_path / "plan.json", tmp_path / "r", tmp_path / "j.xml", jobs=1)
    done = subprocess.run([*argv, "--collect-only"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    ids = [line for line in done.stdout.splitlines() if "::" in line]
    assert len(ids) == len(set(ids)) > 100
    # Target by target: no container is started twice, none waits.
    order = [next(one.identity for one in plan.targets if f"[{one.identity}" in line) for line in ids]
    assert [name for name, before in zip(order, ["", *order]) if name != before] == [t.identity for t in plan.targets]


def test_in_parallel_each_target_stays_in_one_process(tmp_path: Path) -> None:
    run = run_on_this_python(tmp_path, options=("-n", "2", "-vv"))
    workers: dict[str, set[str]] = {}
    for line in run.text.splitlines():
        found = re.match(r"\[(gw\d)\].*::\S+\[(v/1(-simulated)?)\]", line)
        if found:
            workers.setdefault(found[2], set()).add(found[1])
    assert {name: len(found) for name, found in workers.items()} == {"v/1": 1, "v/1-simulated": 1}
    assert len(set.union(*workers.values())) == 2
    assert {one.target for one in run.outcomes} == set(workers)
    check_findings(run)


@dataclasses.dataclass(frozen=True)
class Run:
    """A pytest that has ended, and the file of its results."""

    code: int
    text: str
    outcomes: tuple[Outcome, ...]
    results: Path


def run_on_this_python(folder: Path, *more: Target, options: tuple[str, ...] = ()) -> Run:
    """Two checks of targets that are this Python; one target's name is how the other's begins."""
    own = dataclasses.replace(CPU, identity="v/1", kind="venv", prefix=sys.prefix)
    plan = Plan("r", (*more, own, dataclasses.replace(own, identity="v/1-simulated")))
    return Run(*run_checks(folder, plan, "-k", "test_python or test_target_is", *options), folder / "results.jsonl")


def check_findings(run: Run) -> None:
    # This Python is no TensorFlow environment: the check fails, and what the program found is there all the same.
    assert run.code == 1
    found = Report(Plan("r", ())).update(run.results)
    assert {identity: set(names) for identity, names in found.findings.items()} == {
        "v/1": {"facts"}, "v/1-simulated": {"facts"},
    }  # fmt: skip
    assert found.findings["v/1"]["facts"]["python"] == platform.python_version()
    assert found.expected["v/1"] == found.expected["v/1-simulated"] == {"target": 1, "identity": 1}
