"""What the libraries of a target have to be; pure, each raises CheckError."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gpuenv.core.errors import CheckError
from gpuenv.harness.judges.cuda import find
from gpuenv.harness.judges.grounds import require
from gpuenv.harness.judges.identity import rebuild

#: Where the stand-in is: the last folder that the loader looks into, after everything in its cache.
STAND_IN = "/usr/lib/libcuda.so.1"
_NOT_FOUND = re.compile(r"(?<!\S)(\S{1,400}\.so\S{0,40}): cannot open shared object file")


def judge_resolved(libraries: Iterable[Mapping[str, Any]], not_shipped: Sequence[str] = ()) -> None:
    """The loader finds every library that TensorFlow's libraries name, in a version that serves.

    ``not_shipped``: SONAMEs that an optional plug-in, but neither of the main libraries, may miss.
    """
    libraries = tuple(libraries)
    if not libraries:
        raise rebuild("no library of TensorFlow was found", "TensorFlow is not installed")
    missing = sorted({soname for library in libraries for soname in _missing(library, not_shipped)})
    if missing:
        raise rebuild(
            f"the loader does not find {', '.join(missing)}",
            "a CUDA library is missing, has another SONAME, or belongs to another CUDA version than TensorFlow",
        )
    complaints = [line for library in libraries for line in library["complaints"] if not _NOT_FOUND.search(line)]
    if complaints:
        raise rebuild(
            f"the loader complains: {complaints[0]}", "a library is older than TensorFlow needs (glibc, libstdc++)"
        )


def _missing(library: Mapping[str, Any], not_shipped: Sequence[str]) -> set[str]:
    """The SONAMEs that one library needs and the loader does not find."""
    # Asked to list, the loader stops at the first one that it does not find, and says so.
    stopped_at = [match[1] for line in library["complaints"] if (match := _NOT_FOUND.search(line))]
    missing = {*library["unresolved"], *stopped_at}
    # Only of the main libraries it is recorded what they need; a plug-in may go without.
    return missing if library["needed"] else missing - set(not_shipped)


def judge_symbols(libraries: Iterable[Mapping[str, Any]]) -> None:
    """Every symbol that TensorFlow binds is exported, with its version node."""
    libraries = tuple(libraries)
    require(libraries, "library of TensorFlow")
    missing = [symbol for library in libraries for symbol in library["missing_symbols"]]
    if missing:
        name, version, soname = missing[0]
        raise rebuild(
            f"{len(missing)} symbols that TensorFlow binds are not there, the first is {name}@{version} of {soname}",
            "the library found is of another version than the one that TensorFlow was linked with",
        )


def judge_loaded(loaded: Mapping[str, Mapping[str, Any]], sonames: Sequence[str]) -> None:
    """Every library that is loaded by name loads, and is the one that it is called."""
    require(sonames, "library to load")
    for soname in sonames:
        found = find(loaded, soname)
        if found.get("soname") != soname:
            raise rebuild(
                f"{found['path']} was loaded as {soname}, but its SONAME is {found.get('soname')!r}",
                "a library was renamed or linked to another version's name",
            )


def judge_driver_files(files: Iterable[str], flavor: str, *, in_cache: bool) -> None:
    """No file of the driver is in the image, but for the stand-in in its place."""
    allowed = {STAND_IN} if flavor == "gpu" else set()
    foreign = [path for path in files if path not in allowed]
    if foreign:
        raise rebuild(
            f"a library of the driver is part of the image: {', '.join(foreign[:5])}",
            "it hides the host's driver, and fails with any other version of the kernel module",
        )
    if in_cache:
        raise rebuild(
            "the loader's cache names libcuda.so.1",
            "ldconfig ran after the stand-in was put into its place, so the stand-in may win over a real driver",
        )


def judge_driver_wins(path: str | None, expected: str) -> None:
    """With a real driver library mounted, that one is loaded and not the stand-in."""
    if path != expected:
        raise rebuild(
            f"with a driver at {expected} the loader takes {path}",
            "the libcuda stand-in is found before the real driver",
        )


def judge_loader_settings(library_path: str | None, preload: str | None) -> None:
    """The image finds its libraries without LD_LIBRARY_PATH or LD_PRELOAD."""
    for name, value in (("LD_LIBRARY_PATH", library_path), ("LD_PRELOAD", preload)):
        if value:
            raise CheckError(
                f"{name} is set to {value!r}",
                "it changes which libraries every program finds; a stub of libcuda there hides the driver",
                f"unset {name}, or make clean and make images",
            )
