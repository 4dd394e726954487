from __future__ import annotations

import dataclasses
import os
import platform
import re
import subprocess
import sys
import types
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from gpuenv.core import signals
from gpuenv.core.errors import BuildError, CheckError, HostError, UsageError
from gpuenv.core.settings import Settings
from gpuenv.engine.model import Engine
from gpuenv.harness import command as harness
from gpuenv.harness.report import live
from gpuenv.harness.report import model as report
from gpuenv.harness.report.model import Outcome, Report
from gpuenv.harness.targets import handover, listing
from gpuenv.harness.targets.model import Plan, Target, save_plan
from gpuenv.host.gpu import HostGpus
from gpuenv.images.plan import Planned
from gpuenv.prefix import choice as prefix_choice
from gpuenv.variants import model as variants
from gpuenv.variants.cuda_lock import CudaLock
from gpuenv.variants.environment import Environment

ENGINE = Engine("docker", "unix:///run/x.sock", "it answers")
CPU = Target("cuda10.0-cpu", "image", "cuda10.0", "cpu", image="sha256:1")
GPU = Target("cuda10.0-gpu", "image", "cuda10.0", "gpu", "genuine", image="sha256:2")
PLAN = Plan("r", (CPU, GPU))
NO_DRIVER, DRIVER = HostGpus(None), HostGpus("450.1")
PASSED = Outcome("training/xor", "cuda10.0-cpu", "training", "passed", "", "", "n", 1.0, 1.0)
FAILED = dataclasses.replace(PASSED, outcome="failed")
SKIPPED = dataclasses.replace(PASSED, outcome="skipped", why="not tested: x")


@pytest.mark.parametrize(
    ("code", "outcomes", "expected"),
    [
        (0, (PASSED, SKIPPED), 0),
        (1, (PASSED, FAILED), 8),
        # pytest could not finish (interrupted, a broken conftest): whatever is there proves nothing.
        (2, (PASSED,), 8),
        (4, (), 8),
        # Nothing was tested: never green.
        (0, (SKIPPED,), 8),
        (0, (), 8),
        # pytest calls a skip without "not tested" a success; the results do not.
        (0, (PASSED, FAILED), 8),
    ],
)
def test_exit_code(code: int, outcomes: tuple[Outcome, ...], expected: int) -> None:
    assert harness.verdict(code, outcomes) == expected


def test_a_required_gpu_needs_a_gpu_target() -> None:
    harness.refuse_gpu_without_target(Plan("r", (CPU, GPU), require_gpu=True))
    harness.refuse_gpu_without_target(Plan("r", (CPU,), require_gpu=None))
    with pytest.raises(CheckError, match="no gpu target") as caught:
        harness.refuse_gpu_without_target(Plan("r", (CPU,), require_gpu=True))
    assert "FLAVOR=gpu" in caught.value.next_step


def test_one_target_stays_in_one_process() -> None:
    argv = harness.pytest_argv(Path("p"), Path("r"), Path("j.xml"), jobs=2)
    assert argv[-2:] == ["-n", "2"]
    assert "-n" not in harness.pytest_argv(Path("p"), Path("r"), Path("j.xml"), jobs=1)


def test_broken_unit_tests_stop_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "run", lambda *_a, **_k: types.SimpleNamespace(returncode=1))
    monkeypatch.setattr(harness, "find_engine", lambda _: pytest.fail("it went on"))
    with pytest.raises(CheckError, match="unit tests fail"):
        harness.run(Settings())


def test_client_is_pointed_at_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = ["/opt/x/docker", "build"], {"DOCKER_HOST": "unix:///run/x.sock", "DOCKER_BUILDKIT": "1", "SECRET": "1"}
    monkeypatch.setattr(Engine, "build_prefix", lambda _: prefix)
    monkeypatch.setenv("PATH", "/bin")
    environment = harness.pytest_environment(ENGINE)
    assert environment["DOCKER_HOST"] == "unix:///run/x.sock"
    assert environment["PATH"] == "/opt/x:/bin"
    assert "SECRET" not in environment
    assert harness.pytest_environment(None) == dict(os.environ)


