"""What `make doctor` knows of a machine: plain values, found by the probes and judged by the checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.conda.condarc import Condarc
from gpuenv.doctor.remedies import SYSTEMD
from gpuenv.engine.build_client import DockerClient
from gpuenv.host.gpu import HostGpus
from gpuenv.net.questions import Answer
from gpuenv.variants.compat import Card
from gpuenv.variants.model import Variant

if TYPE_CHECKING:
    # Not on Windows, which gets a report, too.
    from gpuenv.host.pythons import LocalPython


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
    """Processor, kernel and C library. ``flags`` is None where the system does not list them."""

    system: str
    architecture: str
    kernel: str
    libc: str
    flags: frozenset[str] | None
    memory_bytes: int | None
    is_root: bool = False
    #: What starts services (see :mod:`gpuenv.doctor.remedies`).
    init: str = SYSTEMD


@dataclass(frozen=True)
class Place:
    """A folder that something will be written to, and what is free there."""

    path: str
    free_bytes: int


@dataclass(frozen=True)
class Storage:
    """The folders of this machine that environments are made in: the cache, and the data of a private engine."""

    cache: Place
    private: Place


@dataclass(frozen=True)
class Refusal:
    """An endpoint that does not answer, and why."""

    url: str
    text: str
    #: As of UnreachableError: what is known of the reason.
    kind: str = ""
    #: What named it (DOCKER_HOST, a context), if the user did; else it is a usual place.
    origin: str = ""
    #: Of a socket that may not be opened: the group that may ("" if none, None if not known), and whether this user
    #: was added to it since logging in.
    group: str | None = None
    is_member: bool = False


@dataclass(frozen=True)
class Running:
    """An engine that answers, in its own words. ``free_bytes`` is None where its disk cannot be seen from here."""

    kind: str
    url: str
    why: str
    #: Why it does not say what it is, although something answers there; None if it does.
    problem: str | None = None
    version: str = ""
    api_version: str = ""
    system: str = ""
    storage: str = ""
    root: str = ""
    free_bytes: int | None = None
    memory_bytes: int | None = None
    runtimes: tuple[str, ...] = ()
    #: The program that builds for it, or why there is none.
    builder: str | None = None
    builder_problem: str | None = None
    #: It may reach registries that this machine does not (see :func:`gpuenv.base_image.base.has_own_way`).
    has_detour: bool = False
    #: (variant, flavor) of the images that are there and current; variants whose base it has.
    images: frozenset[tuple[str, str]] = frozenset()
    bases: frozenset[tuple[str, str]] = frozenset()

    @property
    def is_here(self) -> bool:
        """Whether it runs on this machine's own system, not in a virtual machine nor elsewhere."""
        return self.url.startswith("unix:") and "Docker Desktop" not in self.system


@dataclass(frozen=True)
class Engines:
    """The engine that `gpu-shell` would take, and what it would do without one."""

    running: Running | None
    refusals: tuple[Refusal, ...] = ()
    #: Why no private engine can be started; None if it can.
    private_obstacle: str | None = None
    #: Packages that have to be installed before.
    missing: tuple[str, ...] = ()


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
    """The memory of one card, in MiB."""

    number: int
    total_mib: int
    used_mib: int
    #: The processes that hold it: (number, name).
    holders: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class Gpus:
    """Driver and cards of this machine; ``host`` is what gpu-shell goes by."""

    host: HostGpus
    system: str = "linux"
    cards: tuple[Card, ...] = ()
    memory: tuple[Memory, ...] = ()
    #: What the driver says when it fails; None if it answers. ``memory_problem`` of the memory alone.
    problem: str | None = None
    #: Its kernel module and its libraries differ in version, as it says itself.
    is_mismatched: bool = False
    memory_problem: str | None = None
    #: Names below /dev: those that have to be there, are missing, and may not be opened by this user.
    missing_nodes: tuple[str, ...] = ()
    closed_nodes: tuple[str, ...] = ()
    #: The versions in the file names of the driver's libraries.
    libraries: tuple[str, ...] = ()
    has_modprobe: bool = False
    #: The kernel driver, if any, of each NVIDIA display device on the bus.
    bus: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class Variables:
    """The variables that change what programs see of GPUs and libraries."""

    values: Mapping[str, str] = field(default_factory=dict)
    #: Folder of LD_LIBRARY_PATH -> libraries in it that would be loaded instead of the right ones.
    shadows: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Conda:
    """Conda, and the Python environment that is active now, whoever made it (name of package -> version)."""

    program: str | None = None
    configs: tuple[Condarc, ...] = ()
    active: str | None = None
    packages: Mapping[str, str] = field(default_factory=dict)
    #: Why no program can make a conda environment here; None if one can.
    obstacle: str | None = None


@dataclass(frozen=True)
class Pythons:
    """The interpreters for the fallbacks, by minor version, and what was made already: (variant, flavor, kind)."""

    found: Mapping[str, LocalPython | None] = field(default_factory=dict)
    made: frozenset[tuple[str, str, str]] = frozenset()
    #: Variants whose CUDA libraries are installed on this machine.
    cuda: frozenset[str] = frozenset()
    #: Why no base image can be made on this machine, by variant; None if one can.
    base_obstacles: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Network:
    """How this machine reaches what a build fetches. Proxies: (variable, address without a password)."""

    answers: tuple[Answer, ...] = ()
    proxies: tuple[tuple[str, str], ...] = ()
    bundle: str | None = None
    bundle_origin: str = ""
    bundle_problem: str | None = None
    bundle_remedy: str = ""
    #: (variable, file) of bundles that are named and not there, beside the one that counts.
    missing_bundles: tuple[tuple[str, str], ...] = ()
    pip_problem: str | None = None
    #: Why the CUDA archives of a variant cannot be had; None if they can.
    archive_obstacles: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Clock:
    """This machine's time, and the newest date of a file of the project (seconds since 1970)."""

    now: float
    newest_file: float
