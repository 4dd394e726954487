"""Signals to this process: passed on to what it runs, or held back while that is started."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from types import FrameType
from typing import Any

from gpuenv.core import captured, ui

#: Passed on as they are. Not SIGTSTP: stopping us stops only our side.
PASSED_ON = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
#: Windows has no SIGHUP and no SIGQUIT.
_ENDING = tuple(name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
_DEFERRED = tuple(name for name in ("SIGINT", "SIGQUIT", *_ENDING) if hasattr(signal, name))
#: What `docker stop` gives a container between asking and killing.
GRACE_S = 10.0
_INTERRUPTS_BEFORE_KILL = 3
#: A killed process is gone within milliseconds, unless nobody asks for its end: in a container without an init.
_END_S = 2.0


class Ended(KeyboardInterrupt):
    """A signal that asks us to end (SIGTERM, SIGHUP): whoever cleans up after Ctrl-C cleans up after these, too."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def hear_children() -> None:
    """Take back a SIGCHLD that our caller ignores: the system tells no exit code then, and 0 is taken for it."""
    if hasattr(signal, "SIGCHLD") and signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


@contextmanager
def _handled(names: Sequence[str], handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before: dict[int, Any] = {}
    is_main = threading.current_thread() is threading.main_thread()
    try:
        for number in (getattr(signal, name) for name in names if is_main):
            # What our caller ignores stays ignored: `nohup make gpu-shell` means it.
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.getsignal(number)
                signal.signal(number, handler)
        yield
    finally:
        while before:
            signal.signal(*before.popitem())


def ending_cleanly() -> AbstractContextManager[None]:
    """Within this, SIGTERM and SIGHUP raise :class:`Ended`, unless our caller ignores them."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise Ended(number)

    return _handled(_ENDING, end)


@contextmanager
def deferred() -> Iterator[Callable[[], None]]:
    """Hold back what would end this process until the function that is given is called, at the latest until the end.

    For the lines that start something: a signal between the start and the `try` that ends what was started would
    leave it behind. Held back by handlers, not by a mask, because a child inherits a mask.
    """
    held: list[int] = []
    with ExitStack() as handlers:
        handlers.enter_context(_handled(_DEFERRED, lambda number, _frame: held.append(number)))

        def deliver() -> None:
            handlers.close()
            while held:
                signal.raise_signal(held.pop(0))

        try:
            yield deliver
        finally:
            deliver()


def run(
    argv: Sequence[str], timeout_s: float | None = None, patience_s: float = 0, **options: Any
) -> subprocess.CompletedProcess[Any]:
    """Run a program that ends with this process, also if a signal arrives at its start; ``options`` as for `Popen`.

    ``patience_s`` is its time to tidy up before it is killed. In a session of its own (``start_new_session``), what it
    started ends with it. Of what comes through pipes the end is kept. Raises subprocess.TimeoutExpired, and
    captured.FloodError for a program that prints without end.
    """
    with ExitStack() as stack:
        deliver = stack.enter_context(deferred())
        process = stack.enter_context(subprocess.Popen(argv, **options))
        if options.get("start_new_session"):
            stack.callback(_end_group, process)
        try:
            deliver()
            stdout, stderr = captured.communicate(process, timeout_s)
        except BaseException:
            try:
                if patience_s:
                    process.terminate()
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(patience_s)
            finally:
                process.kill()
            raise
    return subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)


def ask(argv: Sequence[str], timeout_s: float | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program for what it says, on both streams; ``options`` as for `Popen`.

    Raises subprocess.TimeoutExpired, and OSError where it cannot be started or prints without end.
    """
    return run(argv, timeout_s, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of ``process``, in the main thread; its exit code.

    `Popen.wait` is blind to a signal in the moment before it: the handler would run only after the next one, and a
    Ctrl-C be lost. The interpreter writes a byte for each signal, which is still there when we come to read.
    """
    source, sink = os.pipe()
    os.set_blocking(sink, False)
    # Neither ignored nor blocked, so that the child's end is a signal, too.
    before = signal.signal(signal.SIGCHLD, lambda *_: None), signal.set_wakeup_fd(sink, warn_on_full_buffer=False)
    mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    try:
        while process.poll() is None:
            os.read(source, 4096)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.set_wakeup_fd(before[1])
        signal.signal(signal.SIGCHLD, before[0])
        os.close(source)
        os.close(sink)
    return process.returncode


def _end_group(process: subprocess.Popen[Any]) -> None:
    """End what is left of a process' group, and see it gone: nothing writes any more where we tidy up."""
    deadline = time.monotonic() + _END_S
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        while time.monotonic() < deadline:
            os.killpg(process.pid, 0)
            time.sleep(0.01)


class PassOn:
    """Passes signals on with ``kill(name)``, and sees to it that the container ends when it should.

    The third Ctrl-C kills (one asks, a second is what Jupyter wants); so does the time after SIGTERM or SIGHUP. An
    interactive shell takes no notice of SIGTERM, but of its terminal's end: there SIGHUP is sent for both.
    """

    def __init__(self, kill: Callable[[str], None], *, is_terminal: bool, grace_s: float = GRACE_S) -> None:
        self._kill = kill
        self._is_terminal = is_terminal
        self._grace_s = grace_s
        self._interrupts = 0
        self._is_started = False
        self._early: list[str] = []

    def started(self) -> None:
        """The container runs: what came before is passed on now."""
        self._is_started = True
        for name in self._early:
            self._kill(name)

    def receive(self, number: int, _frame: FrameType | None = None) -> None:
        """The handler of each signal."""
        name = signal.Signals(number).name
        if name == "SIGINT":
            self._interrupts += 1
        if name == "SIGALRM":
            ui.say(f"the container did not end within {self._grace_s:.0f} s; killed")
            name = "SIGKILL"
        elif self._interrupts >= _INTERRUPTS_BEFORE_KILL:
            name = "SIGKILL"
        elif self._interrupts == _INTERRUPTS_BEFORE_KILL - 1:
            ui.say("still running; press Ctrl-C once more to kill it")
        if name in _ENDING:
            signal.setitimer(signal.ITIMER_REAL, self._grace_s)
            name = "SIGHUP" if self._is_terminal else name
        if self._is_started:
            self._kill(name)
        else:
            self._early.append(name)


@contextmanager
def passed_on(receiver: PassOn) -> Iterator[None]:
    """Within this, ``receiver`` gets the signals; afterwards whoever had them before."""
    with _handled((*PASSED_ON, "SIGALRM"), receiver.receive):
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
