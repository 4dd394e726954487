"""Finds the file of a package that each platform installs, in the `pylock.toml` that the resolver wrote.

A wheel says by its name that it fits. A source distribution says nothing, so its files are looked at: what Windows
builds from source needs no compiler there. That is recorded in the lock (``pure``); `make lock CHECK=1` asks for it.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import msgspec
from packaging.pylock import Package, PackageSdist, PackageWheel, Pylock
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

from gpuenv.core.errors import DataError, SourceError
from gpuenv.net import download
from gpuenv.variants.model import numbers

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
#: Code that has to be compiled, in the languages that extension modules are written in.
COMPILED = frozenset({".c", ".cc", ".cpp", ".cxx", ".cu", ".f", ".f90", ".go", ".h", ".hpp", ".pyx", ".rs"})


@dataclass(frozen=True)
class Platform:
    """A system a lock serves: its ``sys.platform``, uv's name for it, and its wheel tags, best first.

    ``source`` is the package of which it takes the source, although there are wheels.
    """

    name: str
    uv_name: str
    tags: tuple[str, ...]
    source: str = ""


LINUX = Platform("linux", "x86_64-manylinux2014", _LINUX_TAGS)
WINDOWS = Platform("win32", "x86_64-pc-windows-msvc", ("win_amd64",))


@dataclass(frozen=True)
class Choice:
    """One package on one platform: the file to install, its size in bytes, and the sha256 of every file that may be
    (pip takes the best one for the host's glibc). ``url`` is where a source comes from; no lock holds it.
    """

    version: str
    file: str
    size: int
    hashes: frozenset[str]
    url: str = field(default="", compare=False, repr=False)


def parse_pylock(text: str, python: str, platform: Platform) -> dict[str, Choice]:
    """The chosen files by package name. Raises DataError for a package that has none."""
    pylock = Pylock.from_dict(msgspec.toml.decode(text))
    order = {tag: rank for rank, tag in enumerate(wheel_tags(python, platform))}
    packages = (replace(one, wheels=None) if one.name == platform.source else one for one in pylock.packages)
    return {package.name: choose(package, order, python, platform) for package in packages}


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
        (min(ranks), wheel.filename, wheel)
        for wheel in package.wheels or ()
        if (ranks := [order[tag] for tag in parse_wheel_filename(wheel.filename)[3] if tag in order])
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


def find_pure(choices: Mapping[str, Choice]) -> frozenset[str]:
    """The names of the packages that are chosen as source, each of which is pure.

    Raises DataError for one that is not, SourceError for one that cannot be fetched or is another file.
    """
    sources = {name: choice for name, choice in choices.items() if not choice.file.endswith(".whl")}
    for name, choice in sources.items():
        compiled = compiled_files(_fetch(name, choice), choice.file)
        if compiled:
            raise DataError(
                f"{name} {choice.version} cannot be installed on Windows without a compiler",
                f"the index has no wheel that fits, and its source holds {', '.join(compiled[:3])}",
                "pin a version with a wheel for win_amd64 in requirements.in",
            )
    return frozenset(sources)


def compiled_files(content: bytes, file: str) -> list[str]:
    """The files of a source distribution that have to be compiled. Raises SourceError for a damaged one."""
    try:
        if file.endswith(".zip"):
            names = zipfile.ZipFile(io.BytesIO(content)).namelist()
        else:
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                names = archive.getnames()
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise SourceError(f"{file} cannot be read", str(error), "run `make lock` again") from error
    return sorted(name for name in names if PurePosixPath(name).suffix.lower() in COMPILED)


def _fetch(name: str, choice: Choice) -> bytes:
    """The file itself, its sum verified."""
    if choice.url.startswith(("http://", "https://")):
        content = download.ask_index(choice.url, f"{choice.file} could not be fetched from the package index").content
    else:
        content = Path(unquote(urlsplit(choice.url).path)).read_bytes()
    if hashlib.sha256(content).hexdigest() not in choice.hashes:
        raise SourceError(f"{choice.file} of {name} is another file", "its sha256 is not the index's", "run it again")
    return content
