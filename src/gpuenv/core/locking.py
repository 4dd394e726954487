"""Locks a file between processes; the kernel releases it even after `kill -9`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpuenv.core import ui


@contextmanager
def held(path: Path, waiting: str | None) -> Iterator[int]:
    """Hold the exclusive lock on ``path`` (made if missing; never removed, so that all lock the same file).

    ``waiting`` is what a person is told when another process has it; with None nobody waits, and that is a
    BlockingIOError. Yields the descriptor: a program that inherits it holds the lock too, until it ends.
    """
    import fcntl  # not on Windows, where doctor and explain answer, too

    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
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
