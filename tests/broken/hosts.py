"""Simulated hosts that have the variants' gpu images, and the group gpu of the harness run on one of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gpuenv import cli
from gpuenv.core.settings import Settings
from gpuenv.engine.find import find_engine
from gpuenv.engine.model import Engine
from gpuenv.harness import command as harness
from gpuenv.harness.report.model import Outcome, Report
from gpuenv.harness.targets.model import save_plan
from gpuenv.host import gpu
from simulated.host.machine import Machine, SimulatedHost, make_current, simulated_machine
from simulated.host.scenario import find_scenario

from . import images
from .host_table import VARIANTS
from .session import PASSED, SOME_FAILED, run_pytest

#: A folder of `python -m simulated.host` whose hook the engine knows already: then no image has to be copied.
LAB_VARIABLE = "GPUENV_SIMULATED_LAB"


@dataclass
class Lab:
    """Simulated hosts with the variants' gpu images.

    ``source`` is the engine that has the images; it serves the hosts itself where it knows the hook of ``shared``.
    """

    source: Engine
    machine: Machine
    shared: Path | None
    _copied: set[tuple[str, str]] = field(default_factory=set)

    def become(self, name: str) -> SimulatedHost:
        """The host of one scenario; its engine has the images."""
        scenario = find_scenario(name)
        if scenario.has_hook and self.shared is not None:
            return SimulatedHost(scenario, make_current(self.shared, scenario), self.source.url)
        host = self.machine.become(name)
        for image in (f"gpuenv:{variant}-gpu-index" for variant in VARIANTS):
            if (host.url, image) not in self._copied:
                self.machine.copy_image(self.source.url, image, has_hook=scenario.has_hook)
                self._copied.add((host.url, image))
        return host


@contextmanager
def running_lab(source: Engine, folder: Path) -> Iterator[Lab]:
    """The hosts, with every image that they need; ``folder`` is empty."""
    for variant in VARIANTS:
        images.ensure_good(source, f"{variant}-gpu-index")
    shared = os.environ.get(LAB_VARIABLE)
    with simulated_machine(folder) as machine:
        yield Lab(source, machine, Path(shared) if shared else None)


def check(host: SimulatedHost, folder: Path) -> tuple[Outcome, ...]:
    """Run the group gpu as `make test-env FLAVOR=gpu` does on that host: this process, and its children, are on it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in host.environment().items():
            patch.setenv(name, value)
        patch.delenv("GPUENV_ENGINE", raising=False)
        engine = find_engine("docker")
        plan = harness.plan(arguments(), engine, gpu.host_gpus())
        save_plan(plan, folder / "plan.json")
        results = folder / "results.jsonl"
        argv = harness.pytest_argv(folder / "plan.json", results, folder / "junit.xml", len(plan.targets))
        done = run_pytest([*argv, "-k", "test_gpu"], harness.pytest_environment(engine))
    assert done.returncode in (PASSED, SOME_FAILED), done.stdout + done.stderr
    assert all(target.has_simulated_driver for target in plan.targets)
    found = Report(plan).update(results)
    assert found.unreadable == 0
    return tuple(found.outcomes)


def arguments() -> Settings:
    """Those of `make test-env FLAVOR=gpu CUDA=index`."""
    return cli.read_settings(["test-env", "--flavor", "gpu", "--cuda", "index"])
