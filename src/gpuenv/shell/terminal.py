"""Our terminal while a container's program has it: raw, of the right size, and given back as it was."""

from __future__ import annotations

import os
import signal
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Resize = Callable[[int, int], None]


@contextmanager
def raw(descriptor: int) -> Iterator[None]:
    """Every key goes to the container, Ctrl-C too; the settings come back whatever happens."""
    before = termios.tcgetattr(descriptor)
    # TCSADRAIN, not the default: what was typed ahead stays.
    tty.setraw(descriptor, termios.TCSADRAIN)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextmanager
def sized(descriptor: int, resize: Resize) -> Iterator[None]:
    """Call ``resize(rows, columns)`` now and whenever the size of the terminal changes."""

    def tell(_number: int = 0, _frame: FrameType | None = None) -> None:
        try:
            columns, rows = os.get_terminal_size(descriptor)
        except OSError:
            return
        if rows and columns:
            resize(rows, columns)

    before = signal.signal(signal.SIGWINCH, tell)
    try:
        tell()
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def is_terminal(descriptor: int) -> bool:
    """Whether ``descriptor`` is open and a terminal."""
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def input_descriptor() -> int | None:
    """Standard input, or None where it is closed, or where reading it would stop us as a terminal's background job."""
    try:
        os.fstat(0)
    except OSError:
        return None
    return None if _is_background(0) else 0


def _is_background(descriptor: int) -> bool:
    try:
        return os.tcgetpgrp(descriptor) != os.getpgrp()
    except OSError:
        # No terminal, or not the one that controls us: nobody stops us.
        return False
