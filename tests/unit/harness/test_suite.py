"""The checks' own machinery (tests/env), in a pytest of its own."""

from __future__ import annotations

import dataclasses
import platform
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from gpuenv.core import paths
from gpuenv.harness import command as harness
from gpuenv.harness.report.model import Outcome, Report
from gpuenv.harness.targets.model import Plan, Target, save_plan

CPU = Target("cuda10.0-cpu", "image", "cuda10.0", "cpu", image="sha256:1")
GPU = Target("cuda10.0-gpu", "image", "cuda10.0", "gpu", "complete", image="sha256:2")
#: Targets that are this Python; one's name is how the other's begins.
THIS_PYTHON = tuple(
    dataclasses.replace(CPU, identity=identity, kind="venv", prefix=sys.prefix) for identity in ("v/1", "v/1-simulated")
)
SOME_CHECKS = (
    "-k",
    "(test_python or test_target_is) and not cuda10.0-gpu or test_gpu",
    "--ignore-glob=*/test_imports.py",
)


@dataclasses.dataclass(frozen=True)
class Run:
    """A pytest that has ended, what it printed, the folder with its results, and what they say."""

    code: int
    text: str
    folder: Path
    found: Report

    @property
    def outcomes(self) -> list[Outcome]:
        return self.found.outcomes


def run_checks(folder: Path, plan: Plan, *options: str, jobs: int = 1) -> Run:
    save_plan(plan, folder / "plan.json")
    argv = harness.pytest_argv(folder / "plan.json", folder / "results.jsonl", folder / "junit.xml", jobs)
    done = subprocess.run([*argv, *options], capture_output=True, text=True, check=False)
    found = Report(plan).update(folder / "results.jsonl")
    assert found.unreadable == 0
    return Run(done.returncode, done.stdout, folder, found)


# A pytest takes most of a second to start: one of each kind is judged by several tests.


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two targets that are missing, one without its GPU, two that are this Python."""
    missing = dataclasses.replace(GPU, identity="none-gpu", missing="no source answers")
    required = dataclasses.replace(CPU, missing="it broke", is_required=True)
    plan = Plan("r", (missing, required, *THIS_PYTHON, GPU))
    return run_checks(tmp_path_factory.mktemp("run"), plan, *SOME_CHECKS)


@pytest.fixture(scope="module")
def parallel(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two targets that are this Python, and one without the GPU that it must have, in two processes."""
    plan = Plan("r", (*THIS_PYTHON, GPU), require_gpu=True)
    return run_checks(tmp_path_factory.mktemp("run"), plan, *SOME_CHECKS, "-vv", jobs=2)


def test_missing_targets_are_not_tested_or_failures(run: Run) -> None:
    assert [(one.target, one.outcome, one.reason) for one in run.outcomes[:2]] == [
        ("none-gpu", "skipped", "no source answers"),
        ("cuda10.0-cpu", "failed", ""),
    ]
    failed = run.outcomes[1]
    assert (failed.what, failed.why) == ("cuda10.0-cpu was asked for and is not there", "it broke")
    assert failed.next_step
    # Skipped are one of them and the checks of the GPU.
    skipped = sum(one.outcome == "skipped" for one in run.outcomes)
    assert f"\n3 failed, 2 passed, {skipped} skipped" in run.text
    names = {case.get("name") for case in ET.parse(run.folder / "junit.xml").iter("testcase")}
    assert {"test_target_is_there[none-gpu]", "test_target_is_there[cuda10.0-cpu]"} <= names


def test_what_programs_find_is_handed_over(run: Run) -> None:
    check_findings(run)


def test_gpu_checks_are_not_tested_without_a_driver(run: Run) -> None:
    outcomes = [one for one in run.outcomes if one.group == "gpu"]
    # A cpu target has none at all.
    assert {(one.target, one.group, one.outcome, one.reason) for one in outcomes} == {
        ("cuda10.0-gpu", "gpu", "skipped", "no NVIDIA driver on this host")
    }
    assert Report(Plan("r", (CPU, GPU)), outcomes, exit_code=0).status == "nothing tested"


def test_a_required_gpu_fails_in_one_readable_line(parallel: Run) -> None:
    assert parallel.code == 1
    failed = [one for one in parallel.outcomes if one.outcome == "failed" and one.target == GPU.identity]
    assert [one.check for one in failed] == ["gpu/promised"]
    assert failed[0].what == "no GPU: REQUIRE_GPU=1, but there is no NVIDIA driver on this host"
    assert "Traceback" not in parallel.text


def test_checks_without_a_plan_say_what_to_run() -> None:
    command = [sys.executable, "-m", "pytest", str(paths.project_root() / "tests" / "env")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "make test-env" in done.stderr


def test_every_check_has_an_id_and_ids_are_unique(tmp_path: Path) -> None:
    plan = Plan("r", (CPU, GPU, dataclasses.replace(CPU, identity="v", kind="venv", prefix="/v")))
    collected = run_checks(tmp_path, plan, "--collect-only")
    assert (collected.code, collected.outcomes) == (0, []), collected.text
    ids = [line for line in collected.text.splitlines() if "::" in line]
    assert len(ids) == len(set(ids)) > 100
    # Cpu targets have no checks of GPUs.
    assert {f"[{GPU.identity}" in line for line in ids if "/test_gpu.py::" in line} == {True}
    # Target by target: no container is started twice, none waits.
    order = [next(one.identity for one in plan.targets if f"[{one.identity}" in line) for line in ids]
    assert [name for name, before in zip(order, ["", *order]) if name != before] == [t.identity for t in plan.targets]


def test_in_parallel_each_target_stays_in_one_process(parallel: Run) -> None:
    workers: dict[str, set[str]] = {}
    for line in parallel.text.splitlines():
        found = re.match(r"\[(gw\d)\].*::\S+\[(v/1(?:-simulated)?|cuda10.0-gpu)\]", line)
        if found:
            workers.setdefault(found[2], set()).add(found[1])
    assert {name: len(found) for name, found in workers.items()} == {"v/1": 1, "v/1-simulated": 1, "cuda10.0-gpu": 1}
    assert len(set.union(*workers.values())) == 2
    assert {one.target for one in parallel.outcomes} == set(workers)
    check_findings(parallel)


def check_findings(run: Run) -> None:
    # This Python is no TensorFlow environment: the check fails, and what the program found is there all the same.
    assert run.code == 1
    assert {identity: set(names) for identity, names in run.found.findings.items()} == {
        "v/1": {"facts"}, "v/1-simulated": {"facts"},
    }  # fmt: skip
    assert run.found.findings["v/1"]["facts"]["python"] == platform.python_version()
    expected = run.found.expected
    # Of what the plan wants, the options of this test left out most: that is no run that passes.
    assert expected["v/1"] == expected["v/1-simulated"]
    assert expected["v/1"]["training"] > 10
    ended = dataclasses.replace(run.found, exit_code=0)
    assert ended.counts.never_ran == sum(sum(groups.values()) for groups in expected.values()) - len(run.outcomes) > 50
    assert "deselected" in ended.shortfall
