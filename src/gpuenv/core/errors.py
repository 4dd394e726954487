"""Errors that a person is meant to read: what failed, why, and what to type next.

Only :func:`gpuenv.cli.main` prints them and turns them into an exit code; everything else raises.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

#: No part of an error, nor a finding, is longer: some quote what a program or a host said, and that may be one line of
#: megabytes. More than anybody reads, and enough for a list of all packages of an environment.
PART_CHARACTERS = 10_000


def shortened(text: str) -> str:
    """The text, or so much of its beginning as a person may read."""
    return text if len(text) <= PART_CHARACTERS else f"{text[:PART_CHARACTERS]}... ({len(text)} characters)"


class GpuenvError(Exception):
    """What failed, why, and what to do next. ``exit_code`` is what the process returns."""

    exit_code = 1

    def __init__(self, what: str, why: str, next_step: str) -> None:
        super().__init__(what, why, next_step)
        self.what = shortened(what)
        self.why = shortened(why)
        self.next_step = shortened(next_step)

    def __str__(self) -> str:
        return f"{self.what}\n  cause: {self.why}\n  next:  {self.next_step}"


class UsageError(GpuenvError):
    """The command line or a setting is not usable."""

    exit_code = 2


class DataError(GpuenvError):
    """A file of the project (variant, lock) is not what it has to be."""

    exit_code = 3


class HostError(GpuenvError):
    """This machine cannot do what was asked (processor, disk, missing program)."""

    exit_code = 4


class EngineError(GpuenvError):
    """No container engine, or it stopped answering."""

    exit_code = 5


class SourceError(GpuenvError):
    """Something could not be fetched, or what came is not what the lock names."""

    exit_code = 6


class BuildError(GpuenvError):
    """An image could not be built."""

    exit_code = 7


class CheckError(GpuenvError):
    """The harness ran and found failures, or could not run."""

    exit_code = 8


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The one of ``known`` that ``name`` may be a misspelling of; None if none is as near as ``cutoff`` (difflib's)."""
    import difflib  # for nobody who spells well

    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=cutoff)), None)


def suggest_known(kind: str, name: str, known: list[str]) -> UsageError:
    """The error for a ``name`` that is none of ``known``; it lists them and names the nearest, if one is near."""
    near = nearest(name.lower(), known)
    variable = kind.upper().replace("-", "_")
    return UsageError(
        f"there is no {kind} {name!r}",
        f"known: {', '.join(known) or 'none'}",
        f"did you mean {variable}={near}?" if near else "name one of these, or leave it out",
    )


def full_disk(error: Exception) -> HostError | None:
    """An error of the system in words, if it says that a disk, or the user's share of it, is full; else None."""
    if not (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)):
        return None
    remedy = "make room (`make clean` removes what this project made), then repeat"
    return full_output() or HostError("the disk is full", str(error), remedy)


def full_output() -> HostError | None:
    """The error for standard output, or errors, that go to where no room is left; None if they do not."""
    names = {1: "standard output", 2: "standard error"}
    full = [name for number, name in names.items() if _is_full(number)]
    remedy = "make room there, or send the output elsewhere, then repeat"
    return HostError(f"the place where {full[0]} goes is full", "no space is left there", remedy) if full else None


def _is_full(descriptor: int) -> bool:
    """Whether nothing more can be written: a device that says so (/dev/full), or a file where no block is free."""
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return os.fstatvfs(descriptor).f_bavail == 0
        return os.write(descriptor, b"") != 0
    except OSError as error:
        return error.errno == errno.ENOSPC


def removed_folder(error: Exception) -> HostError | None:
    """An error of the system in words, if it comes from a current folder that is no more; else None."""
    if not isinstance(error, FileNotFoundError) or Path(error.filename or "").is_absolute():
        return None
    try:
        Path.cwd()
    except FileNotFoundError:
        remedy = "cd to another folder, then repeat"
        return HostError("the current folder has been removed", "no path leads to it any more", remedy)
    return None


def closed_file(error: Exception) -> HostError | None:
    """An error of the system in words, if it keeps this user from a file or folder; else None."""
    if not (isinstance(error, OSError) and error.filename and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)):
        return None
    elsewhere = "make it yours, or set GPUENV_STATE_DIR and GPUENV_CACHE_DIR to other folders"
    folder = _own_with_roots(error.filename)
    return HostError(
        f"{error.filename} cannot be used",
        f"the system says: {error.strerror}" + (", and it is root's, as after `sudo`" if folder else ""),
        take_back(folder) if folder else elsewhere,
    )


def take_back(folder: Path) -> str:
    """What to type where root has left things in a folder of the user's."""
    import shlex  # for an error alone

    return f'`sudo chown -R "$(id -u)" {shlex.quote(str(folder))}` makes it yours again'


def _own_with_roots(path: str | bytes) -> Path | None:
    """The nearest folder of the user's own above a path, if what lies between is root's; else None."""
    is_roots = False
    uid = getattr(os, "geteuid", int)()
    for part in (Path(os.fsdecode(path)), *Path(os.fsdecode(path)).parents):
        try:
            owner = part.lstat().st_uid
        except OSError:
            # It is not there, or in a folder of root's that is closed.
            continue
        if owner:
            return part if is_roots and owner == uid else None
        is_roots = True
    return None
