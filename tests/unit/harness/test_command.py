"""`make test-env`: what is tested, how pytest is started, and how the run ends."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpuenv.core import paths, processes, signals
from gpuenv.core.errors import CheckError, UsageError
from gpuenv.core.settings import Settings
from gpuenv.engine.model import Engine
from gpuenv.harness import command as harness
from gpuenv.harness.report import table
from gpuenv.harness.report.model import Outcome, Report
from gpuenv.harness.targets import listing
from gpuenv.harness.targets.model import Plan, Target, load_plan
from gpuenv.host.gpu import HostGpus

ENGINE = Engine("docker", "unix:///run/x.sock", "it answers")
CPU = Target("cuda10.0-cpu", "image", "cuda10.0", "cpu", image="sha256:1")
GPU = Target("cuda10.0-gpu", "image", "cuda10.0", "gpu", "complete", image="sha256:2")
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


def test_the_checks_are_started_with_what_they_need() -> None:
    """Every option: a plan, a place for results, a limit for each check, and no setting of a checkout's user."""
    root = Path(__file__).resolve().parents[3]
    argv = harness.pytest_argv(Path("/run/p"), Path("/run/r"), Path("/j.xml"), jobs=1)
    assert argv == [
        sys.executable, "-I", "-m", "pytest", f"{root}/tests/env", "-q", "-p", "no:cacheprovider",
        f"--config-file={root}/pyproject.toml", f"--confcutdir={root}/tests/env", "--tb=short",
        "--plan", "/run/p", "--results", "/run/r", "--timeout=3660", "--basetemp=/run/pytest",
        "--junit-xml=/j.xml", "-o", "junit_family=xunit1", "-o", "junit_suite_name=gpuenv",
    ]  # fmt: skip
    # Of several targets each stays in one process.
    assert harness.pytest_argv(Path("/run/p"), Path("/run/r"), Path("/j.xml"), jobs=2) == [*argv, "-n", "2"]


@pytest.mark.parametrize(("jobs", "workers"), [(None, "auto"), (3, "3")])
def test_the_unit_tests_are_started_on_the_cores(
    jobs: int | None, workers: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(__file__).resolve().parents[3]
    asked: list[tuple[list[str], dict[str, object]]] = []

    def run(argv: list[str], **options: object) -> types.SimpleNamespace:
        asked.append((argv, options))
        return types.SimpleNamespace(returncode=0)

    monkeypatch.setattr(signals, "run", run)
    monkeypatch.setattr(processes, "ending_with_parent", lambda number: ("ends with us, by", number))
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    harness.run_unit_tests(jobs)
    ((argv, options),) = asked
    assert argv == [
        sys.executable, "-I", "-m", "pytest", f"{root}/tests/unit", "-q", "-p", "no:cacheprovider",
        f"--config-file={root}/pyproject.toml", f"--confcutdir={root}/tests/unit",
        "-n", workers, "--maxprocesses", "8", "--dist", "worksteal",
    ]  # fmt: skip
    assert options["cwd"] == root / "tests" / "unit"
    assert options["preexec_fn"] == ("ends with us, by", signal.SIGTERM)
    assert "PYTHONPATH" not in dict(options["env"])  # type: ignore[call-overload]
    assert "unit tests" in capsys.readouterr().err


def test_an_installed_command_has_no_unit_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "is_checkout", lambda: False)
    monkeypatch.setattr(signals, "run", lambda *_a, **_k: pytest.fail("they were started"))
    harness.run_unit_tests(None)


ENGINE_TABLE = [
    (Settings(), True),
    (Settings(target="image"), True),
    (Settings(target="venv"), False),
    (Settings(target="conda"), False),
    (Settings(hosts="lab"), False),
    (Settings(hosts="lab", target="image"), True),
    (Settings(hosts="lab", target="venv"), False),
    (Settings(prefix=Path("/e")), False),
    (Settings(prefix=Path("/e"), target="image"), False),
]


@pytest.mark.parametrize(("settings", "needed"), ENGINE_TABLE)
def test_an_engine_is_needed_for_images_only(settings: Settings, *, needed: bool) -> None:
    assert harness.needs_engine(settings) is needed


def test_a_folder_and_an_engine_are_one_or_the_other() -> None:
    with pytest.raises(UsageError, match=r"ENGINE=docker has no folder PREFIX=/e"):
        harness.needs_engine(Settings(prefix=Path("/e"), engine="docker"))


