"""``make test-env``: the unit tests, then every check on every environment that this machine can make."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

from gpuenv.core import paths, processes, scratch, signals, ui
from gpuenv.core.errors import CheckError, UsageError
from gpuenv.core.settings import Settings
from gpuenv.engine.find import find_engine
from gpuenv.engine.model import Engine
from gpuenv.harness.report import files as report_files
from gpuenv.harness.report import table as report_table
from gpuenv.harness.report.model import NOT_TESTED, Report
from gpuenv.harness.targets import hosts, listing
from gpuenv.harness.targets.container import remove_leftovers
from gpuenv.harness.targets.model import Plan, Target, save_plan
from gpuenv.harness.targets.remote import COMMAND_LIMIT_S
from gpuenv.host import gpu
from gpuenv.host.processor import check_host
from gpuenv.net import requirements
from gpuenv.prefix import choice as prefix_choice

#: Each has a process here that waits most of the time.
HOSTS_AT_ONCE = 8
#: Lines of pytest's output that are shown when it did not run to its end.
LAST_LINES = 30
#: Seconds for one check, its container and its programs. A command on a remote host is given up before that.
CHECK_LIMIT_S = COMMAND_LIMIT_S + 60


def run(settings: Settings) -> int:
    """Test everything that ``settings`` ask for; 0 only if nothing failed and something was tested."""
    refuse_options()
    settings = requirements.located(settings, Path.cwd())
    if settings.add and (settings.hosts or not needs_engine(settings)):
        raise UsageError(
            f"ADD={settings.add} is for images of this machine",
            "the environments of HOSTS=, PREFIX= and TARGET= are tested as they are",
            "leave one of them out",
        )
    host = gpu.host_gpus()
    if settings.require_gpu and not settings.hosts and host.driver is None:
        raise CheckError(
            "no GPU: REQUIRE_GPU=1, but there is no NVIDIA driver on this host",
            "the driver is not installed or not loaded (no /proc/driver/nvidia, no nvidia-smi)",
            "install NVIDIA's driver, or run without REQUIRE_GPU=1: the gpu group is then counted as not tested",
        )
    if needs_engine(settings) or not settings.hosts:
        check_host()
    with report_files.claimed(paths.reports_dir()) as reports:
        run_unit_tests(settings.jobs)
        engine = find_engine(settings.engine) if needs_engine(settings) else None
        found = execute(plan(settings, engine, host), reports)
    return 0 if found.status == "passed" else CheckError.exit_code


def refuse_options() -> None:
    """Raise UsageError where the caller's environment has options for pytest: most of them change what is tested."""
    if os.environ.get("PYTEST_ADDOPTS", "").strip():
        raise UsageError(
            "PYTEST_ADDOPTS is set, so nothing was tested",
            f"pytest would take {os.environ['PYTEST_ADDOPTS']!r} from it, and may then leave out checks",
            "unset PYTEST_ADDOPTS, then repeat; VARIANT=, FLAVOR= and TARGET= choose what is tested",
        )


def needs_engine(settings: Settings) -> bool:
    """Whether images are tested: not with TARGET=venv or conda, nor with PREFIX; with HOSTS only if TARGET says so."""
    if settings.prefix:
        prefix_choice.refuse_container(settings)
        return False
    return settings.target == "image" or (settings.target is None and not settings.hosts)


def run_unit_tests(jobs: int | None) -> None:
    """Run the command's own tests, which are in a checkout only, on ``jobs`` cores (None: all). Raises CheckError."""
    folder = tests_dir("unit")
    if not paths.is_checkout():
        return
    ui.say("unit tests")
    command = [*pytest_on(folder), "-n", str(jobs or "auto"), "--maxprocesses", "8", "--dist", "worksteal"]
    ending = processes.ending_with_parent(signal.SIGTERM)
    if signals.run(command, cwd=folder, env=pytest_environment(None), preexec_fn=ending).returncode != 0:
        raise CheckError(
            "the unit tests fail, so no environment was tested",
            "this checkout of the project is not in order",
            f"{sys.executable} -m pytest tests/unit",
        )


def plan(settings: Settings, engine: Engine | None, host: gpu.HostGpus) -> Plan:
    """Make what is tested: images where there is an engine, else environments of this machine; or the hosts of HOSTS.

    JOBS targets are tested at a time; if not given, one on this machine and up to eight on others. Raises
    UsageError, and CheckError where REQUIRE_GPU=1 has no gpu target.
    """
    found = hosts.list_targets(settings) if settings.hosts else ()
    here: tuple[Target, ...] = ()
    if engine is not None:
        here = listing.list_images(settings, engine, host)
    elif settings.target is not None or not settings.hosts:
        here = listing.list_prefixes(settings)
    # What will get the devices of a simulated driver says so, wherever a person reads of it.
    found += tuple(
        dataclasses.replace(one, driver=host.driver, has_simulated_driver=host.is_simulated and one.flavor == "gpu")
        for one in here
    )
    if settings.require_gpu and not any(target.flavor == "gpu" for target in found):
        raise CheckError(
            "REQUIRE_GPU=1, but no gpu target is tested",
            f"the targets are {', '.join(target.title for target in found) or 'none'}",
            "add FLAVOR=gpu, or leave REQUIRE_GPU out",
        )
    testable = [target for target in found if target.missing is None]
    remote = sum(target.kind == "host" for target in testable)
    jobs = settings.jobs or max(1, min(HOSTS_AT_ONCE, remote))
    return Plan(
        run=secrets.token_hex(8),
        targets=found,
        engine=engine,
        host_driver=host.driver,
        require_gpu=settings.require_gpu,
        left_out="" if settings.prefix else listing.describe_left_out(found, host),
        at_a_time=jobs,
        # Other machines have cores of their own.
        jobs=max(1, min(jobs, len(testable) - remote)),
        upstream=settings.upstream,
    )


