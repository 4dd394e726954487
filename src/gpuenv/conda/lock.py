"""The lock of the conda packages, ``envs/<variant>/conda.lock.toml``: which files an environment is made of, for Linux.

It names every package, also those that others need, so nothing is solved when an environment is made. A channel is
named, never addressed: where it is follows from the settings (:mod:`gpuenv.conda.channels`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Optional

import msgspec
from msgspec import Meta, field

from gpuenv.conda import spec
from gpuenv.core.errors import SourceError
from gpuenv.core.schema import Count, Data, Sha256, Text, load
from gpuenv.variants.environment import Environment
from gpuenv.variants.kinds import FLAVORS
from gpuenv.variants.locks import drifted, read_checked, sha256_hex, with_header
from gpuenv.variants.model import Variant

Md5 = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z", description="32 hexadecimal digits")]
Word = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+!-]*\Z", description="a name without blanks")]
File = Annotated[
    str,
    Meta(
        pattern=r"^(linux-64|noarch)/[A-Za-z0-9_][A-Za-z0-9_.+!-]*(\.conda|\.tar\.bz2)\Z",
        description='a package of a channel such as "linux-64/pip-1.0-0.tar.bz2"',
    ),
]


class Package(Data, frozen=True, omit_defaults=True):
    """One file. ``sha256`` and ``md5`` are None where nobody has told them; ``checked`` says where facts that were
    written by hand come from. ``depends`` is what conda's own records say, and decides nothing here.
    """

    name: Word
    version: Word
    build: Word
    channel: Word
    file: File
    flavors: Annotated[tuple[Literal["gpu", "cpu"], ...], Meta(min_length=1)]
    sha256: Optional[Sha256] = None
    md5: Optional[Md5] = None
    size: Optional[Count] = None
    build_number: Annotated[int, Meta(ge=0, description="a whole number")] = 0
    noarch: Optional[Literal["python", "generic"]] = None
    depends: tuple[str, ...] = ()
    origin: Literal["channel", "hand"] = "channel"
    checked: str = ""

    def __post_init__(self) -> None:
        """Its file is called as it is."""
        super().__post_init__()
        stem = f"{self.name}-{self.version}-{self.build}"
        if self.file_name not in (f"{stem}.conda", f"{stem}.tar.bz2"):
            raise ValueError(f"file: expected {stem}.conda or {stem}.tar.bz2, found {self.file_name!r}")
        if self.origin == "hand" and not self.checked:
            raise ValueError("checked: expected where these facts come from")

    @property
    def file_name(self) -> str:
        """The last part of its address."""
        return self.file.rpartition("/")[2]

    @property
    def subdir(self) -> str:
        """``linux-64`` or ``noarch``."""
        return self.file.partition("/")[0]

    @property
    def is_hashed(self) -> bool:
        """Whether another file under its name would be noticed."""
        return self.sha256 is not None or self.md5 is not None


class CondaLock(Data, frozen=True):
    """The content of a ``conda.lock.toml``; a ``stand_in`` names packages that tests made."""

    packages: Annotated[tuple[Package, ...], Meta(min_length=1)] = field(name="package")
    path: Path
    inputs: str
    digest: Text
    stand_in: bool = False

    def of(self, flavor: str) -> tuple[Package, ...]:
        """The packages of an environment of that flavor."""
        return tuple(package for package in self.packages if flavor in package.flavors)


def path_of(variant: Variant) -> Path:
    """Where the lock of ``variant`` stands."""
    return variant.folder / "conda.lock.toml"


def read(variant: Variant) -> CondaLock:
    """Read the lock. Raises DataError when it is missing, was edited by hand, or is malformed."""
    path = path_of(variant)
    inputs, _, digest = read_checked(path)
    return load(path, CondaLock, path=path, inputs=inputs, digest=digest)


def inputs_digest(variant: Variant) -> str:
    """The sha256 (hex) of what decides the lock: the channels and the specifications of both flavors."""
    lines = [
        "\n".join([*spec.channels(environment), *spec.specifications(environment)])
        for environment in spec.environments(variant)
    ]
    return sha256_hex("\n\n".join(lines))


def render(variant: Variant, packages: Iterable[Package], *, stand_in: bool = False) -> str:
    """The text of the lock; the same packages give the same bytes."""
    ordered = sorted(packages, key=lambda package: (package.name, package.flavors, package.version))
    tables = ["stand_in = true\n"] if stand_in else []
    for package in ordered:
        # Strings of TOML are those of JSON here: no value has a character that the two write differently.
        lines = [f"{key} = {json.dumps(value)}" for key, value in msgspec.to_builtins(package).items()]
        tables.append("\n".join(["[[package]]", *lines, ""]))
    return with_header(variant.name, "\n".join(tables), inputs_digest(variant))


def check(variant: Variant) -> None:
    """Raise DataError unless the lock is there, unedited, made from the present inputs, and fulfills them."""
    if variant.conda is None:
        return
    lock = read(variant)
    if lock.inputs != inputs_digest(variant):
        raise drifted(lock.path, "[conda] of variant.toml changed after it was made", variant.name)
    for flavor in FLAVORS:
        if missing := unsatisfied(Environment(variant, flavor), lock.of(flavor)):
            raise drifted(lock.path, f"for {flavor} it does not fulfill {', '.join(missing)}", variant.name)


def unsatisfied(environment: Environment, packages: Iterable[Package]) -> list[str]:
    """The specifications that no package fulfills: as conda does, a version is fulfilled by one that goes on."""
    by_name = {package.name: package for package in packages}
    missing = []
    for wanted in spec.specifications(environment):
        name, version, build = (*spec.without_channel(wanted).split("="), "", "")[:3]
        found = by_name.get(name)
        fits = found is not None and f"{found.version}.".startswith(f"{version}." if version else "")
        if not fits or (found is not None and build not in ("", found.build)):
            missing.append(wanted)
    return missing


def verify_installed(folder: Path, packages: Iterable[Package], lock: CondaLock) -> None:
    """Raise SourceError unless an environment was made of exactly these packages, by the records in ``conda-meta``.

    Every program writes there what it installed, with the sums that it compared while it fetched. Nothing that was
    installed is run for that.
    """
    found = dict(_record(path, lock) for path in sorted((folder / "conda-meta").glob("*.json")))
    for package in packages:
        record = found.pop(package.name, None)
        if record is None:
            raise _foreign(package.name, "it was not installed at all", lock)
        for key in ("version", "build", "sha256", "md5"):
            is_sum = key in ("sha256", "md5")
            value, expected = record.get(key), getattr(package, key)
            # A program that was given one sum does not write the other.
            if expected and value != expected and not (is_sum and value is None):
                raise _foreign(package.name, f"its {key} is {value}, expected {expected}", lock)
    if found:
        raise _foreign(", ".join(sorted(found)), "nothing of that name is in the lock", lock)


def _record(path: Path, lock: CondaLock) -> tuple[str, dict[str, object]]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return str(record["name"]), record
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _foreign(path.name, f"its record cannot be read: {error}", lock) from error


def _foreign(name: str, why: str, lock: CondaLock) -> SourceError:
    return SourceError(
        f"{name}: what was installed is not what {lock.path} names",
        f"{why}; nothing of it was run, but for what conda, mamba or micromamba itself runs when it links packages",
        "run the same again; if it stays, name another mirror with CHANNELS=",
    )