@pytest.mark.parametrize(
    ("settings", "done"),
    [
        (Settings(engine="podman", jobs=3), ["processor", "unit 3", "engine podman", "plan on unix:///run/x.sock"]),
        (Settings(target="venv"), ["processor", "unit None", "plan on None"]),
        (Settings(hosts="lab"), ["unit None", "plan on None"]),
        (
            Settings(hosts="lab", target="image"),
            ["processor", "unit None", "engine None", "plan on unix:///run/x.sock"],
        ),
    ],
)
def test_what_a_run_does_in_its_order(
    settings: Settings, done: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def find_engine(name: str | None) -> Engine:
        seen.append(f"engine {name}")
        return ENGINE

    def plan(given: Settings, engine: Engine | None, host: HostGpus) -> Plan:
        assert (given, host) == (settings, DRIVER)
        seen.append(f"plan on {engine and engine.url}")
        return PLAN

    def execute(planned: Plan, reports: Path) -> Report:
        assert (planned, reports) == (PLAN, tmp_path / "reports")
        return Report(PLAN, [PASSED], exit_code=0)

    monkeypatch.setattr(paths, "reports_dir", lambda: tmp_path / "reports")
    monkeypatch.setattr("gpuenv.host.gpu.host_gpus", lambda: DRIVER)
    monkeypatch.setattr(harness, "check_host", lambda: seen.append("processor"))
    monkeypatch.setattr(harness, "run_unit_tests", lambda jobs: seen.append(f"unit {jobs}"))
    for name, function in (("find_engine", find_engine), ("plan", plan), ("execute", execute)):
        monkeypatch.setattr(harness, name, function)
    assert harness.run(settings) == 0
    assert seen == done


@pytest.mark.parametrize(
    ("settings", "host", "refused"),
    [
        (Settings(require_gpu=True), NO_DRIVER, True),
        (Settings(require_gpu=True), DRIVER, False),
        (Settings(require_gpu=False), NO_DRIVER, False),
        (Settings(), NO_DRIVER, False),
        (Settings(require_gpu=True, hosts="lab"), NO_DRIVER, False),
    ],
)
def test_who_is_refused_without_a_driver(
    settings: Settings, host: HostGpus, *, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("gpuenv.host.gpu.host_gpus", lambda: host)
    monkeypatch.setattr(paths, "reports_dir", lambda: tmp_path / "reports")
    monkeypatch.setattr(harness, "check_host", lambda: None)
    monkeypatch.setattr(harness, "run_unit_tests", stop)
    expected = pytest.raises(CheckError, match="no GPU: REQUIRE_GPU=1") if refused else pytest.raises(ZeroDivisionError)
    with expected:
        harness.run(settings)


@pytest.mark.parametrize("is_simulated", [True, False])
def test_only_gpu_targets_of_a_simulated_driver_say_so(is_simulated: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    card = "Tesla T4 (simulated)" if is_simulated else "Tesla T4"
    host = HostGpus("450.1", (card,), ("GPU-1",))
    monkeypatch.setattr(listing, "list_images", lambda *_: (CPU, GPU))
    plan = harness.plan(Settings(), ENGINE, host)
    assert [(one.flavor, one.has_simulated_driver) for one in plan.targets] == [("cpu", False), ("gpu", is_simulated)]


@pytest.mark.parametrize(
    ("settings", "engine", "listed"),
    [
        (Settings(), ENGINE, ["images"]),
        (Settings(), None, ["prefixes"]),
        (Settings(target="venv"), None, ["prefixes"]),
        (Settings(hosts="lab"), None, ["hosts"]),
        (Settings(hosts="lab", target="venv"), None, ["hosts", "prefixes"]),
        (Settings(hosts="lab", target="image"), ENGINE, ["hosts", "images"]),
    ],
)
def test_where_targets_come_from(
    settings: Settings, engine: Engine | None, listed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def lists(what: str, *expected: object) -> Callable[..., tuple[Target, ...]]:
        def list_(*given: object) -> tuple[Target, ...]:
            assert given == expected
            seen.append(what)
            return (CPU,)

        return list_

    monkeypatch.setattr(listing, "list_images", lists("images", settings, ENGINE, DRIVER))
    monkeypatch.setattr(listing, "list_prefixes", lists("prefixes", settings))
    monkeypatch.setattr("gpuenv.harness.targets.hosts.list_targets", lists("hosts", settings))
    plan = harness.plan(settings, engine, DRIVER)
    assert seen == listed
    assert len(plan.targets) == len(listed)
    # A run's own containers bear it as a label.
    assert re.fullmatch("[0-9a-f]{16}", plan.run)


def test_what_is_left_out_is_said_but_not_for_one_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "list_prefixes", lambda _: (CPU,))
    assert harness.plan(Settings(), None, DRIVER).left_out == "flavor gpu (FLAVOR=all tests both)"
    assert harness.plan(Settings(prefix=Path("/e")), None, DRIVER).left_out == ""


@pytest.mark.parametrize("is_live", [True, False])
@pytest.mark.parametrize("engine", [ENGINE, None])
def test_a_run_is_reported_whatever_ends_it(
    is_live: bool, engine: Engine | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    log = tmp_path / "pytest.log" if is_live else None
    planned = dataclasses.replace(PLAN, engine=engine, at_a_time=2)
    seen: list[Any] = []
    start = time.time()

    def run_pytest(argv: list[str], found: Report, results: Path, given: Path | None) -> int:
        folder = results.parent
        assert load_plan(folder / "plan.json").run == planned.run
        assert argv == harness.pytest_argv(folder / "plan.json", results, folder / "junit.xml", 2)
        assert (results.name, given) == ("results.jsonl", log)
        # What a killed one leaves there is removed by the next run.
        assert folder.parent == Path(tempfile.gettempdir())
        assert "-run-" in folder.name
        assert start <= found.began <= time.time()
        results.write_text("no JSON\n")
        seen.append(folder)
        if engine is None:
            raise KeyboardInterrupt
        return 1

    monkeypatch.setattr(table, "is_wanted", lambda: is_live)
    monkeypatch.setattr(harness, "run_pytest", run_pytest)
    monkeypatch.setattr(harness, "remove_leftovers", lambda *given: seen.append(given))
    monkeypatch.setattr(harness, "report", lambda *given: seen.append(given))
    found: Report
    reported: list[Any]
    if engine is None:
        with pytest.raises(KeyboardInterrupt):
            harness.execute(planned, tmp_path)
        folder, (found, *reported) = seen
        assert found.exit_code is None
    else:
        returned = harness.execute(planned, tmp_path)
        folder, removed, (found, *reported) = seen
        assert removed == (ENGINE, planned.run)
        assert returned is found
        assert found.exit_code == 1
    assert reported == [tmp_path, log]
    assert (found.plan, found.unreadable) == (planned, 1)
    assert found.began <= found.ended <= time.time()
    assert not folder.exists()
    assert "testing cuda10.0-cpu, cuda10.0-gpu" in capsys.readouterr().err


def test_without_targets_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(harness, "run_pytest", lambda *_: 5)
    harness.execute(Plan("r", ()), tmp_path)
    assert "no target can be tested" in capsys.readouterr().err


def test_broken_unit_tests_stop_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "reports_dir", lambda: tmp_path)
    monkeypatch.setattr(harness, "check_host", lambda: None)
    monkeypatch.setattr(signals, "run", lambda *_a, **_k: types.SimpleNamespace(returncode=1))
    monkeypatch.setattr(harness, "find_engine", lambda _: pytest.fail("it went on"))
    with pytest.raises(CheckError, match="unit tests fail"):
        harness.run(Settings())


def test_client_is_pointed_at_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"DOCKER_HOST": "unix:///run/x.sock", "DOCKER_BUILDKIT": "1", "CONTAINER_HOST": "unix:///y", "SECRET": "1"}
    prefix = ["/opt/x/docker", "build"], told
    monkeypatch.setattr(Engine, "build_prefix", lambda _: prefix)
    monkeypatch.setenv("PATH", "/bin")
    environment = harness.pytest_environment(ENGINE)
    assert environment["DOCKER_HOST"] == "unix:///run/x.sock"
    assert environment["CONTAINER_HOST"] == "unix:///y"
    assert environment["PATH"] == "/opt/x:/bin"
    assert "SECRET" not in environment


OF_PYTEST = ["PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTEST_XDIST_AUTO_NUM_WORKERS"]


@pytest.mark.parametrize("name", [*OF_PYTEST, "PYTHONPATH", "PYTHONOPTIMIZE", "PYTHONINSPECT", "PY_COLORS"])
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


@pytest.mark.parametrize("others", [{"hosts": "ssh://x"}, {"target": "venv"}, {"prefix": Path("/x")}])
def test_what_is_added_is_for_images(others: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "run_unit_tests", lambda _: pytest.fail("it went on"))
    (tmp_path / "requirements.txt").write_text("six\n")
    with pytest.raises(UsageError, match="is for images of this machine"):
        harness.run(Settings(add=tmp_path / "requirements.txt", **others))
    with pytest.raises(UsageError, match="cannot be used"):
        harness.run(Settings(add=tmp_path / "none.txt"))


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
    script = (
        "import os, sys; print(os.getcwd(), flush=True); print(os.environ['DOCKER_HOST'], file=sys.stderr); sys.exit(3)"
    )
    watched: list[object] = []

    def watch(process: subprocess.Popen[bytes], *given: object) -> int:
        watched.extend(given)
        return process.wait()

    monkeypatch.setattr(table, "watch", watch)
    # It runs in the process that becomes pytest.
    monkeypatch.setattr(
        processes, "ending_with_parent", lambda number: lambda: os.write(2, f"ends by {number}\n".encode())
    )
    monkeypatch.setattr(Engine, "build_prefix", lambda _: (["docker"], {"DOCKER_HOST": "unix:///x"}))
    log, found = tmp_path / "pytest.log", Report(dataclasses.replace(PLAN, engine=ENGINE))
    folder = Path(__file__).resolve().parents[2] / "env"
    assert harness.run_pytest([sys.executable, "-c", script], found, tmp_path / "r", log) == 3
    assert log.read_text() == f"ends by {int(signal.SIGTERM)}\n{folder}\nunix:///x\n"
    assert watched == [found, tmp_path / "r"]
    assert capfd.readouterr().out == ""
    assert harness.run_pytest([sys.executable, "-c", script], found, tmp_path / "r", None) == 3
    assert capfd.readouterr() == (f"{folder}\n", f"ends by {int(signal.SIGTERM)}\nunix:///x\n")
    assert len(watched) == 2


@pytest.mark.parametrize("number", [None, signal.SIGTERM])
def test_a_run_that_is_stopped_lets_pytest_remove_its_containers(
    number: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C reaches pytest from the terminal; what was sent to this process alone is passed on as one."""
    script = (
        "import pathlib, signal, sys\ntry:\n    print('on', flush=True)\n    signal.pause()\n"
        "except KeyboardInterrupt:\n    pathlib.Path(sys.argv[1]).touch()"
    )

    def stop(process: subprocess.Popen[bytes], *_: object) -> int:
        while not (tmp_path / "log").read_text():
            pass
        if number is None:
            process.send_signal(signal.SIGINT)
            raise KeyboardInterrupt
        raise signals.Ended(number)

    monkeypatch.setattr(table, "watch", stop)
    argv = [sys.executable, "-c", script, str(tmp_path / "tidied")]
    with pytest.raises(KeyboardInterrupt):
        harness.run_pytest(argv, Report(PLAN), tmp_path / "r", tmp_path / "log")
    assert (tmp_path / "tidied").exists()
    assert "stopping; containers of this run are being removed" in capsys.readouterr().err


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
    failed = dataclasses.replace(FAILED, check="training/xor", what="no " * 50, why="a", next_step="b")
    plan = dataclasses.replace(PLAN, left_out="flavor cpu (x)")
    harness.report(Report(plan, [PASSED, failed], {}, 0.0, 1.0, 1), tmp_path, tmp_path / "pytest.log")
    said = capsys.readouterr().err
    # Nothing stands between the table and the failures, and no line of them is broken.
    assert re.search(
        r"┘\nFAILED training/xor on cuda10\.0-cpu\n  (no ){50}\n  cause: a\n  next:  b\ngpuenv: the output", said
    ), said
    lines = said.splitlines()
    assert "FAILED training/xor on cuda10.0-cpu" in lines
    assert f"cuda10.0-cpu failed first: training/xor: {'no ' * 50}".rstrip() in [line.rstrip() for line in lines]
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
    monkeypatch.setattr("gpuenv.harness.targets.hosts.list_targets", lambda _: (host,))
    assert harness.plan(Settings(hosts="x"), None, DRIVER).at_a_time == 1


def test_what_pytest_said_last_is_shown_where_it_could_not_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "pytest.log"
    log.write_bytes(b"".join(b"line %d\n" % number for number in range(40)) + b"\xff broken\n")
    found = Report(PLAN, [PASSED], exit_code=4, expected={"cuda10.0-cpu": {"training": 3}}, unreadable=2)
    harness.report(found, tmp_path, log)
    said = capsys.readouterr().err
    assert "line 10\n" not in said
    assert "gpuenv: line 11\n" in said
    assert "\ufffd broken" in said
    assert "gpuenv: warning: 2 lines of the results cannot be read, so the reports lack them" in said
    assert "gpuenv: 2 checks never ran: the run stopped before its end" in said
    assert json.loads((tmp_path / "report.json").read_text())["never_ran"] == 2


def test_a_run_that_passed_points_at_no_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    harness.report(Report(PLAN, [PASSED], {}, 0.0, 1.0, 0), tmp_path, tmp_path / "pytest.log")
    said = capsys.readouterr().err
    assert "the output of every failing command" not in said
    assert "never ran" not in said
    assert "1 passed, 0 failed" in said
