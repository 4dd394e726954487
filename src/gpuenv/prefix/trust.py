"""Whose an environment is: it counts only where nobody but the caller and root decides what runs in it.

Its folder, its marks, ``bin`` and ``bin/python`` (the link, and what that leads to) are looked at; a folder above it
may be a group's. What is made here is closed to others, whatever the umask and the access lists of the folder above.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpuenv.core import ownership
from gpuenv.core.errors import HostError

#: What says that a folder is an environment of ours: written last, and until then.
COMPLETE = "gpuenv-complete"
BEGUN = "gpuenv-begun"
#: What is looked at, as far as it is there. What lies below belongs to whom its folder belongs, unless they opened it.
_PARTS = (".", COMPLETE, BEGUN, "bin", "bin/python")
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def problem(folder: Path) -> str | None:
    """Why what is in ``folder`` must not be used, with owner and mode; None if it may, or nothing is in there."""
    try:
        # An empty one is made anew, and looked at then.
        if folder.is_dir() and not any(folder.iterdir()):
            return None
        parts = [folder / name for name in _PARTS if (folder / name).exists()]
    except OSError as error:
        return f"{error.filename} cannot be looked at: {error.strerror}"
    return next(filter(None, map(ownership.problem, parts)), None)


def check(folder: Path) -> None:
    """Raise HostError if what is in ``folder`` must not be used, with the way out."""
    why = problem(folder)
    if why is not None:
        raise HostError(f"the environment {folder} is not used", why, _way_out(folder))


def _way_out(folder: Path) -> str:
    elsewhere = "name another folder with PREFIX= to have one of your own"
    try:
        owner, open_to_others = folder.lstat().st_uid, any(map(_is_open, (folder / name for name in _PARTS)))
    except OSError:
        return elsewhere
    if owner not in (*ownership.callers(), 0):
        return f"run this as its owner, or {elsewhere}" if os.geteuid() == 0 else elsewhere
    if open_to_others:
        return f"`chmod -R go-w {folder}` if nobody else has put anything there, or {elsewhere}"
    return elsewhere


def _is_open(path: Path) -> bool:
    return path.exists() and bool(path.stat().st_mode & _OTHERS_WRITE)


def is_own(folder: Path) -> bool:
    """Whether a folder is the caller's alone: root's is used by everybody, and removed or made anew by root."""
    uid = os.geteuid()
    return folder.lstat().st_uid in (ownership.callers() if uid == 0 else {uid})


def check_place(folder: Path) -> None:
    """Raise HostError if what is made in the place of ``folder``, where nothing is, could not be used; or OSError."""
    # 0755 is the most, also where an access list of the folder above stands for the umask.
    folder.mkdir(mode=0o755)
    try:
        why = ownership.problem(folder)
    finally:
        folder.rmdir()
    if why is not None:
        raise _taken(folder, why)


def make(folder: Path) -> None:
    """Make the folder of an environment, which is ours from its first moment. Raises HostError if somebody else did."""
    try:
        folder.mkdir(mode=0o755)
    except FileExistsError as error:
        raise _taken(folder, "somebody made it at this moment") from error


def check_maker(folder: Path, program: str) -> None:
    """Raise HostError if anybody could make ``folder`` before a program which takes one that is there."""
    info = folder.parent.stat()
    if info.st_mode & stat.S_IWOTH:
        why = f"anybody may make it in {folder.parent} just before {program} does, which would take it"
        raise _taken(folder, why, f"name a folder in one of your own: PREFIX={folder}/env")


def check_made(folder: Path) -> None:
    """Raise HostError if what a program made or fills at this moment is somebody else's."""
    if os.path.lexists(folder) and not is_own(folder):
        raise _taken(folder, f"it is of user {folder.lstat().st_uid}, who made it at this moment")


def _taken(folder: Path, why: str, way_out: str = "name another folder with PREFIX=") -> HostError:
    return HostError(f"{folder} is no place for an environment", why, way_out)


def mark_begun(folder: Path) -> None:
    """Leave the mark of what is half made. Raises OSError, also where somebody has put a link in its place."""
    os.close(os.open(folder / BEGUN, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644))


@contextmanager
def closed_to_others() -> Iterator[None]:
    """Within this, what is made is not open to others for writing, whatever the umask."""
    umask = os.umask(0o077)
    os.umask(umask | _OTHERS_WRITE)
    try:
        yield
    finally:
        os.umask(umask)


def close(folder: Path) -> None:
    """Take the right to write in all of ``folder`` from everybody but the owner.

    Packages of conda come with it, and the access list of a folder above gives it, whatever the umask.
    """
    for place, _, names in os.walk(folder):
        for path in (Path(place), *(Path(place, name) for name in names)):
            mode = path.lstat().st_mode
            if not stat.S_ISLNK(mode) and mode & _OTHERS_WRITE:
                path.chmod(stat.S_IMODE(mode) & ~_OTHERS_WRITE)
