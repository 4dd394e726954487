"""A terminal is lent and given back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gpuenv.shell import terminal


@pytest.fixture
def screen() -> Iterator[int]:
    leader, follower = os.openpty()
    yield follower
    os.close(leader)
    os.close(follower)


def test_it_comes_back_after_an_error(screen: int) -> None:
    before = termios.tcgetattr(screen)

    def fail() -> None:
        with terminal.kept(screen):
            tty.setraw(screen)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert termios.tcgetattr(screen) == before


def test_a_terminal_that_is_gone_is_no_error() -> None:
    leader, follower = os.openpty()
    with terminal.kept(follower):
        os.close(leader)
    os.close(follower)


def test_a_program_is_told_of_a_new_size_and_stopped_with_us(tmp_path: Path) -> None:
    code = """
import os, signal, subprocess, sys
from gpuenv.shell import terminal
client = subprocess.Popen(["bash", "-c", "trap 'echo size' WINCH; echo ready; while :; do sleep 0.05; done"],
                          start_new_session=True)
with terminal.told_of(client):
    print(client.pid, flush=True)
    client.wait()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = {process.stdout.readline(), process.stdout.readline()}
        client = next(int(line) for line in lines if line != "ready\n")
        try:
            # It waits for the client: a signal a moment earlier would be handled only after the next one.
            wait_until(lambda: state_of(process.pid) == "S")
            process.send_signal(signal.SIGWINCH)
            assert process.stdout.readline() == "size\n"
            wait_until(lambda: state_of(process.pid) == "S")
            process.send_signal(signal.SIGTSTP)
            wait_until(lambda: state_of(process.pid) == state_of(client) == "T")
            process.send_signal(signal.SIGCONT)
            wait_until(lambda: state_of(client) != "T")
        finally:
            # What failed is told; without this the end would be waited for.
            os.kill(client, signal.SIGKILL)
            process.send_signal(signal.SIGCONT)


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_is_a_terminal(screen: int) -> None:
    assert os.isatty(screen)
    assert not os.isatty(12345)
    with Path(os.devnull).open() as stream:
        assert not os.isatty(stream.fileno())


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
