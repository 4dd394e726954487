"""A terminal is lent and given back."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpuenv.shell import terminal


@pytest.fixture
def screen() -> Iterator[int]:
    leader, follower = os.openpty()
    yield follower
    os.close(leader)
    os.close(follower)


def set_size(descriptor: int, rows: int, columns: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def test_it_is_raw_and_comes_back_after_an_error(screen: int) -> None:
    before = termios.tcgetattr(screen)

    def fail() -> None:
        with terminal.raw(screen):
            assert not termios.tcgetattr(screen)[3] & (termios.ECHO | termios.ICANON | termios.ISIG)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert termios.tcgetattr(screen) == before


def test_the_size_is_told_now_and_when_it_changes(screen: int) -> None:
    sizes: list[tuple[int, int]] = []
    before = signal.getsignal(signal.SIGWINCH)
    set_size(screen, 24, 80)
    with terminal.sized(screen, lambda rows, columns: sizes.append((rows, columns))):
        set_size(screen, 50, 132)
        signal.raise_signal(signal.SIGWINCH)
    assert sizes == [(24, 80), (50, 132)]
    assert signal.getsignal(signal.SIGWINCH) is before


def test_a_terminal_without_a_size_tells_none(screen: int) -> None:
    sizes: list[int] = []
    with terminal.sized(screen, lambda *size: sizes.extend(size)):
        pass
    assert sizes == []


def test_what_is_a_terminal(screen: int) -> None:
    assert terminal.is_terminal(screen)
    assert not terminal.is_terminal(12345)
    with Path(os.devnull).open() as stream:
        assert not terminal.is_terminal(stream.fileno())


def test_input_that_can_be_read(screen: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = os.dup(0)
    try:
        # A terminal that is not the one that controls us.
        os.dup2(screen, 0)
        assert terminal.input_descriptor() == 0
        monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp() + 1)
        assert terminal.input_descriptor() is None
        os.close(0)
        assert terminal.input_descriptor() is None
    finally:
        os.dup2(kept, 0)
        os.close(kept)
