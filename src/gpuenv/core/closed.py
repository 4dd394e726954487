"""Folders and files that the caller alone may read and write, whatever the umask: state, cache, logs."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gpuenv.core import ownership, ui
from gpuenv.core.errors import take_back


def folder(folder: Path, way_out: str = ownership.WAY_OUT, judge: Callable[[Path], object] = lambda _: None) -> Path:
    """Have a folder of the caller's own that is closed to others (0700 whatever the umask); returns it.

    What is missing above is made in the same way. One that was open to others is closed, with a word; one that they
    could write to is refused if it holds anything, for nobody knows what of it is theirs. ``judge`` may refuse what a
    folder of the caller's holds, before anything is changed. Raises HostError for what must not be trusted, and
    OSError for what the system refuses.
    """
    make(folder, way_out)
    if os.name != "posix":
        return folder
    way, (last, info) = ownership.parts(folder)
    if info.st_uid == 0 and os.geteuid() and way[-1][1].st_uid == os.geteuid():
        way_out = take_back(folder)
    ownership.refuse(folder, ownership.problem_on(way) or ownership.foreign(way, (last, info), private=True), way_out)
    if not stat.S_ISDIR(info.st_mode):
        ownership.refuse(folder, f"{last} is no folder", way_out)
    if info.st_mode & stat.S_ISVTX and ownership.others_write(info):
        why = f"{ownership.described(last, info)} is there for everybody"
        ownership.refuse(folder, why, f"name a folder in it: {folder}/gpuenv")
    judge(folder)
    if ownership.others_write(info) and any(Path(last).iterdir()):
        why = f"others could write to {ownership.described(last, info)}, and it is not empty"
        ownership.refuse(folder, why, f"if all that it holds is yours: `chmod 700 {last}`; else remove it")
    if info.st_mode & 0o077:
        _close(Path(last), info)
    return folder


def _close(folder: Path, before: os.stat_result) -> None:
    """Close a folder to others, where the file system keeps modes; elsewhere they may read it. Raises HostError."""
    with suppress(OSError):
        folder.chmod(0o700)
    info = folder.lstat()
    if ownership.others_write(info):
        why = f"others may write to {ownership.described(str(folder), info)}"
        ownership.refuse(folder, f"{why}, and its file system does not let that be changed", ownership.WAY_OUT)
    if info.st_mode != before.st_mode:
        ui.say(f"{folder} is closed to others now (its mode was {stat.S_IMODE(before.st_mode):04o})")


def opener(path: str, flags: int) -> int:
    """The ``opener`` of :func:`open` for what the caller alone may read: 0600 whatever the umask, no link followed.

    One that others could read is closed to them.
    """
    descriptor = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)
    if os.name == "posix" and os.fstat(descriptor).st_mode & 0o077:
        # A file system without modes keeps its own.
        with suppress(OSError):
            os.fchmod(descriptor, 0o600)
    return descriptor


def make(folder: Path, way_out: str = ownership.WAY_OUT) -> None:
    """Make a folder (0700), and what is missing above it, below a part that may be trusted.

    What root makes in a folder of who typed `sudo` is theirs, who needs it later. Raises HostError and OSError.
    """
    if os.name != "posix":
        folder.mkdir(parents=True, exist_ok=True)
        return
    missing: list[Path] = []
    top = folder.absolute()
    while not _is_there(top):
        missing.append(top)
        top = top.parent
    if not missing:
        return
    way, last = ownership.parts(top)
    ownership.refuse(folder, ownership.problem_on([*way, last]), way_out)
    for path in reversed(missing):
        # Whoever was quicker: the whole path is looked at again.
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
            if last[1].st_uid in ownership.by_sudo():
                _give(path, last[1])


def _give(folder: Path, above: os.stat_result) -> None:
    """Give a new folder of root's to the owner, and the group, of the one above it; no link is followed."""
    # Some file systems have one owner for all.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            os.fchown(descriptor, above.st_uid, above.st_gid)
        finally:
            os.close(descriptor)


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True
