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
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from gpuenv.core import processes
from gpuenv.core.errors import EngineError
from gpuenv.engine.model import Engine

_CLOCKS = re.compile(r"/(time:\[\d+\])")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MAIN = Path(__file__).with_name("reaper_main.py")
#: What a watcher is told: its container is gone, or it is to remove it and the terminal is in order.
DONE, REMOVE = b"done", b"remove"
#: A container whose making was under way when the parent died appears a little later.
_PATIENCE_S = 10.0
_PAUSE_S = 0.2


@contextmanager
def watching(
    engine: Engine, name: str, terminal: int | None = None, mark: Path | None = None
) -> Iterator[Callable[[bytes], None]]:
    """Have the container called ``name`` (not made yet) removed at the end, unless the function given is told DONE.

    If nothing was told, the present settings of ``terminal``, a descriptor, are restored and ``mark`` is removed.
    """
    # A number of its own: 0, 1 and 2 are other things there.
    copy = None if terminal is None else fcntl.fcntl(terminal, fcntl.F_DUPFD_CLOEXEC, 3)
    order = {
        **vars(engine),
        "name": name,
        "host": host_id(),
        "terminal": copy,
        "settings": None if copy is None else _settings(copy),
        "mark": mark,
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
    pipe = process.stdin
    assert pipe is not None  # noqa: S101 - it was started with one
    if copy is not None:
        os.close(copy)

    def tell(word: bytes) -> None:
        with suppress(BrokenPipeError):
            pipe.write(word)

    try:
        yield tell
    finally:
        pipe.close()
        # It goes on alone, and init takes it over: nobody waits for it.
        process.returncode = 0


def clean_up(order: Mapping[str, Any], said: bytes) -> None:
    """What a watcher does when it was told ``said``, or its parent is gone: of ``order``, and of what others left."""
    if not said and order["terminal"] is not None:
        # The terminal may be gone, too.
        with suppress(termios.error, OSError):
            termios.tcsetattr(order["terminal"], termios.TCSANOW, order["settings"])
    if not said and order["mark"]:
        with suppress(OSError):
            Path(order["mark"]).unlink()
    tls_dir = Path(order["tls_dir"]) if order["tls_dir"] else None
    engine = Engine(order["kind"], order["url"], "", order["api_version"], tls_dir)
    if said != DONE:
        remove_patiently(engine, order["name"], time.monotonic() + _PATIENCE_S)
    sweep(engine, order["host"])


def remove_patiently(engine: Engine, name: str, deadline: float) -> bool:
    """Remove a container that may not be there yet; whether it was removed before ``deadline`` (monotonic)."""
    while True:
        with suppress(EngineError):
            if engine.remove_container(name):
                return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_PAUSE_S)


def sweep(engine: Engine, host: str) -> list[str]:
    """Remove the containers of this machine and user whose owners are dead; their names."""
    swept = []
    # The next one sweeps again.
    with suppress(EngineError):
        for container in engine.listed("containers", "gpuenv.owner", "gpuenv.host"):
            if _is_abandoned(container.get("Labels") or {}, host):
                engine.remove_container(container["Id"])
                swept.append(container["Names"][0].lstrip("/"))
    return swept


def _is_abandoned(labels: Mapping[str, str], here: str) -> bool:
    """Whether the owner of a container is known to be dead, in the namespaces that ``here`` tells of."""
    host, owner = labels.get("gpuenv.host", ""), labels.get("gpuenv.owner", "")
    if host == here:
        return processes.is_alive(owner) is False
    # The same numbers on other clocks (`unshare --time`), by which processes seem to have begun at another time. They
    # may have ended with their last process, and then nobody else sweeps here.
    clocks = _CLOCKS.search(host)
    if clocks is None or _CLOCKS.sub("", host) != _CLOCKS.sub("", here):
        return False
    pid = owner.partition(":")[0]
    return pid.isdigit() and not processes.is_in(int(pid), "time", clocks[1])


@cache
def host_id() -> str:
    """Where the process numbers in an owner's label mean something: this boot, these namespaces, this user.

    An engine may be shared with other machines and with containers, and other users' processes may be hidden.
    """
    return f"{_boot_id()}/{os.getuid()}"


def _boot_id() -> str:
    with suppress(OSError):
        return f"{_BOOT_ID.read_text().strip()}/{processes.scope()}"
    # macOS; the boot time is `{ sec = 1700000000, usec = 0 } Tue Nov 14 ...`.
    with suppress(OSError):
        said = subprocess.run(["sysctl", "-n", "kern.boottime"], capture_output=True, text=True, check=False).stdout
        return f"{os.uname().nodename}/{re.sub(r'^.*?sec = |,.*', '', said.strip())}"
    return os.uname().nodename


def _settings(terminal: int) -> list[Any]:
    """A terminal's settings as JSON holds them; the control characters are bytes, or numbers already."""
    *flags, characters = termios.tcgetattr(terminal)
    return [*flags, [item[0] if isinstance(item, bytes) else item for item in characters]]
