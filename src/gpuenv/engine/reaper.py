"""Starts a watchdog process, which removes a container when its creator dies, even by SIGKILL.

It (`reaper_main.py`) waits at the other end of a pipe. When this process ends in order it is told so; when the pipe
just closes, it removes the container and gives the terminal back its settings.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpuenv.engine.model import Engine

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE = Path("/proc/self/ns/pid")
_MAIN = Path(__file__).with_name("reaper_main.py")


class Watch:
    """One watcher: :meth:`done` tells it that its container is gone."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None  # noqa: S101 - it was started with a pipe
        self._process = process
        self._pipe = process.stdin

    def done(self) -> None:
        """The container is gone: nothing is left to do but a look for those of others that were left behind."""
        self._say(b"done")

    def remove(self) -> None:
        """The container is to be removed; the terminal is in order."""
        self._say(b"remove")

    def _say(self, word: bytes) -> None:
        with suppress(BrokenPipeError):
            self._pipe.write(word)

    def close(self) -> None:
        """Let go of the watcher; without :meth:`done` before, it removes the container now."""
        self._pipe.close()
        # It goes on alone, and init takes it over: nobody waits for it.
        self._process.returncode = 0


@contextmanager
def watching(engine: Engine, name: str, terminal: int | None = None) -> Iterator[Watch]:
    """Have the container called ``name`` (not made yet) removed if this process dies.

    ``terminal``: the descriptor of a terminal whose present settings are then restored.
    """
    # A number of its own: 0, 1 and 2 are other things there.
    copy = None if terminal is None else fcntl.fcntl(terminal, fcntl.F_DUPFD_CLOEXEC, 3)
    order = {
        **vars(engine),
        "name": name,
        "host": host_id(),
        "terminal": copy,
        "settings": None if copy is None else _settings(copy),
    }
    # A process of its own, not a fork: the harness runs threads, and a fork of those may hang. It costs next to
    # nothing here, because it imports nothing before it has something to do (-S: no site packages either).
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(_MAIN), json.dumps(order, default=str)],
        stdin=subprocess.PIPE,
        # Not ours: whoever reads our output to its end must not wait for the watcher.
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        # Out of reach of Ctrl-C, and of a kill of the whole process group.
        start_new_session=True,
        pass_fds=() if copy is None else (copy,),
        bufsize=0,
    )
    watch = Watch(process)
    if copy is not None:
        os.close(copy)
    try:
        yield watch
    finally:
        watch.close()


@cache
def host_id() -> str:
    """Where the process numbers in an owner's label mean something: this boot, this PID namespace, this user.

    An engine may be shared with other machines and with containers, and other users' processes may be hidden.
    """
    return f"{_boot_id()}/{os.getuid()}"


def _boot_id() -> str:
    with suppress(OSError):
        return f"{_BOOT_ID.read_text().strip()}/{_PID_NAMESPACE.readlink()}"
    # macOS; the boot time is `{ sec = 1700000000, usec = 0 } Tue Nov 14 ...`.
    with suppress(OSError):
        said = subprocess.run(["sysctl", "-n", "kern.boottime"], capture_output=True, text=True, check=False).stdout
        return f"{os.uname().nodename}/{re.sub(r'^.*?sec = |,.*$', '', said.strip())}"
    return os.uname().nodename


def _settings(terminal: int) -> list[Any]:
    """A terminal's settings as JSON holds them; the control characters are bytes, or numbers already."""
    *flags, characters = termios.tcgetattr(terminal)
    return [*flags, [item[0] if isinstance(item, bytes) else item for item in characters]]
