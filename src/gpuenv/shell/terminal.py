"""The user's terminal and errors while another program has them; the end of what it writes is kept.

If the program fails, `make explain` may know why.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

#: As much as the catalog looks at (explain.TAIL_BYTES) is plenty: a traceback of TensorFlow has some 10 kB.
KEPT_BYTES = 64_000
_CHUNK = 1 << 16
#: A program that went into the background may keep its errors open; nobody waits for it longer than this.
_DRAIN_S = 0.5


@contextmanager
def kept(descriptor: int) -> Iterator[None]:
    """The settings come back whatever a program does to them, and however it ends."""
    before = termios.tcgetattr(descriptor)
    try:
        yield
    finally:
        # TCSADRAIN: what was typed ahead stays. The terminal may be gone.
        with suppress(termios.error):
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextmanager
def told_of(client: subprocess.Popen[bytes]) -> Iterator[None]:
    """A program that is not in the foreground is told what the kernel tells us of the terminal: a new size, Ctrl-Z."""

    def resize(number: int, _frame: FrameType | None) -> None:
        client.send_signal(number)

    def stop(_number: int, _frame: FrameType | None) -> None:
        # It must not read on what is now typed for another program.
        client.send_signal(signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        client.send_signal(signal.SIGCONT)

    before = {number: signal.getsignal(number) for number in (signal.SIGWINCH, signal.SIGTSTP)}
    signal.signal(signal.SIGWINCH, resize)
    if before[signal.SIGTSTP] is not signal.SIG_IGN:
        signal.signal(signal.SIGTSTP, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def input_descriptor() -> int | None:
    """Standard input, or None where reading it would stop us as a terminal's background job."""
    try:
        return 0 if os.tcgetpgrp(0) == os.getpgrp() else None
    except OSError:
        # No terminal, or not the one that controls us: nobody stops us.
        return 0


@contextmanager
def errors_kept(tail: bytearray) -> Iterator[int]:
    """A descriptor for a program's standard errors, which go on to ours; their end is left in ``tail``.

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
    with suppress(OSError):
        fcntl.ioctl(sink, termios.TIOCSWINSZ, fcntl.ioctl(2, termios.TIOCGWINSZ, bytes(8)))
    return source, sink


def _pass_on(source: int, tail: bytearray) -> None:
    with open(source, "rb", buffering=0) as stream:
        while True:
            try:
                data = stream.read(_CHUNK)
            except OSError:
                # What a terminal answers when its last writer is gone.
                return
            if not data:
                return
            tail += data
            del tail[:-KEPT_BYTES]
            # Whoever reads our errors may have gone; the program is not told.
            with suppress(OSError):
                # Also where somebody else made them non-blocking.
                while data:
                    select.select([], [2], [])
                    with suppress(BlockingIOError):
                        data = data[os.write(2, data) :]
