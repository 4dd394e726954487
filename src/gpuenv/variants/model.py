"""What a variant is, and how ``envs/<variant>/`` is read.

A variant is data: everything particular to it stands in its folder, and nothing in the code names
one. Adding a variant is adding a folder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from gpuenv.core import paths
from gpuenv.core.errors import DataError, suggest_known
from gpuenv.core.schema import DIGEST, SHA256, SONAME, VERSION, Table, load_table
from gpuenv.variants.conda import Conda, read_conda
from gpuenv.variants.kinds import FLAVORS

#: How an archive is opened; `gpuenv.cuda.archives` has one function for each.
UNPACKERS = ("tar", "zip", "runfile")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_REPOSITORY = re.compile(r"[a-z0-9][a-z0-9._/-]*:[\w.-]+")
_DISTRIBUTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_URL = re.compile(r"(https?|file)://\S+")


@dataclass(frozen=True)
class BaseImage:
    """A published image: ``reference`` (name:tag, for people) and ``digest`` (what is pulled)."""

    reference: str
    digest: str

    @property
    def pinned(self) -> str:
        """``name:tag@sha256:...``, what an engine is asked for."""
        return f"{self.reference}@{self.digest}"


@dataclass(frozen=True)
class Framework:
    """TensorFlow: one version, and the name of its distribution in each flavor."""

    version: str
    gpu: str
    cpu: str

    def distribution(self, flavor: str) -> str:
        """The distribution's name on the index for ``flavor``."""
        return self.gpu if flavor == "gpu" else self.cpu


@dataclass(frozen=True)
class Cuda:
    """The CUDA side of a variant. Versions are dotted strings; drivers are the lowest that serve."""

    version: str
    cudnn: str
    #: The cuDNN that the wheel was compiled against: the lowest it accepts (read from the wheel).
    cudnn_floor: str
    driver_linux: str
    driver_windows: str
    #: Lowest and highest compute capability that wheel and libraries serve, inclusive.
    compute_capability: tuple[str, str]
    #: SONAMEs that only optional plug-ins of TensorFlow need, and that no image carries.
    not_shipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Disk:
    """Free disk space that a build needs on the engine's disk, in GB (10**9 bytes)."""

    gpu_gb: int
    cpu_gb: int

    def needed_gb(self, flavor: str) -> int:
        """What one flavor needs."""
        return self.gpu_gb if flavor == "gpu" else self.cpu_gb


@dataclass(frozen=True)
class Variant:
    """One environment, as ``variant.toml`` describes it."""

    name: str
    summary: str
    is_default: bool
    python: str
    tensorflow: Framework
    keras: str
    cuda: Cuda
    base: BaseImage
    #: The same base with compiler and libgomp; a stage takes from it, nothing of it is shipped whole.
    builder: BaseImage
    disk: Disk
    folder: Path
    #: What a conda environment of it takes from conda; None where it has none.
    conda: Conda | None = None

    @property
    def python_minor(self) -> str:
        """``"3.6"`` for ``"3.6.15"``."""
        return ".".join(self.python.split(".")[:2])

    def lock_path(self, flavor: str) -> Path:
        """The hashed requirements of one flavor."""
        return self.folder / f"requirements-{flavor}.txt"

    @property
    def intent_path(self) -> Path:
        """The requirements that a person writes."""
        return self.folder / "requirements.in"

    @property
    def cuda_lock_path(self) -> Path:
        """The lock of the CUDA archives."""
        return self.folder / "cuda.lock.toml"


@dataclass(frozen=True)
class Source:
    """One place an archive comes from; ``origin`` says who publishes it."""

    url: str
    sha256: str
    origin: str
    unpack: str


@dataclass(frozen=True)
class Component:
    """One part of CUDA: its sources in the order they are tried, and the SONAMEs it must yield."""

    name: str
    version: str
    sonames: tuple[str, ...]
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class CudaLock:
    """The content of a ``cuda.lock.toml``; ``simulated`` locks say so."""

    simulated: bool
    components: tuple[Component, ...]
    path: Path

    @property
    def label(self) -> str:
        """``genuine`` or ``simulated``, as in the image's ``gpuenv.cuda`` label."""
        return "simulated" if self.simulated else "genuine"

    @property
    def sonames(self) -> tuple[str, ...]:
        """Of all components."""
        return tuple(soname for component in self.components for soname in component.sonames)


def list_names() -> list[str]:
    """The names of all variants, sorted as a person would (9.0 before 10.0)."""
    folder = paths.envs_dir()
    return sorted((path.parent.name for path in folder.glob("*/variant.toml")), key=_natural)


