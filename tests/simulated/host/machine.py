"""A machine that can be made any simulated host: one set of programs, one engine, a scenario at a time."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from . import build, daemon
from .scenario import Scenario, find_scenario


@dataclass(frozen=True)
class SimulatedHost:
    """A host that tests can use. ``root`` stands for its ``/``, ``url`` is its engine's address."""

    scenario: Scenario
    root: Path
    url: str

    @property
    def proc(self) -> Path:
        """What stands for /proc/driver/nvidia."""
        return self.root / "proc/driver/nvidia"

    @property
    def nvidia_smi(self) -> Path:
        """The host's own nvidia-smi."""
        return self.root / "path/nvidia-smi"

    def environment(self) -> dict[str, str]:
        """This process' environment, changed so that gpuenv and Docker clients see this host."""
        return {
            **os.environ,
            "DOCKER_HOST": self.url,
            "GPUENV_NVIDIA_PROC": str(self.proc),
            # For its NVML; containers have these files at their usual places.
            "GPUENV_SIMULATED_ROOT": str(self.root),
            "PATH": f"{self.nvidia_smi.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        }


@dataclass
class Machine:
    """Made by :func:`simulated_machine`. The engine without a hook is another daemon, started when it is needed."""

    folder: Path
    _stack: ExitStack
    _urls: dict[bool, str] = field(default_factory=dict)

    def become(self, name: str) -> SimulatedHost:
        """The host of one scenario; containers that run already keep what they have."""
        scenario = find_scenario(name)
        root = make_current(self.folder, scenario)
        return SimulatedHost(scenario, root, self.engine(has_hook=scenario.has_hook))

    def engine(self, *, has_hook: bool) -> str:
        """The address of the engine with or without the runtime hook; it runs until the machine is gone."""
        if has_hook not in self._urls:
            folder = self.folder / ("engine" if has_hook else "engine-without-hook")
            folder.mkdir()
            bin_folder = self.folder / "bin" if has_hook else None
            self._urls[has_hook] = self._stack.enter_context(daemon.running(folder, bin_folder))
        return self._urls[has_hook]

    def copy_image(self, source_url: str, image: str, *, has_hook: bool = True) -> None:
        """Bring an image from another engine, so that nothing has to be built here."""
        clients = ({**os.environ, "DOCKER_HOST": url} for url in (source_url, self.engine(has_hook=has_hook)))
        source, target = clients
        with subprocess.Popen(["docker", "save", image], env=source, stdout=subprocess.PIPE) as saving:
            subprocess.run(["docker", "load", "--quiet"], env=target, stdin=saving.stdout, check=True)
        if saving.returncode != 0:
            raise subprocess.CalledProcessError(saving.returncode, ["docker", "save", image])


def prepare(folder: Path) -> None:
    """Make programs and hook in ``folder``. An engine with ``folder/bin`` on its PATH hands ``--gpus`` to the hook."""
    build.compile_programs(folder / "programs")
    build.write_hook(folder / "bin", folder / "current")


def make_current(folder: Path, scenario: Scenario) -> Path:
    """Make ``scenario`` the one that the hook in ``folder`` reads from now on; its root folder. Needs no engine."""
    root = folder / "hosts" / scenario.name
    if not root.exists():
        build.make_root(folder / "programs", scenario, root)
    # Renamed into place: the hook sees one scenario or the other.
    new = folder / "current.new"
    new.unlink(missing_ok=True)
    new.symlink_to(root)
    new.replace(folder / "current")
    return root


@contextmanager
def simulated_machine(folder: Path) -> Iterator[Machine]:
    """A machine in an empty ``folder``. Engines are started when asked for, and stopped at the end."""
    prepare(folder)
    with ExitStack() as stack:
        yield Machine(folder, stack)


@contextmanager
def simulated_host(name: str, folder: Path) -> Iterator[SimulatedHost]:
    """The host of one scenario, engine included, for as long as the context lasts."""
    with simulated_machine(folder) as machine:
        yield machine.become(name)
