"""Signals are passed on, and a container that takes no notice is ended."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpuenv.core import processes, signals
from gpuenv.core.signals import Ended, PassOn, deferred, ending_cleanly, passed_on

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


def test_a_signal_is_held_back_until_it_is_asked_for() -> None:
    with ending_cleanly():
        before = signal.getsignal(signal.SIGTERM)
        with deferred() as deliver:
            os.kill(os.getpid(), signal.SIGTERM)
            with pytest.raises(Ended):
                deliver()
        assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_that_nobody_asks_for_comes_at_the_end() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), deferred():
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_what_is_ignored_is_not_held_back() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with deferred():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_program_that_signals_at_once_is_not_left_behind(tmp_path: Path) -> None:
    """Its very first act is a signal to whoever started it: that must find somebody who ends it."""
    note = tmp_path / "pid"
    for _ in range(6):
        with ending_cleanly(), pytest.raises(Ended):
            signals.run(["bash", "-c", f"echo $$ > {note}; kill -TERM $PPID; exec sleep 60"])
        assert processes.start_time(int(note.read_text())) is None


@pytest.mark.parametrize("end", ["exit 0", "exit 3", "kill -9 $$"])
def test_what_a_program_in_its_own_session_started_ends_with_it(end: str) -> None:
    reading, writing = os.pipe()
    signals.run(["bash", "-c", f"sleep 60 & {end}"], start_new_session=True, pass_fds=[writing])
    os.close(writing)
    # At once, as nobody holds the other end any more.
    assert select.select([reading], [], [], 5)[0]
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_the_child_takes_signals_as_usual() -> None:
    code = "import signal; print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, signal.pthread_sigmask(0, []))"
    done = signals.run([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert done.stdout == b"True set()\n"


def test_no_signal_is_lost_while_a_program_is_waited_for() -> None:
    """Each is answered before the next one comes; `Popen.wait` lost one in some thousands, and all ended there."""
    program = "import os, signal\nfor _ in range(5000): os.kill(os.getppid(), signal.SIGUSR1); os.read(0, 1)"
    source, sink = os.pipe()
    before = signal.signal(signal.SIGUSR1, lambda *_: os.write(sink, b"x"))
    try:
        with subprocess.Popen([sys.executable, "-S", "-c", program], stdin=source) as child:
            try:
                assert signals.wait(child) == 0
            finally:
                child.kill()
    finally:
        signal.signal(signal.SIGUSR1, before)
        os.close(source)
        os.close(sink)
    assert signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL


@pytest.mark.parametrize("state", ["pthread_sigmask(SIG_BLOCK, [SIGCHLD])", "signal(SIGCHLD, SIG_IGN)"])
def test_the_end_of_a_program_is_heard_whatever_our_caller_does_about_it(state: str) -> None:
    """Blocked or ignored is inherited."""
    ours = (
        "import subprocess\n"
        "from gpuenv.core import signals\n"
        "signals.hear_children()\n"
        "print(signals.wait(subprocess.Popen(['sh', '-c', 'sleep 0.1; exit 3'])))\n"
        "print(subprocess.call(['sh', '-c', 'exit 4']))\n"
    )
    theirs = f"import os, sys; from signal import *; {state}; os.execv(sys.argv[1], sys.argv[1:])"
    argv = [sys.executable, "-c", theirs, sys.executable, "-c", ours]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    assert (done.stdout, done.stderr) == ("3\n4\n", "")