def load_all() -> list[Variant]:
    """All variants, in the order of :func:`list_names`. Raises DataError for a bad file or not exactly one default."""
    variants = [load_variant(paths.envs_dir() / name) for name in list_names()]
    defaults = [variant.name for variant in variants if variant.is_default]
    if len(defaults) != 1:
        raise DataError(
            f"{paths.envs_dir()} has {len(defaults)} default variants: {', '.join(defaults) or 'none'}",
            "exactly one variant.toml must say `default = true`",
            "correct the `default` keys",
        )
    return variants


def find_variant(name: str | None) -> Variant:
    """The variant called ``name``, or the default one. Raises UsageError for an unknown name."""
    if name is None:
        return next(variant for variant in load_all() if variant.is_default)
    known = list_names()
    if name not in known:
        raise suggest_known("variant", name, known)
    return load_variant(paths.envs_dir() / name)


def load_variant(folder: Path) -> Variant:
    """Read and validate ``folder/variant.toml``. Raises DataError naming file, key and expectation."""
    table = load_table(folder / "variant.toml")
    variant = Variant(
        name=table.text("name", _NAME, "a name of lower-case letters, digits, '.', '_' and '-'"),
        summary=table.text("summary"),
        is_default=table.flag("default", default=False),
        python=table.text("python", re.compile(r"\d+\.\d+\.\d+"), 'a full version such as "3.8.1"'),
        tensorflow=table.table("tensorflow", _read_framework),
        keras=table.version("keras"),
        cuda=table.table("cuda", _read_cuda),
        base=table.table("base", _read_base),
        builder=table.table("builder", _read_base),
        disk=table.table("disk", lambda disk: Disk(disk.count("gpu_gb"), disk.count("cpu_gb"))),
        folder=folder,
        conda=table.optional_table("conda", read_conda),
    )
    if variant.name != folder.name:
        raise table.error("name", f"expected {folder.name!r}, the name of the folder, found {variant.name!r}")
    table.close()
    return variant


def load_cuda_lock(path: Path) -> CudaLock:
    """Read and validate a ``cuda.lock.toml``. Raises DataError naming file, key and expectation."""
    table = load_table(path)
    lock = CudaLock(
        simulated=table.flag("simulated", default=False),
        components=table.tables("component", _read_component),
        path=path,
    )
    table.close()
    if not lock.simulated:
        for number, component in enumerate(lock.components):
            if len({source.origin for source in component.sources}) < 2:
                raise table.error(f"component[{number}].source", "expected at least two independent origins")
    return lock


def _read_framework(table: Table) -> Framework:
    names = (table.text(key, _DISTRIBUTION, "the name of a distribution") for key in FLAVORS)
    return Framework(table.version("version"), *names)


def _read_cuda(table: Table) -> Cuda:
    capability = table.texts("compute_capability", VERSION, 'a capability such as "7.5"')
    if len(capability) != 2 or _numbers(capability[0]) > _numbers(capability[1]):
        raise table.error("compute_capability", f"expected [lowest, highest], found {list(capability)!r}")
    cuda = Cuda(
        version=table.version("version"),
        cudnn=table.version("cudnn"),
        cudnn_floor=table.version("cudnn_floor"),
        driver_linux=table.version("driver_linux"),
        driver_windows=table.version("driver_windows"),
        compute_capability=(capability[0], capability[1]),
        not_shipped=table.optional_texts("not_shipped", SONAME, 'SONAMEs such as "libnccl.so.2"'),
    )
    if _numbers(cuda.cudnn) < _numbers(cuda.cudnn_floor):
        raise table.error("cudnn", f"expected {cuda.cudnn_floor} (cudnn_floor) or newer, found {cuda.cudnn}")
    return cuda


def _read_base(table: Table) -> BaseImage:
    return BaseImage(
        reference=table.text("image", _REPOSITORY, 'an image with a tag, such as "python:3.6-slim"'),
        digest=table.text("digest", DIGEST, "sha256: and 64 hexadecimal digits"),
    )


def _read_component(table: Table) -> Component:
    return Component(
        name=table.text("name", _NAME, "a lower-case name"),
        version=table.version("version"),
        sonames=table.texts("sonames", SONAME, 'SONAMEs such as "libcudart.so.10.0"'),
        sources=table.tables("source", _read_source),
    )


def _read_source(table: Table) -> Source:
    source = Source(
        url=table.text("url", _URL, "an http, https or file URL"),
        sha256=table.text("sha256", SHA256, "64 hexadecimal digits"),
        origin=table.text("origin", _NAME, "who publishes it, in lower case"),
        unpack=table.text("unpack"),
    )
    if source.unpack not in UNPACKERS:
        raise table.error("unpack", f"expected one of {', '.join(UNPACKERS)}, found {source.unpack!r}")
    return source


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
