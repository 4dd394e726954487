"""What `make doctor` knows of a machine: plain values, found by the probes and judged by the checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gpuenv.conda.condarc import Condarc
from gpuenv.core.errors import GpuenvError
from gpuenv.doctor.findings import SYSTEMD
from gpuenv.engine.build_client import DockerClient
from gpuenv.engine.find import Refused
from gpuenv.engine.model import Engine
from gpuenv.host.gpu import HostGpus
from gpuenv.host.pythons import LocalPython
from gpuenv.net.questions import Answer
from gpuenv.variants import compat
from gpuenv.variants.compat import Card, Serving
from gpuenv.variants.model import Variant


@dataclass(frozen=True)
class Wish:
    """What there is to choose from, and what the user asked for. Not probed."""

    variants: tuple[Variant, ...]
    asked: Variant | None = None
    sources_dir: Path | None = None

    @property
    def default(self) -> Variant:
        """The one that `gpu-shell` takes: what was asked for, else the default variant."""
        return self.asked or next(variant for variant in self.variants if variant.is_default)


@dataclass(frozen=True)
class Machine:
    """Processor, kernel, C library, and what starts services. ``flags`` is None where the system lists none."""

    system: str = "linux"
    architecture: str = ""
    kernel: str = ""
    libc: str = ""
    flags: frozenset[str] | None = None
    memory_bytes: int | None = None
    is_root: bool = False
    init: str = SYSTEMD

    @property
    def kinds(self) -> tuple[str, ...]:
        """What remedies differ by, what counts more first."""
        return (*(["root"] if self.is_root else []), self.system, self.init, "*")


@dataclass(frozen=True)
class Place:
    """A folder that something will be written to, and what is free there; None where that cannot be seen."""

    path: str = ""
    free_bytes: int | None = None


@dataclass(frozen=True)
class Storage:
    """The folders of this machine that environments are made in: the cache, and the data of a private engine."""

    cache: Place = Place()
    private: Place = Place()


@dataclass(frozen=True)
class Running:
    """An engine that answers, in its own words, or its ``problem``; None stands for what cannot be seen from here."""

    engine: Engine
    problem: str | None = None
    version: str = ""
    system: str = ""
    storage: str = ""
    data: Place = Place()
    memory_bytes: int | None = None
    runtimes: tuple[str, ...] = ()
    builder: str | None = None
    builder_problem: str | None = None
    #: It may reach registries that this machine does not (see :func:`gpuenv.base_image.registry.has_detour`).
    has_detour: bool = False
    #: (variant, flavor) of the images that are there and current; variants whose base it has.
    images: frozenset[tuple[str, str]] = frozenset()
    bases: frozenset[tuple[str, str]] = frozenset()

    @property
    def is_here(self) -> bool:
        """Whether it runs on this machine's own system, not in a virtual machine nor elsewhere."""
        return self.engine.url.startswith("unix:") and "Docker Desktop" not in self.system


@dataclass(frozen=True)
class Engines:
    """The engine that `gpu-shell` would take, and what it would do without one."""

    running: Running | None = None
    refusals: tuple[Refused, ...] = ()
    #: Why no private engine can be started, None if it can; and the packages that have to be installed before.
    private_obstacle: str | None = None
    missing: tuple[str, ...] = ()
    #: Of the first socket that this user may not open: the group that may ("" if none, None if not known), and whether
    #: this user was added to it since logging in.
    group: str | None = None
    is_member: bool = False

    def refused(self, kind: str) -> Refused | None:
        """The first endpoint that does not answer for this reason (a kind of UnreachableError)."""
        return next((one for one in self.refusals if one.error.kind == kind), None)


@dataclass(frozen=True)
class Clients:
    """The engine's client programs on PATH, in order."""

    docker: tuple[DockerClient, ...] = ()
    podman: str | None = None


@dataclass(frozen=True)
class Toolkit:
    """NVIDIA's container toolkit: its programs, and the CDI specifications that name NVIDIA devices."""

    hook: str | None = None
    ctk: str | None = None
    cdi: tuple[str, ...] = ()


@dataclass(frozen=True)
class Memory:
    """The memory of one card, in MiB, and the processes that hold it: (number, name)."""

    number: int
    total_mib: int
    used_mib: int
    holders: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class Gpus:
    """Driver and cards of this machine; ``host`` is what gpu-shell goes by. Problems are None where it answers."""

    host: HostGpus = field(default_factory=HostGpus)
    system: str = "linux"
    cards: tuple[Card, ...] = ()
    memory: tuple[Memory, ...] = ()
    problem: str | None = None
    memory_problem: str | None = None
    is_mismatched: bool = False
    missing_nodes: tuple[str, ...] = ()
    closed_nodes: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    has_modprobe: bool = False
    #: The kernel driver, if any, of each NVIDIA display device on the bus.
    bus: tuple[str | None, ...] = ()

    def judge(self, variants: Sequence[Variant]) -> list[Serving]:
        """Each variant against driver and cards; empty without a driver."""
        if self.host.driver is None:
            return []
        return [compat.judge(one, self.host.driver, self.cards, self.system) for one in variants]


@dataclass(frozen=True)
class Variables:
    """The variables that change what programs see of GPUs and libraries."""

    values: Mapping[str, str] = field(default_factory=dict)
    #: Folder of LD_LIBRARY_PATH -> libraries in it that would be loaded instead of the right ones.
    shadows: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Conda:
    """Conda, why it can make no environment here (``obstacle``), and the Python environment that is active now."""

    program: str | None = None
    configs: tuple[Condarc, ...] = ()
    active: str | None = None
    packages: Mapping[str, str] = field(default_factory=dict)
    obstacle: str | None = None


@dataclass(frozen=True)
class Pythons:
    """The interpreters for the fallbacks, and what was made already: (variant, flavor, kind). The rest by variant."""

    found: Mapping[str, LocalPython | None] = field(default_factory=dict)
    made: frozenset[tuple[str, str, str]] = frozenset()
    cuda: frozenset[str] = frozenset()
    base_obstacles: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Network:
    """How this machine reaches what a build fetches. Proxies and missing bundles: (variable, its value)."""

    answers: tuple[Answer, ...] = ()
    proxies: tuple[tuple[str, str], ...] = ()
    bundle: str | None = None
    bundle_origin: str = ""
    bundle_problem: GpuenvError | None = None
    missing_bundles: tuple[tuple[str, str], ...] = ()
    pip_problem: GpuenvError | None = None
    #: For each variant, why its CUDA cannot be had, from the archives and from the package index; None where it can.
    archive_obstacles: Mapping[str, str | None] = field(default_factory=dict)
    index_obstacles: Mapping[str, str | None] = field(default_factory=dict)

    def cuda_obstacle(self, variant: str) -> str | None:
        """Why a variant's CUDA can be had from neither."""
        index = self.index_obstacles.get(variant, "its lock names no wheel")
        return self.archive_obstacles.get(variant) if index is not None else None

    def of_kind(self, kind: str) -> list[Answer]:
        """The answers of one kind of address."""
        return [answer for answer in self.answers if answer.kind == kind]

    def failures(self, kind: str) -> list[Answer]:
        """Those of them that are none."""
        return [answer for answer in self.of_kind(kind) if answer.problem is not None]


@dataclass(frozen=True)
class Clock:
    """This machine's time, and the newest date of a file of the project (seconds since 1970)."""

    now: float = 0.0
    newest_file: float = 0.0