def execute(planned: Plan, reports: Path) -> Report:
    """Run the checks and report what they found, also when interrupted; ``reports`` is the folder for files."""
    log = reports / report_files.LOG if report_table.is_wanted() else None
    found = Report(planned, began=time.time())
    with scratch.folder("run", is_local=True) as folder:
        plan_path, results, junit = (folder / name for name in ("plan.json", "results.jsonl", report_files.JUNIT))
        save_plan(planned, plan_path)
        names = ", ".join(target.title for target in planned.testable)
        ui.say(f"testing {names}" if names else "no target can be tested")
        try:
            found.exit_code = run_pytest(pytest_argv(plan_path, results, junit, planned.at_a_time), found, results, log)
        finally:
            if planned.engine is not None:
                remove_leftovers(planned.engine, planned.run)
            report_files.take_junit(junit, reports)
            found.update(results).ended = time.time()
            report(found, reports, log)
    return found


def tests_dir(suite: str) -> Path:
    """The folder of a suite, where pytest is started, too: its workers import what the current folder has first."""
    return paths.project_root() / "tests" / suite


def pytest_on(folder: Path) -> list[str]:
    """The command that runs the tests in ``folder``: no module, setting or conftest.py that lies around counts."""
    argv = [sys.executable, "-I", "-m", "pytest", str(folder), "-q", "-p", "no:cacheprovider"]
    return [*argv, f"--config-file={paths.project_root() / 'pyproject.toml'}", f"--confcutdir={folder}"]


def pytest_argv(plan_path: Path, results: Path, junit: Path, jobs: int) -> list[str]:
    """The command that runs the checks; with several jobs, each target stays in one process."""
    argv = [*pytest_on(tests_dir("env")), "--tb=short"]
    argv += ["--plan", str(plan_path), "--results", str(results), f"--timeout={CHECK_LIMIT_S}"]
    # A folder of this run's own: pytest would tidy up those of other runs, of which it may not remove all.
    argv += [f"--basetemp={results.parent / 'pytest'}"]
    argv += [f"--junit-xml={junit}", "-o", "junit_family=xunit1", "-o", "junit_suite_name=gpuenv"]
    if jobs > 1:
        argv += ["-n", str(jobs)]
    return argv


def run_pytest(argv: list[str], found: Report, results: Path, log: Path | None) -> int:
    """Run the checks; pytest's exit code. Its output goes to this terminal, or into ``log`` under a live table."""
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("xb")) if log else None  # what is there may be a link
        deliver = stack.enter_context(signals.deferred())
        process = subprocess.Popen(
            argv, cwd=tests_dir("env"), env=pytest_environment(found.plan.engine),
            stdout=output, stderr=subprocess.STDOUT if output else None,
            # After a `kill -9` of ours it does not go on unseen; its containers' watchers remove those.
            preexec_fn=processes.ending_with_parent(signal.SIGTERM),  # noqa: PLW1509 - we have no threads
        )  # fmt: skip
        # Whatever ends the watching ends the run: nothing goes on unseen.
        stack.callback(process.kill)
        try:
            deliver()
            return report_table.watch(process, found, results) if log else signals.wait(process)
        except KeyboardInterrupt as error:
            # pytest got the same Ctrl-C and is removing its containers: let it. What was sent to us alone it gets now.
            if isinstance(error, signals.Ended):
                process.send_signal(signal.SIGINT)
            ui.say("stopping; containers of this run are being removed")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=30)
            raise


def pytest_environment(engine: Engine | None) -> dict[str, str]:
    """This process' environment, pointed at the engine for the client that testinfra starts.

    Without what Python and pytest read from it: a plugin more, or assertions that are off (PYTHONOPTIMIZE), and the run
    proves something else.
    """
    of_others = ("PYTEST_", "PYTHON", "PY_COLORS", "FORCE_COLOR")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(of_others)}
    if engine is None:
        return environment
    prefix, more = engine.build_prefix()
    environment.update({name: value for name, value in more.items() if name.startswith(("DOCKER_", "CONTAINER_"))})
    if os.path.sep in prefix[0]:
        environment["PATH"] = f"{Path(prefix[0]).parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
    return environment


def report(found: Report, folder: Path, log: Path | None) -> None:
    """Print the table, what failed first on each target and the one last line; write the report's files.

    Under a live table nobody saw what pytest said (``log``): then the failures are printed too.
    """
    console = ui.console()
    console.print(report_table.render_table(found))
    if log is not None:
        console.print(report_table.render_failures(found), end="", soft_wrap=True)
        if found.is_cut_off:
            for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]:
                ui.say(line)
        if found.status != "passed":
            ui.say(f"the output of every failing command: {log}")
    first = report_table.render_first_failures(found)
    if first:
        console.print(first, soft_wrap=True)
    if found.unreadable:
        ui.warn(f"{found.unreadable} lines of the results cannot be read, so the reports lack them")
    if found.shortfall:
        ui.say(found.shortfall)
    report_files.save(found, folder)
    if found.plan.left_out:
        ui.say(f"{NOT_TESTED}{found.plan.left_out}")
    ui.say(str(found.counts))
