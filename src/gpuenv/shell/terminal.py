"""The user's terminal while another program has it."""

from __future__ import annotations

import os
import signal
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType


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
    """Standard input, or None where it is closed, or where reading it would stop us as a terminal's background job."""
    try:
        os.fstat(0)
    except OSError:
        return None
    try:
        return 0 if os.tcgetpgrp(0) == os.getpgrp() else None
    except OSError:
        # No terminal, or not the one that controls us: nobody stops us.
        return 0
