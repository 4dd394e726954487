"""Locks a file between processes; the kernel releases it even after `kill -9`."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpuenv.core import ownership, ui
from gpuenv.core.errors import HostError


@contextmanager
def held(path: Path, waiting: str | None) -> Iterator[int]:
    """Hold the exclusive lock on ``path`` (made if missing; never removed, so that all lock the same file).

    ``waiting`` is what a person is told when another process has it; with None nobody waits, and that is a
    BlockingIOError. Yields the descriptor: a program that inherits it holds the lock too, until it ends. HostError for
    a link, and for somebody else's: who holds it decides when we go on.
    """
    import fcntl  # not on Windows, where doctor and explain answer, too

    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _open(path)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is None:
                raise
            ui.say(waiting)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _unusable(path, "it is a link, and would be made wherever that leads") from error
        raise
    owner = os.fstat(descriptor).st_uid
    if owner not in (*ownership.callers(), 0):
        os.close(descriptor)
        raise _unusable(path, f"it is of user {owner}, who is neither you nor root")
    return descriptor


def _unusable(path: Path, why: str) -> HostError:
    return HostError(f"the lock {path} is not used", why, "remove it, or name another folder")