@pytest.mark.parametrize("expected", [None, True, False])
def test_plan_says_what_is_required(expected: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpuenv.harness.targets.listing.list_images", lambda *_: (CPU,))
    monkeypatch.setattr("gpuenv.harness.targets.listing.list_prefixes", lambda _: ())
    if expected:
        with pytest.raises(CheckError, match="no gpu target"):
            harness.plan(Settings(require_gpu=expected), ENGINE, DRIVER)
    monkeypatch.setattr("gpuenv.harness.targets.listing.list_images", lambda *_: (CPU, GPU))
    plan = harness.plan(Settings(require_gpu=expected), ENGINE, DRIVER)
    assert (plan.require_gpu, plan.host_driver, plan.targets) == (expected, "450.1", (CPU, GPU))
    assert plan.engine is not None
    assert plan.engine["url"] == ENGINE.url
    assert harness.plan(Settings(), None, NO_DRIVER).engine is None


# --- which targets -----------------------------------------------------------------------------


def plan_of(flavor: str, *, simulated: bool = False, reason: str | None = None) -> Planned:
    lock = CudaLock((), Path("cuda.lock.toml"), simulated)
    return Planned(Environment(variants.find_variant("cuda10.0"), flavor, lock if flavor == "gpu" else None), reason)


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[Planned]:
    """What `gpuenv.images.plan.plan` answers."""
    answers: list[Planned] = []
    monkeypatch.setattr("gpuenv.images.plan.plan", lambda *_: answers)
    return answers


def test_images_that_exist_and_do_not(planned: list[Planned], monkeypatch: pytest.MonkeyPatch) -> None:
    built = types.SimpleNamespace(id="sha256:1")
    monkeypatch.setattr("gpuenv.images.image.ensure_image", lambda *_a, **_k: built)
    planned += [plan_of("cpu"), plan_of("gpu", simulated=True), plan_of("gpu", reason="no source answers")]
    cpu, simulated, missing = listing.list_images(Settings(flavor="all"), ENGINE, NO_DRIVER)
    assert (cpu.identity, cpu.image, cpu.cuda) == ("cuda10.0-cpu", "sha256:1", "none")
    assert (simulated.identity, simulated.cuda) == ("cuda10.0-gpu-simulated", "simulated")
    assert (missing.missing, missing.is_required) == ("no source answers", False)


@pytest.mark.parametrize(
    ("flavor", "host", "expected", "left_out"),
    [
        (None, NO_DRIVER, {"cpu"}, "flavor gpu (this machine has no NVIDIA driver; FLAVOR=all tests both)"),
        (None, DRIVER, {"gpu"}, "flavor cpu (FLAVOR=all tests both)"),
        ("gpu", NO_DRIVER, {"gpu"}, "flavor cpu (FLAVOR=all tests both)"),
        ("all", NO_DRIVER, {"gpu", "cpu"}, ""),
    ],
)
def test_the_flavor_that_this_machine_uses_is_tested(
    flavor: str | None, host: HostGpus, expected: set[str], left_out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for what was not asked for, and one line says what that is."""
    monkeypatch.setattr("gpuenv.cuda.choice.load", lambda *_: CudaLock(simulated=True, components=(), path=Path("x")))
    monkeypatch.setattr("gpuenv.images.image.find_image", lambda *_: True)
    monkeypatch.setattr("gpuenv.images.image.ensure_image", lambda *_: types.SimpleNamespace(id="sha256:1"))
    plan = harness.plan(Settings(flavor=flavor), ENGINE, host)
    assert {target.flavor for target in plan.targets} == expected
    assert {target.variant for target in plan.targets} == set(variants.list_names())
    assert plan.left_out == left_out


def test_both_flavors_without_an_engine(prefixes_made: list[tuple[str, str, str]]) -> None:
    listing.list_prefixes(Settings(target="venv", flavor="all", variant="cuda9.0"))
    assert prefixes_made == [("venv", "cuda9.0", "gpu"), ("venv", "cuda9.0", "cpu")]
    with pytest.raises(UsageError, match="PREFIX="):
        listing.list_prefixes(Settings(target="venv", flavor="all", variant="cuda9.0", prefix=Path("/x")))


def test_an_image_asked_for_by_name_has_to_be_there(planned: list[Planned]) -> None:
    planned += [plan_of("gpu", reason="no source answers")]
    (missing,) = listing.list_images(Settings(flavor="gpu"), ENGINE, NO_DRIVER)
    assert missing.is_required


def test_a_build_that_fails_is_a_failure_of_that_target(
    planned: list[Planned], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object, **_keywords: object) -> None:
        raise BuildError("it broke", "a wheel is corrupt", "try again")

    monkeypatch.setattr("gpuenv.images.image.ensure_image", fail)
    planned += [plan_of("cpu")]
    (target,) = listing.list_images(Settings(flavor="all"), ENGINE, NO_DRIVER)
    assert (target.missing, target.is_required) == ("it broke: a wheel is corrupt", True)


@pytest.fixture
def prefixes_made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """Environments that are made at once: what was asked for, as (kind, variant, flavor)."""
    asked: list[tuple[str, str, str]] = []

    def make(kind: str, environment: Environment, _settings: object) -> prefix_choice.Made:
        name, flavor = environment.variant.name, environment.flavor
        asked.append((kind, name, flavor))
        return prefix_choice.Made(kind, flavor, Path("/v") / name, "none" if flavor == "cpu" else "simulated")

    monkeypatch.setattr(prefix_choice, "make", make)
    monkeypatch.setattr("gpuenv.host.pythons.find_python", lambda *_: object())
    return asked


def test_virtual_environments(prefixes_made: list[tuple[str, str, str]]) -> None:
    found = listing.list_prefixes(Settings(target="venv"))
    assert sorted((one.identity, one.prefix) for one in found) == [
        ("cuda10.0-venv", "/v/cuda10.0"),
        ("cuda9.0-venv", "/v/cuda9.0"),
    ]
    (gpu,) = listing.list_prefixes(Settings(variant="cuda9.0", flavor="gpu", engine="venv"))
    assert (gpu.identity, gpu.kind, gpu.cuda) == ("cuda9.0-gpu-simulated-venv", "venv", "simulated")
    assert gpu.title == "cuda9.0-gpu (virtual environment) (simulated CUDA)"


def test_conda_environments(prefixes_made: list[tuple[str, str, str]]) -> None:
    (found,) = listing.list_prefixes(Settings(variant="cuda9.0", target="conda"))
    assert (found.identity, found.title) == ("cuda9.0-conda", "cuda9.0-cpu (conda environment)")
    assert prefixes_made == [("conda", "cuda9.0", "cpu")]


def test_one_folder_is_for_one_variant(prefixes_made: list[tuple[str, str, str]]) -> None:
    with pytest.raises(UsageError, match="PREFIX="):
        listing.list_prefixes(Settings(target="conda", prefix=Path("/somewhere")))
    assert prefixes_made == []


def test_a_host_without_python_for_a_virtual_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise HostError("no Python 3.6", "none was found", "install one")

    monkeypatch.setattr("gpuenv.prefix.virtual_env.ensure_venv", fail)
    (target,) = listing.list_prefixes(Settings(variant="cuda9.0", target="venv"))
    assert target.missing == "no Python 3.6: none was found"


# --- the checks' own machinery, in a pytest of its own ------------------------------------------------


def run_checks(folder: Path, plan: Plan, *options: str) -> tuple[int, str, tuple[Outcome, ...]]:
    """Run the checks on a plan; exit code, what was printed, and the results."""
    save_plan(plan, folder / "plan.json")
    argv = harness.pytest_argv(folder / "plan.json", folder / "results.jsonl", folder / "junit.xml", jobs=1)
    done = subprocess.run([*argv, *options], capture_output=True, text=True, check=False)
    results = folder / "results.jsonl"
    return done.returncode, done.stdout, report.parse_results(results.read_text()) if results.exists() else ()


def test_missing_targets_are_not_tested_or_failures(tmp_path: Path) -> None:
    missing = dataclasses.replace(GPU, missing="no source answers")
    required = dataclasses.replace(CPU, missing="it broke", is_required=True)
    code, text, outcomes = run_checks(tmp_path, Plan("r", (missing, required)))
    assert code == 1
    assert [(one.target, one.outcome, one.reason) for one in outcomes] == [
        ("cuda10.0-gpu", "skipped", "no source answers"),
        ("cuda10.0-cpu", "failed", ""),
    ]
    assert (outcomes[1].what, outcomes[1].why) == ("cuda10.0-cpu was asked for and is not there", "it broke")
    assert outcomes[1].next_step
    assert "1 failed, 1 skipped" in text
    names = {case.get("name") for case in ET.parse(tmp_path / "junit.xml").iter("testcase")}
    assert names == {"test_target_is_there[cuda10.0-gpu]", "test_target_is_there[cuda10.0-cpu]"}


def test_gpu_checks_are_not_tested_without_a_driver(tmp_path: Path) -> None:
    code, _, outcomes = run_checks(tmp_path, Plan("r", (GPU,)), "-k", "test_gpu")
    assert code == 0
    assert outcomes
    assert {(one.group, one.outcome, one.reason) for one in outcomes} == {
        ("gpu", "skipped", "no NVIDIA driver on this host")
    }
    assert harness.verdict(code, outcomes) != 0


def test_a_required_gpu_fails_in_one_readable_line(tmp_path: Path) -> None:
    code, text, outcomes = run_checks(tmp_path, Plan("r", (GPU,), require_gpu=True), "-k", "test_gpu")
    assert code == 1
    failed = [one for one in outcomes if one.outcome == "failed"]
    assert [one.check for one in failed] == ["gpu/promised"]
    assert failed[0].what == "no GPU: REQUIRE_GPU=1, but there is no NVIDIA driver on this host"
    assert "Traceback" not in text


def test_cpu_targets_have_no_gpu_checks(tmp_path: Path) -> None:
    code, _, outcomes = run_checks(tmp_path, Plan("r", (CPU,)), "-k", "test_gpu")
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


def test_what_programs_find_is_handed_over(tmp_path: Path) -> None:
    check_findings(run_on_this_python(tmp_path))


def test_in_parallel_each_target_stays_in_one_process(tmp_path: Path) -> None:
    run = run_on_this_python(tmp_path, "-n", "2", "-vv")
    workers: dict[str, set[str]] = {}
    for line in run[1].splitlines():
        found = re.match(r"\[(gw\d)\].*::\S+\[(v/1(-simulated)?)\]", line)
        if found:
            workers.setdefault(found[2], set()).add(found[1])
    assert {name: len(found) for name, found in workers.items()} == {"v/1": 1, "v/1-simulated": 1}
    assert len(set.union(*workers.values())) == 2
    assert {one.target for one in run[2]} == set(workers)
    check_findings(run)


def run_on_this_python(folder: Path, *options: str) -> tuple[int, str, tuple[Outcome, ...], Path]:
    """Two targets that are this Python; one name is how the other begins."""
    own = dataclasses.replace(CPU, identity="v/1", kind="venv", prefix=sys.prefix)
    plan = Plan("r", (own, dataclasses.replace(own, identity="v/1-simulated")))
    # More than one check each, or the targets need not stay together: these two are quick.
    return *run_checks(folder, plan, "-k", "test_python or test_target_is", *options), folder / "results.jsonl"


def check_findings(run: tuple[int, str, tuple[Outcome, ...], Path]) -> None:
    # This Python is no TensorFlow environment: the check fails, and what the program found is there all the same.
    code, _, _, results = run
    assert code == 1
    found = handover.load_findings(results)
    assert {identity: set(names) for identity, names in found.items()} == {
        "v/1": {"facts"}, "v/1-simulated": {"facts"},
    }  # fmt: skip
    assert found["v/1"]["facts"]["python"] == platform.python_version()
    groups = {"target": 1, "identity": 1}
    assert handover.load_expected(results) == {"v/1": groups, "v/1-simulated": groups}


# --- around pytest, and after it ------------------------------------------------------------------------


def test_output_of_pytest_goes_to_the_log_under_a_live_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    argv = [sys.executable, "-c", "import sys; print('out', flush=True); print('err', file=sys.stderr); sys.exit(3)"]
    monkeypatch.setattr(live, "watch", lambda process, *_: process.wait())
    log = tmp_path / "pytest.log"
    assert harness.run_pytest(argv, None, PLAN, tmp_path / "r", log) == 3
    assert log.read_text() == "out\nerr\n"
    assert capfd.readouterr().out == ""
    assert harness.run_pytest(argv, None, PLAN, tmp_path / "r", None) == 3
    assert capfd.readouterr().out == "out\n"


def test_nothing_goes_on_when_the_table_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[subprocess.Popen[bytes]] = []

    def fail(process: subprocess.Popen[bytes], *_: object) -> int:
        seen.append(process)
        raise ZeroDivisionError

    monkeypatch.setattr(live, "watch", fail)
    argv = [sys.executable, "-c", "import time; time.sleep(60)"]
    with pytest.raises(ZeroDivisionError):
        harness.run_pytest(argv, None, PLAN, tmp_path / "r", tmp_path / "pytest.log")
    assert seen[0].wait(timeout=10) < 0


def test_the_last_line_is_the_verdict_whatever_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("gpuenv.harness.report.page.save_page", fail)
    monkeypatch.setattr("gpuenv.harness.report.files.save_data", fail)
    failed = dataclasses.replace(FAILED, check="training/xor", what="no", why="a", next_step="b")
    plan = dataclasses.replace(PLAN, left_out="flavor cpu (x)")
    harness.report(Report(plan, (PASSED, failed), {}, 0.0, 1.0, 1), tmp_path, tmp_path / "pytest.log")
    lines = capsys.readouterr().err.splitlines()
    assert "FAILED training/xor on cuda10.0-cpu" in lines
    assert "cuda10.0-cpu failed first: training/xor: no" in lines
    assert f"gpuenv: the output of every failing command: {tmp_path / 'pytest.log'}" in lines
    assert "gpuenv: warning: report.html was not written: OSError: disk full" in lines
    assert lines[-2] == "gpuenv: not tested: flavor cpu (x)"
    assert lines[-1] == "gpuenv: 1 passed, 1 failed, 0 not tested"


def test_targets_at_a_time_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    host = dataclasses.replace(CPU, kind="host", host="ssh://lab1")
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(listing, "list_images", lambda *_: (CPU, GPU))
    monkeypatch.setattr("gpuenv.harness.targets.hosts.list_targets", lambda _: (host,) * 9)
    plans = [harness.plan(Settings(hosts="x"), ENGINE, DRIVER, jobs) for jobs in (None, 1, 2, 3, 8)]
    assert [plan.at_a_time for plan in plans] == [8, 1, 2, 3, 8]
    # Two targets are on this machine, however many run at a time.
    assert [plan.cores for plan in plans] == [4, 8, 4, 4, 4]
    away = harness.plan(Settings(hosts="x"), None, DRIVER, 8)
    assert (away.at_a_time, away.cores, away.left_out) == (8, 8, "")
    assert harness.plan(Settings(), ENGINE, DRIVER).at_a_time == 1
