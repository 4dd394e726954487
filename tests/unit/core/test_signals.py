"""Signals are passed on, and a container that takes no notice is ended."""

from __future__ import annotations

import os
import signal
import time

import pytest

from gpuenv.core.signals import PassOn, passed_on

#: The code under test takes SIGALRM for itself.
pytestmark = pytest.mark.timeout(method="thread")


class Killed(list[str]):
    """Records the signals that were sent."""

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + 10
        while len(self) < count and time.monotonic() < deadline:
            time.sleep(0.005)


@pytest.fixture
def sent() -> Killed:
    return Killed()


def test_signals_go_to_the_container(sent: Killed) -> None:
    before = signal.getsignal(signal.SIGINT)
    receiver = PassOn(sent.append, is_terminal=False)
    with passed_on(receiver):
        receiver.started()
        for count, name in enumerate(("SIGINT", "SIGUSR1", "SIGQUIT", "SIGTERM"), start=1):
            os.kill(os.getpid(), getattr(signal, name))
            sent.wait_for(count)
    assert sent == ["SIGINT", "SIGUSR1", "SIGQUIT", "SIGTERM"]
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_what_comes_before_the_start_is_kept(sent: Killed) -> None:
    receiver = PassOn(sent.append, is_terminal=False)
    receiver.receive(signal.SIGINT)
    assert sent == []
    receiver.started()
    assert sent == ["SIGINT"]


def test_the_third_interrupt_kills(sent: Killed, capsys: pytest.CaptureFixture[str]) -> None:
    receiver = PassOn(sent.append, is_terminal=False)
    receiver.started()
    for _ in range(3):
        receiver.receive(signal.SIGINT)
    assert sent == ["SIGINT", "SIGINT", "SIGKILL"]
    assert "once more" in capsys.readouterr().err


def test_after_the_grace_it_is_killed(sent: Killed, capsys: pytest.CaptureFixture[str]) -> None:
    receiver = PassOn(sent.append, is_terminal=False, grace_s=0.05)
    with passed_on(receiver):
        receiver.started()
        os.kill(os.getpid(), signal.SIGTERM)
        sent.wait_for(2)
    assert sent == ["SIGTERM", "SIGKILL"]
    assert "did not end" in capsys.readouterr().err


def test_a_shell_is_told_that_its_terminal_ends(sent: Killed) -> None:
    receiver = PassOn(sent.append, is_terminal=True)
    with passed_on(receiver):
        receiver.started()
        receiver.receive(signal.SIGTERM)
    assert sent == ["SIGHUP"]


def test_what_is_ignored_stays_ignored(sent: Killed) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with passed_on(PassOn(sent.append, is_terminal=False)):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
