"""The lock of the CUDA archives, ``envs/<variant>/cuda.lock.toml``: what is fetched, from where, with which hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Optional
from urllib.parse import urlsplit

from msgspec import Meta, field, structs

from gpuenv.core.schema import Count, Data, Name, Sha256, Soname, Version, load, unusable

#: Families of libraries that are on no package index, and have stand-ins (`gpuenv.cuda.stand_ins`).
STAND_INS = ("libcufft", "libcusolver")
_HERE = {None, "127.0.0.1", "::1", "localhost"}
#: What TensorFlow does without, but for a profile.
DISPENSABLE = ("libcupti",)

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

    @property
    def whole(self) -> Component:
        """The same with the sources that have all of it."""
        return structs.replace(self, sources=tuple(source for source in self.sources if not source.sonames))

    @property
    def wheels(self) -> tuple[Component, ...]:
        """What the package index has of it: one part for each wheel."""
        return tuple(
            structs.replace(self, sonames=source.sonames or self.sonames, sources=(source,))
            for source in self.sources
            if source.wheel
        )

    @property
    def indexed(self) -> frozenset[str]:
        """The SONAMEs that wheels have."""
        return frozenset(soname for part in self.wheels for soname in part.sonames)


class CudaLock(Data, frozen=True):
    """The content of a ``cuda.lock.toml``; ``from_index``: what can be had from the package index of it."""

    components: Annotated[tuple[Component, ...], Meta(min_length=1)] = field(name="component")
    path: Path
    from_index: bool = False

    def __post_init__(self) -> None:
        """Where the index has some libraries, it has all but what is stood in for or done without."""
        for number, component in enumerate(self.components):
            names = [soname for part in component.wheels for soname in part.sonames]
            if twice := sorted({one for one in names if names.count(one) > 1}):
                raise ValueError(f"component[{number}].source: expected one wheel for {', '.join(twice)}")
            absent = set(component.sonames) - component.indexed
            if self.has_index and (lost := [one for one in absent if family(one) not in (*STAND_INS, *DISPENSABLE)]):
                raise ValueError(f"component[{number}].sonames: no wheel has {', '.join(sorted(lost))}")

    @property
    def has_index(self) -> bool:
        """Whether it can come from the package index."""
        return any(component.wheels for component in self.components)

    @property
    def stand_ins(self) -> tuple[str, ...]:
        """The SONAMEs of what is on no index, where the rest comes from there."""
        return tuple(one for one in self._absent() if family(one) in STAND_INS) if self.from_index else ()

    @property
    def left_out(self) -> tuple[str, ...]:
        """The SONAMEs of what is on no index, and is done without."""
        return tuple(one for one in self._absent() if family(one) in DISPENSABLE) if self.from_index else ()

    @property
    def parts(self) -> tuple[Component, ...]:
        """What has to be had, each from one of its sources: the whole components, or what the index has of them."""
        if not self.from_index:
            return tuple(component.whole for component in self.components)
        return tuple(part for component in self.components for part in component.wheels)

    def _absent(self) -> Iterator[str]:
        return (soname for part in self.components for soname in part.sonames if soname not in part.indexed)

    @property
    def label(self) -> str:
        """``complete`` or ``index``, as in the image's ``gpuenv.cuda`` label."""
        return "index" if self.from_index else "complete"

    @property
    def sonames(self) -> tuple[str, ...]:
        """Of all components, stand-ins included."""
        return (*(soname for part in self.parts for soname in part.sonames), *self.stand_ins)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over what decides the libraries: not where an archive is, but which one it is."""
        parts = [[part.name, part.version, part.sonames, [one.sha256 for one in part.sources]] for part in self.parts]
        return hashlib.sha256(json.dumps([self.stand_ins, parts]).encode()).hexdigest()


def family(soname: str) -> str:
    """``"libcufft"`` for ``"libcufft.so.10.0"``."""
    return soname.partition(".")[0]


def load_cuda_lock(path: Path) -> CudaLock:
    """Read and validate a ``cuda.lock.toml``. Raises DataError naming file, key and expectation."""
    lock = load(path, CudaLock, path=path, from_index=False)
    for number, component in enumerate(lock.components):
        sources = component.whole.sources
        hosts = {urlsplit(source.url or "//index").hostname for source in sources}
        # No library is lost with one publisher; what this machine itself has is not lost.
        if len({source.origin for source in sources}) < (1 if hosts <= _HERE else 2):
            why = f"component[{number}].source: expected at least two independent origins"
            raise unusable(path, why, "name another one")
    return lock


def of_index(lock: CudaLock) -> CudaLock:
    """The same as far as the package index has it."""
    return structs.replace(lock, from_index=True)
