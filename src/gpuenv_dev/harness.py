"""How much the harness adds to the work that it makes a target do (`make bench`)."""

from __future__ import annotations

import dataclasses
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gpuenv.core import paths, signals, ui
from gpuenv.core.errors import CheckError
from gpuenv.core.settings import Settings
from gpuenv.engine.model import Engine
from gpuenv.harness import command as harness
from gpuenv.harness.report.model import Outcome, Report
from gpuenv.harness.targets import hosts
from gpuenv.harness.targets import listing as targets
from gpuenv.harness.targets.container import connect, remove_leftovers
from gpuenv.harness.targets.model import Plan, Target, save_plan
from gpuenv.host import gpu

#: Groups of checks whose time is a program's that imports or trains, and the check that waits for the first import.
OWN_WORK = ("imports", "training")
FIRST_IMPORT = "identity/tensorflow"
#: Everything that the harness runs in an environment on another machine.
ALL_WORK = ("imports", "frameworks", "training", "course", "facts", "records", "linkage", "notebook")
SSH_HOSTS = 8
CORES = 2


@dataclass(frozen=True)
class Timed:
    """One run of the harness: seconds of the whole process, and what it found."""

    seconds: float
    outcomes: tuple[Outcome, ...]


def alone(engine: Engine, target: Target) -> tuple[float, float]:
    """Seconds of the whole harness on one cached image, and of the training and import work in that very run."""
    run = run_harness(engine, [target])
    own = (one.seconds for one in run.outcomes if one.group in OWN_WORK or one.check == FIRST_IMPORT)
    return run.seconds, sum(own)


def in_parallel(engine: Engine, pair: Sequence[Target]) -> tuple[float, float]:
    """Seconds of the harness on two images at a time, and on the slower one alone.

    Alone it may use what it may use beside the other one, its share of the cores: with all of them it would take
    away the very core that the other one is meant to use.
    """
    jobs = len(pair)
    slower = max(run_harness(engine, [target], share=jobs).seconds for target in pair)
    return run_harness(engine, pair, jobs=jobs, share=jobs).seconds, slower


def over_ssh(engine: Engine, target: Target) -> tuple[float, float]:
    """Seconds of the harness on eight hosts at a time, and of the same programs on two cores, two at a time."""
    with pointed_at(engine), ThreadPoolExecutor(CORES) as pool:
        began = time.perf_counter()
        list(pool.map(lambda _: work_alone(engine, target, CORES), range(SSH_HOSTS)))
        work = time.perf_counter() - began
    with ssh_hosts(engine, target.image) as uris:
        found = hosts.list_targets(Settings(variant=target.variant, flavor=target.flavor, hosts=uris))
        return run_harness(None, found, jobs=harness.HOSTS_AT_ONCE).seconds, work


@contextmanager
def ssh_hosts(engine: Engine, image: str) -> Iterator[str]:
    """``HOSTS=`` for containers of ``image`` with an ssh server, which a program of the tests makes and removes."""
    program = paths.project_root() / "tests" / "simulated" / "ssh_hosts.py"
    described = [engine.kind, engine.url, engine.api_version or "", str(engine.tls_dir or "")]
    argv = [sys.executable, str(program), *described, image, str(SSH_HOSTS)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None  # noqa: S101 - it was started with a pipe
        uris = running.stdout.readline().strip()
        if not uris:
            raise CheckError("the hosts to measure do not start", f"{program} says why, above", "make bench")
        yield uris


@contextmanager
def pointed_at(engine: Engine) -> Iterator[None]:
    """The client that testinfra starts from this process talks to ``engine``."""
    before = dict(os.environ)
    os.environ.update(harness.pytest_environment(engine))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def work_alone(engine: Engine, target: Target, share: int) -> float:
    """Seconds of all reference programs, one after the other in one container of ``target``.

    They use their ``share``-th part of the cores.
    """
    with connect(target, dataclasses.replace(make_plan(engine, [target]), jobs=share)) as connection:
        began = time.perf_counter()
        for name in ALL_WORK:
            connection.program(name)
        return time.perf_counter() - began


def run_harness(engine: Engine | None, found: Sequence[Target], jobs: int = 1, share: int = 1) -> Timed:
    """The harness in a process of its own, as `make test-env` starts it. Raises CheckError if a check fails.

    Each target uses its ``share``-th part of the cores.
    """
    plan = dataclasses.replace(make_plan(engine, found), jobs=share)
    with tempfile.TemporaryDirectory(prefix="gpuenv-bench-") as folder:
        save_plan(plan, Path(folder) / "plan.json")
        results = Path(folder) / "results.jsonl"
        argv = harness.pytest_argv(Path(folder) / "plan.json", results, Path(folder) / "junit.xml", jobs)
        began = time.perf_counter()
        try:
            done = signals.run(
                argv,
                cwd=paths.project_root(),
                env=harness.pytest_environment(engine),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        finally:
            if engine is not None:
                remove_leftovers(engine, plan.run)
        seconds = time.perf_counter() - began
        outcomes = tuple(Report(plan).update(results).outcomes)
    names = ", ".join(target.title for target in found)
    ui.say(f"harness on {names}: {seconds:.1f} s, {len(outcomes)} checks")
    if done.returncode != 0:
        raise CheckError(f"the harness fails on {names}", done.stdout[-800:], "make test-env")
    return Timed(seconds, outcomes)


def make_plan(engine: Engine | None, found: Sequence[Target]) -> Plan:
    """A plan without GPUs: what is measured is the harness."""
    return Plan(secrets.token_hex(8), tuple(found), engine, require_gpu=False)


def image_targets(engine: Engine, settings: Settings) -> list[Target]:
    """The images of ``settings.flavor`` of all variants, built if need be. Raises CheckError where one cannot be."""
    wanted = dataclasses.replace(settings, variant=None)
    found = list(targets.list_images(wanted, engine, gpu.host_gpus()))
    missing = [target for target in found if target.missing is not None]
    if missing:
        raise CheckError(f"{missing[0].title} cannot be measured", str(missing[0].missing), "try FLAVOR=cpu")
    return found
