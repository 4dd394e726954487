"""Runs the engine's build client: progress for people, a log on disk, ended when this process ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from gpuenv.core import closed, processes, signals, ui
from gpuenv.images.log import KEPT_LINES, StepReader, strip_prefix
from gpuenv.net import redact

#: Time for the client to tell the engine to stop before it is killed.
CANCEL_TIMEOUT_S = 10


def run_client(argv: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path) -> tuple[int, list[str]]:
    """Run a build in ``folder``; returns the exit status and the last lines, without prefixes.

    The client never outlives this process: a Ctrl-C is passed on and waited for, and after `kill -9` the
    kernel ends it. An engine stops the build when its client goes.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    last: deque[str] = deque(maxlen=KEPT_LINES)
    reader = StepReader()
    with (
        open(log, "w", encoding="utf-8", opener=closed.opener) as file,
        _started(argv, environment, folder) as client,
        _display() as show,
    ):
        for line in client.stdout or ():
            file.write(redact.text(line))
            last.append(strip_prefix(line))
            if ui.debug_enabled():
                ui.say(line.rstrip())
            show(reader.read(line), reader.current)
        return client.wait(), list(last)


@contextmanager
def _started(argv: Sequence[str], environment: Mapping[str, str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    # A session of its own: a Ctrl-C on the terminal reaches this process alone, which decides what follows.
    with (
        signals.deferred() as deliver,
        subprocess.Popen(
            argv,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            bufsize=1,
            start_new_session=True,
            preexec_fn=processes.ending_with_parent(signal.SIGTERM),  # noqa: PLW1509 (no thread of ours runs yet, and it makes one system call)
        ) as client,
    ):
        try:
            deliver()
            yield client
        except BaseException:
            _cancel(client)
            raise


def _cancel(client: subprocess.Popen[str]) -> None:
    for number in (signal.SIGINT, signal.SIGKILL):
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(client.pid, number)
            client.wait(CANCEL_TIMEOUT_S)


@contextmanager
def _display() -> Iterator[Callable[[str | None, str], None]]:
    """A function that says finished steps; on a terminal also a live line with the current one."""
    if not sys.stderr.isatty():
        yield lambda finished, _current: ui.say(finished) if finished else None
        return
    from rich.text import Text

    console = ui.console()
    with console.status("starting") as status:

        def show(finished: str | None, current: str) -> None:
            if finished:
                console.print(Text(f"{ui.PREFIX}{finished}"))
            # As Text: what a build prints is no markup.
            status.update(Text(current or "working"))

        yield show
