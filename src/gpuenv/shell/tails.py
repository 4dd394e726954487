"""The end of what a program writes, kept while it passes on: if the program fails, `make explain` may know why."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager

#: As much as the catalog looks at (explain.TAIL_BYTES) is plenty: a traceback of TensorFlow has some 10 kB.
KEPT_BYTES = 64_000
_CHUNK = 1 << 16
#: A program that went into the background may keep its errors open; nobody waits for it longer than this.
_DRAIN_S = 0.5


class Tail:
    """Keeps the last :data:`KEPT_BYTES` of what is added, whatever stream it was for."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def add(self, data: bytes | memoryview) -> None:
        """Add a piece."""
        self._kept += data
        if len(self._kept) > 2 * KEPT_BYTES:
            del self._kept[:-KEPT_BYTES]

    @property
    def text(self) -> str:
        """What is kept; what is no UTF-8 is replaced."""
        return bytes(self._kept[-KEPT_BYTES:]).decode("utf-8", "replace")


@contextmanager
def errors_kept(tail: Tail) -> Iterator[int]:
    """A descriptor for a program's standard errors, which go on to ours and into ``tail``.

    A terminal where ours is one: programs write differently there. It ends with this context.
    """
    source, sink = _open_terminal() if os.isatty(2) else os.pipe()
    thread = threading.Thread(target=_pass_on, args=(source, tail), daemon=True)
    sys.stderr.flush()
    thread.start()
    try:
        yield sink
    finally:
        os.close(sink)
        thread.join(_DRAIN_S)


def _open_terminal() -> tuple[int, int]:
    source, sink = pty.openpty()
    # Line ends are left to the real terminal behind it.
    tty.setraw(sink)
    with contextlib.suppress(OSError):
        fcntl.ioctl(sink, termios.TIOCSWINSZ, fcntl.ioctl(2, termios.TIOCGWINSZ, bytes(8)))
    return source, sink


def _pass_on(source: int, tail: Tail) -> None:
    with open(source, "rb", buffering=0) as stream:
        while True:
            try:
                data = stream.read(_CHUNK)
            except OSError:
                # What a terminal answers when its last writer is gone.
                return
            if not data:
                return
            tail.add(data)
            # Whoever reads our errors may have gone; the program is not told.
            with contextlib.suppress(OSError):
                # Also where somebody else made them non-blocking.
                while data:
                    select.select([], [2], [])
                    with contextlib.suppress(BlockingIOError):
                        data = data[os.write(2, data) :]
