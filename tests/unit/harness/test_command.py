"""`make test-env`: what is tested, how pytest is started, and how the run ends."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from gpuenv.core import paths, signals
from gpuenv.core.errors import CheckError, UsageError
from gpuenv.core.settings import Settings
from gpuenv.engine.model import Engine
from gpuenv.harness import command as harness
from gpuenv.harness.report import table
from gpuenv.harness.report.model import Outcome, Report
from gpuenv.harness.targets import listing
from gpuenv.harness.targets.model import Plan, Target
from gpuenv.host.gpu import HostGpus

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
        (0, [PASSED, SKIPPED], 0),
        (1, [PASSED, FAILED], 8),
        # pytest could not finish (interrupted, a broken conftest): whatever is there proves nothing.
        (2, [PASSED], 8),
        (4, [], 8),
        # Nothing was tested: never green.
        (0, [SKIPPED], 8),
        (0, [], 8),
        # pytest calls a skip without "not tested" a success; the results do not.
        (0, [PASSED, FAILED], 8),
    ],
)
def test_exit_code(
    code: int, outcomes: list[Outcome], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paths, "reports_dir", lambda: tmp_path / "reports")
    monkeypatch.setattr(harness, "check_host", lambda: None)
    monkeypatch.setattr(harness, "run_unit_tests", lambda _: None)
    monkeypatch.setattr(harness, "find_engine", lambda _: ENGINE)
    monkeypatch.setattr(harness, "plan", lambda *_: PLAN)
    monkeypatch.setattr(harness, "execute", lambda *_: Report(PLAN, outcomes, exit_code=code))
    assert harness.run(Settings()) == expected


def test_a_required_gpu_needs_a_gpu_target(monkeypatch: pytest.MonkeyPatch) -> None:
    def plan_of(*targets: Target, require_gpu: bool | None) -> Plan:
        monkeypatch.setattr(listing, "list_images", lambda *_: targets)
        return harness.plan(Settings(require_gpu=require_gpu), ENGINE, DRIVER)

    assert len(plan_of(CPU, GPU, require_gpu=True).targets) == 2
    assert len(plan_of(CPU, require_gpu=None).targets) == 1
    with pytest.raises(CheckError, match="no gpu target") as caught:
        plan_of(CPU, require_gpu=True)
    assert "FLAVOR=gpu" in caught.value.next_step


def test_a_required_gpu_needs_a_driver_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpuenv.host.gpu.host_gpus", lambda: NO_DRIVER)
    monkeypatch.setattr(harness, "run_unit_tests", lambda _: pytest.fail("it went on"))
    with pytest.raises(CheckError, match="no NVIDIA driver on this host"):
        harness.run(Settings(require_gpu=True))


def test_one_target_stays_in_one_process() -> None:
    argv = harness.pytest_argv(Path("p"), Path("r"), Path("j.xml"), jobs=2)
    assert argv[-2:] == ["-n", "2"]
    assert "-n" not in harness.pytest_argv(Path("p"), Path("r"), Path("j.xml"), jobs=1)


def test_broken_unit_tests_stop_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "reports_dir", lambda: tmp_path)
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


@pytest.mark.parametrize("name", ["PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTHONPATH",
                                  "PYTHONOPTIMIZE", "PYTHONINSPECT", "PYTEST_XDIST_AUTO_NUM_WORKERS"])  # fmt: skip
def test_what_python_and_pytest_would_read_stays_outside(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clean = harness.pytest_environment(None)
    assert clean["PATH"] == os.environ["PATH"]
    monkeypatch.setenv(name, "1")
    assert harness.pytest_environment(None) == clean


def test_options_for_pytest_are_refused_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "run_unit_tests", lambda _: pytest.fail("it went on"))
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k nothing")
    with pytest.raises(UsageError, match="PYTEST_ADDOPTS is set") as caught:
        harness.run(Settings())
    assert "'-k nothing'" in caught.value.why
    assert "unset PYTEST_ADDOPTS" in caught.value.next_step
    monkeypatch.setenv("PYTEST_ADDOPTS", " ")
    harness.refuse_options()


def test_nothing_that_lies_around_changes_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module beside the tests, a pytest.ini and a conftest.py above them, a plugin in the environment."""
    root = tmp_path / "root"
    inner = root / "tests" / "env"
    inner.mkdir(parents=True)
    (root / "pyproject.toml").write_text("[tool.pytest.ini_options]\nmarkers = ['ours']\n")
    (inner / "test_it.py").write_text(
        "def test_it(pytestconfig):\n    assert pytestconfig.getini('markers')[0] == 'ours'\n"
    )
    for folder in (tmp_path, root, root / "tests"):
        (folder / "conftest.py").write_text("collect_ignore_glob = ['*']\n")
        (folder / "random.py").write_text("raise SystemExit('the wrong module')\n")
        (folder / "pytest.ini").write_text("[pytest]\naddopts = -k nothing\n")
    monkeypatch.setattr(paths, "project_root", lambda: root)
    monkeypatch.setenv("PYTEST_PLUGINS", "nosuch")
    monkeypatch.setenv("PYTHONPATH", str(root))
    argv = [*harness.pytest_on(inner), "-n", "1"]
    done = subprocess.run(
        argv,
        cwd=harness.tests_dir("env"),
        env=harness.pytest_environment(None),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@pytest.mark.parametrize("expected", [None, True, False])
def test_plan_says_what_is_required(expected: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpuenv.harness.targets.listing.list_images", lambda *_: (CPU,))
    monkeypatch.setattr("gpuenv.harness.targets.listing.list_prefixes", lambda _: ())
    if expected:
        with pytest.raises(CheckError, match="no gpu target"):
            harness.plan(Settings(require_gpu=expected), ENGINE, DRIVER)
    monkeypatch.setattr("gpuenv.harness.targets.listing.list_images", lambda *_: (CPU, GPU))
    plan = harness.plan(Settings(require_gpu=expected), ENGINE, DRIVER)
    assert (plan.require_gpu, plan.host_driver) == (expected, "450.1")
    assert plan.targets == tuple(dataclasses.replace(one, driver="450.1") for one in (CPU, GPU))
    assert plan.engine is not None
    assert plan.engine.url == ENGINE.url
    assert harness.plan(Settings(), None, NO_DRIVER).engine is None


def test_output_of_pytest_goes_to_the_log_under_a_live_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    argv = [sys.executable, "-c", "import sys; print('out', flush=True); print('err', file=sys.stderr); sys.exit(3)"]
    monkeypatch.setattr(table, "watch", lambda process, *_: process.wait())
    log = tmp_path / "pytest.log"
    assert harness.run_pytest(argv, Report(PLAN), tmp_path / "r", log) == 3
    assert log.read_text() == "out\nerr\n"
    assert capfd.readouterr().out == ""
    assert harness.run_pytest(argv, Report(PLAN), tmp_path / "r", None) == 3
    assert capfd.readouterr().out == "out\n"


def test_nothing_goes_on_when_the_table_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[subprocess.Popen[bytes]] = []

    def fail(process: subprocess.Popen[bytes], *_: object) -> int:
        seen.append(process)
        raise ZeroDivisionError

    monkeypatch.setattr(table, "watch", fail)
    argv = [sys.executable, "-c", "import time; time.sleep(60)"]
    with pytest.raises(ZeroDivisionError):
        harness.run_pytest(argv, Report(PLAN), tmp_path / "r", tmp_path / "pytest.log")
    assert seen[0].wait(timeout=10) < 0


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux ends it")
@pytest.mark.timeout(30)
def test_pytest_does_not_outlive_a_killed_command(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from gpuenv.harness import command\n"
        "from gpuenv.harness.report.model import Report; from gpuenv.harness.targets.model import Plan\n"
        "argv = [sys.executable, '-c', 'import sys; print(1, flush=True); sys.stdin.read()']\n"
        f"command.run_pytest(argv, Report(Plan('r', ())), Path({str(tmp_path)!r}), None)\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe) as process:
        assert process.stdout
        assert process.stdout.readline() == b"1\n"
        process.kill()
        assert process.stdout.read() == b"", "at its end the last who could write is gone"


def test_the_last_line_is_the_verdict_whatever_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("gpuenv.harness.report.files.render_page", fail)
    monkeypatch.setattr("gpuenv.harness.report.files.render_data", fail)
    failed = dataclasses.replace(FAILED, check="training/xor", what="no", why="a", next_step="b")
    plan = dataclasses.replace(PLAN, left_out="flavor cpu (x)")
    harness.report(Report(plan, [PASSED, failed], {}, 0.0, 1.0, 1), tmp_path, tmp_path / "pytest.log")
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
    plans = [harness.plan(Settings(hosts="x", jobs=jobs), ENGINE, DRIVER) for jobs in (None, 1, 2, 3, 8)]
    assert [plan.at_a_time for plan in plans] == [8, 1, 2, 3, 8]
    # Two targets are on this machine, however many run at a time.
    assert [plan.cores for plan in plans] == [4, 8, 4, 4, 4]
    away = harness.plan(Settings(hosts="x", jobs=8), None, DRIVER)
    assert (away.at_a_time, away.cores, away.left_out) == (8, 8, "")
    assert harness.plan(Settings(), ENGINE, DRIVER).at_a_time == 1
