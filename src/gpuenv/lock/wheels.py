"""Finds the file of a package that each platform installs, in the `pylock.toml` that the resolver wrote."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from packaging.pylock import Package, PackageSdist, PackageWheel, Pylock
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

from gpuenv.core.errors import DataError
from gpuenv.variants.model import numbers

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: The platform tags a wheel may have, best first. glibc 2.17 is what every host of the last decade has.
_LINUX_TAGS = (
    "manylinux_2_17_x86_64",
    "manylinux2014_x86_64",
    "manylinux_2_12_x86_64",
    "manylinux2010_x86_64",
    "manylinux_2_5_x86_64",
    "manylinux1_x86_64",
    "linux_x86_64",
)


@dataclass(frozen=True)
class Platform:
    """A system a lock serves: its ``sys.platform``, uv's name for it, and its wheel tags, best first."""

    name: str
    uv_name: str
    tags: tuple[str, ...]


LINUX = Platform("linux", "x86_64-manylinux2014", _LINUX_TAGS)
WINDOWS = Platform("win32", "x86_64-pc-windows-msvc", ("win_amd64",))


@dataclass(frozen=True)
class Choice:
    """One package on one platform: the file that will be installed, its size in bytes, and the sha256 of
    every file that may be (pip takes the best one for the host's glibc). ``url`` is where a source comes from; it is
    told to nobody, and no lock holds it.
    """

    version: str
    file: str
    size: int
    hashes: frozenset[str]
    url: str = field(default="", compare=False, repr=False)


def parse_pylock(text: str, python: str, platform: Platform) -> dict[str, Choice]:
    """The chosen files by package name. Raises DataError for a package that has none."""
    pylock = Pylock.from_dict(tomllib.loads(text))
    order = {tag: rank for rank, tag in enumerate(wheel_tags(python, platform))}
    return {package.name: choose(package, order, python, platform) for package in pylock.packages}


def wheel_tags(python: str, platform: Platform) -> Iterator[Tag]:
    """Every tag that CPython ``python`` accepts on ``platform``, best first."""
    major, minor = numbers(python)[:2]
    interpreter = f"cp{major}{minor}"
    # Up to 3.7 the ABI carries an m (pymalloc).
    abi = f"{interpreter}m" if (major, minor) < (3, 8) else interpreter
    yield from cpython_tags((major, minor), [abi], list(platform.tags))
    yield from compatible_tags((major, minor), interpreter, list(platform.tags))


def choose(package: Package, order: Mapping[Tag, int], python: str, platform: Platform) -> Choice:
    """The wheels that fit, best first, or else the source. Raises DataError when there is neither."""
    ranked = sorted(
        (rank, wheel.filename, wheel) for wheel in package.wheels or () if (rank := rank_of(wheel, order)) is not None
    )
    files: list[PackageWheel | PackageSdist] = [wheel for _, _, wheel in ranked]
    if not files and package.sdist:
        files = [package.sdist]
    if not files:
        raise DataError(
            f"{package.name} {package.version} has no file for Python {python} on {platform.name}",
            "the index serves neither a wheel that fits nor a source distribution",
            "pin another version of it in requirements.in",
        )
    hashes = frozenset(file.hashes["sha256"] for file in files if "sha256" in file.hashes)
    if len(hashes) != len(files):
        raise DataError(
            f"{package.name} {package.version} has a file without a sha256",
            "the index does not publish one, and a lock must not install what it cannot verify",
            "use an index that publishes sha256 digests",
        )
    url = "" if ranked else files[0].url or files[0].path or ""
    return Choice(str(package.version), files[0].filename, files[0].size or 0, hashes, url)


def rank_of(wheel: PackageWheel, order: Mapping[Tag, int]) -> int | None:
    """The place of the wheel's best tag, or None when no tag fits."""
    ranks = [order[tag] for tag in parse_wheel_filename(wheel.filename)[3] if tag in order]
    return min(ranks, default=None)
