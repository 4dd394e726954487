"""Reads the variants, ``envs/<variant>/variant.toml``.

A variant is data: everything particular to it stands in its folder, and nothing in the code names
one. Adding a variant is adding a folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Optional

from msgspec import Meta, field

from gpuenv.core import paths
from gpuenv.core.errors import DataError, suggest_known
from gpuenv.core.schema import Count, Data, Name, Soname, Text, Version, load

Distribution = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z", description="the name of a distribution")]
Python = Annotated[str, Meta(pattern=r"^\d+\.\d+\.\d+\Z", description='a full version such as "3.8.1"')]
Digest = Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}\Z", description="sha256: and 64 hexadecimal digits")]
Reference = Annotated[
    str,
    Meta(pattern=r"^[a-z0-9][a-z0-9._/-]*:[\w.-]+\Z", description='an image with a tag, such as "python:3.6-slim"'),
]
Channel = Annotated[str, Meta(pattern=r"^[\w./-]+\Z", description="names of channels")]
Spec = Annotated[
    str,
    Meta(
        pattern=r"^([\w./-]+::)?[a-z0-9_.-]+={1,2}[\w.]+(=[\w.]+)?\Z",
        description='specifications such as "cudatoolkit=10.0.130", or "defaults::cudnn=7.6.5=cuda9.0_0"',
    ),
]


class BaseImage(Data, frozen=True):
    """A published image: ``reference`` (name:tag, for people) and ``digest`` (what is pulled)."""

    reference: Reference = field(name="image")
    digest: Digest

    @property
    def pinned(self) -> str:
        """``name:tag@sha256:...``, what an engine is asked for."""
        return f"{self.reference}@{self.digest}"


class Framework(Data, frozen=True):
    """TensorFlow: one version, and the name of its distribution in each flavor."""

    version: Version
    gpu: Distribution
    cpu: Distribution

    def distribution(self, flavor: str) -> str:
        """The distribution's name on the index for ``flavor``."""
        return self.gpu if flavor == "gpu" else self.cpu


class Cuda(Data, frozen=True):
    """The CUDA side of a variant. Versions are dotted strings; drivers are the lowest that serve."""

    version: Version
    cudnn: Version
    #: The cuDNN that the wheel was compiled against: the lowest it accepts (read from the wheel).
    cudnn_floor: Version
    driver_linux: Version
    driver_windows: Version
    #: Lowest and highest compute capability that wheel and libraries serve, inclusive.
    compute_capability: Annotated[tuple[Version, Version], Meta(description="[lowest, highest]")]
    #: SONAMEs that only optional plug-ins of TensorFlow need, and that no image carries.
    not_shipped: tuple[Soname, ...] = ()

    def __post_init__(self) -> None:
        """Of two versions the lower comes first, and cuDNN is none that the wheel refuses."""
        super().__post_init__()
        lowest, highest = self.compute_capability
        if numbers(lowest) > numbers(highest):
            raise ValueError(f"compute_capability: expected [lowest, highest], found {[lowest, highest]!r}")
        if numbers(self.cudnn) < numbers(self.cudnn_floor):
            raise ValueError(f"cudnn: expected {self.cudnn_floor} (cudnn_floor) or newer, found {self.cudnn}")


class Disk(Data, frozen=True):
    """Free disk space that a build needs on the engine's disk, in GB (10**9 bytes)."""

    gpu_gb: Count
    cpu_gb: Count

    def needed_gb(self, flavor: str) -> int:
        """What one flavor needs."""
        return self.gpu_gb if flavor == "gpu" else self.cpu_gb


class CondaTable(Data, frozen=True):
    """The conda side of a variant. ``gpu`` holds specifications, each with its channel where only one has it;
    ``not_shipped`` are SONAMEs of the CUDA lock that none of these packages carries on both systems.
    """

    channels: Annotated[tuple[Channel, ...], Meta(min_length=1)]
    gpu: Annotated[tuple[Spec, ...], Meta(min_length=1)]
    gpu_channels: tuple[Channel, ...] = ()
    not_shipped: tuple[Soname, ...] = ()


class Upstream(Data, frozen=True):
    """Keras' own tests, in its source distribution: the folders and files that are run, and what they need besides.

    ``left_out`` says of single tests (pytest's ids) why they cannot pass.
    """

    tests: Annotated[tuple[Text, ...], Meta(min_length=1)]
    needs: tuple[Distribution, ...] = ()
    left_out: Mapping[Text, Text] = field(default_factory=dict)


class Variant(Data, frozen=True):
    """One environment, as ``variant.toml`` describes it."""

    name: Name
    summary: Text
    python: Python
    tensorflow: Framework
    keras: Version
    cuda: Cuda
    base: BaseImage
    #: The same base with compiler and libgomp; a stage takes from it, nothing of it is shipped whole.
    builder: BaseImage
    disk: Disk
    folder: Path
    #: What a conda environment of it takes from conda; None where it has none.
    conda: Optional[CondaTable] = None
    #: Its Keras' own tests; None where none are run.
    upstream: Optional[Upstream] = None
    is_default: bool = field(name="default", default=False)

    def __post_init__(self) -> None:
        """It is called as its folder is."""
        if self.name != self.folder.name:
            raise ValueError(f"name: expected {self.folder.name!r}, the name of the folder, found {self.name!r}")

    @property
    def python_minor(self) -> str:
        """``"3.6"`` for ``"3.6.15"``."""
        return ".".join(self.python.split(".")[:2])

    def lock_path(self, flavor: str) -> Path:
        """The hashed requirements of one flavor."""
        return self.folder / f"requirements-{flavor}.txt"

    @property
    def upstream_lock_path(self) -> Path:
        """The hashed requirements of its Keras' own tests."""
        return self.folder / "requirements-upstream.txt"

    @property
    def intent_path(self) -> Path:
        """The requirements that a person writes."""
        return self.folder / "requirements.in"

    @property
    def cuda_lock_path(self) -> Path:
        """The lock of the CUDA archives."""
        return self.folder / "cuda.lock.toml"


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
    return load(folder / "variant.toml", Variant, folder=folder)


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def numbers(version: str) -> tuple[int, ...]:
    """A dotted version as numbers, which compare as versions do."""
    return tuple(int(part) for part in version.split("."))
