"""A terminal is lent and given back."""

from __future__ import annotations

import os
import select
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
    os.write(1, b"%d\\n" % client.pid)  # at once: print() writes a line in two pieces under PYTHONUNBUFFERED
    client.wait()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        stdout = process.stdout
        assert stdout is not None
        lines = {stdout.readline(), stdout.readline()}
        client = next(int(line) for line in lines if line != "ready\n")
        try:
            # A signal just before a system call is handled by Python only after the next one: so once more, if need be.
            send_until(process, signal.SIGWINCH, lambda: bool(select.select([stdout], [], [], 0)[0]))
            assert stdout.readline() == "size\n"
            send_until(process, signal.SIGTSTP, lambda: state_of(process.pid) == state_of(client) == "T")
            # Told twice, it stops twice.
            send_until(process, signal.SIGCONT, lambda: state_of(client) != "T")
        finally:
            # What failed is told; without this the end would be waited for.
            process.kill()
            os.kill(client, signal.SIGKILL)


def send_until(process: subprocess.Popen[str], number: signal.Signals, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        process.send_signal(number)
        patience = time.monotonic() + 1
        while not condition() and time.monotonic() < patience:
            time.sleep(0.02)


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


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
    finally:
        os.dup2(kept, 0)
        os.close(kept)
