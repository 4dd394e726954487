"""The lock of the CUDA archives, ``envs/<variant>/cuda.lock.toml``: what is fetched, from where, with which hash."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal, Optional

from msgspec import Meta, field

from gpuenv.core.schema import Count, Data, Name, Sha256, Soname, Version, load

Url = Annotated[str, Meta(pattern=r"^(https?|file)://\S+\Z", description="an http, https or file URL")]
WheelName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.]*-[A-Za-z0-9][A-Za-z0-9_.!+]*(-[0-9][A-Za-z0-9_.]*)?(-[A-Za-z0-9_.]+){3}\.whl\Z",
        description='the name of a wheel such as "x-1.0-cp36-cp36m-manylinux1_x86_64.whl"',
    ),
]


class Source(Data, frozen=True, kw_only=True):
    """One place an archive comes from: an address, or a wheel on the package index; ``origin`` says who publishes it.

    A wheel may yield some of its component's ``sonames`` only, which it names then.
    """

    url: Optional[Url] = None
    wheel: Optional[WheelName] = None
    sha256: Sha256
    origin: Name
    #: How the archive is opened; `gpuenv.cuda.archives` has one function for each.
    unpack: Literal["tar", "zip", "runfile"]
    #: Of the archive, in bytes; None where nobody has told it.
    size: Optional[Count] = None
    sonames: tuple[Soname, ...] = ()

    def __post_init__(self) -> None:
        """It comes from one place, and is opened as what it is."""
        super().__post_init__()
        if (self.url is None) == (self.wheel is None):
            found = "neither" if self.url is None else "both"
            raise ValueError(f"url: expected either url or wheel (a file on the package index), found {found}")
        if self.wheel is not None and self.unpack != "zip":
            raise ValueError(f'unpack: expected "zip" for a wheel, found "{self.unpack}"')
        if self.wheel is None and self.sonames:
            raise ValueError("sonames: expected for a wheel only, as an archive yields all of its component")


class Component(Data, frozen=True):
    """One part of CUDA: its sources in the order they are tried, and the SONAMEs it must yield."""

    name: Name
    version: Version
    sonames: Annotated[tuple[Soname, ...], Meta(min_length=1)]
    sources: Annotated[tuple[Source, ...], Meta(min_length=1)] = field(name="source")

    def __post_init__(self) -> None:
        """A source yields nothing but what its component has."""
        super().__post_init__()
        for number, source in enumerate(self.sources):
            if unknown := [soname for soname in source.sonames if soname not in self.sonames]:
                raise ValueError(f"source[{number}].sonames: expected SONAMEs of {self.name}, found {unknown!r}")


class CudaLock(Data, frozen=True):
    """The content of a ``cuda.lock.toml``; ``simulated`` locks are made by tests and say so."""

    components: Annotated[tuple[Component, ...], Meta(min_length=1)] = field(name="component")
    path: Path
    simulated: bool = False

    def __post_init__(self) -> None:
        """A genuine archive is not lost with one publisher."""
        for number, component in enumerate(() if self.simulated else self.components):
            if len({source.origin for source in component.sources}) < 2:
                raise ValueError(f"component[{number}].source: expected at least two independent origins")

    @property
    def label(self) -> str:
        """``genuine`` or ``simulated``, as in the image's ``gpuenv.cuda`` label."""
        return "simulated" if self.simulated else "genuine"

    @property
    def sonames(self) -> tuple[str, ...]:
        """Of all components."""
        return tuple(soname for component in self.components for soname in component.sonames)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over what decides the libraries: not where an archive is, but which one it is."""
        parts = [
            [part.name, part.version, part.sonames, [one.sha256 for one in part.sources]] for part in self.components
        ]
        return hashlib.sha256(json.dumps([self.simulated, parts]).encode()).hexdigest()


def load_cuda_lock(path: Path) -> CudaLock:
    """Read and validate a ``cuda.lock.toml``. Raises DataError naming file, key and expectation."""
    return load(path, CudaLock, path=path)
