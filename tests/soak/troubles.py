"""What happens to users: they break off, programs are killed, disks are full, networks are lost, clocks jump."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from gpuenv.core import processes

from .users import Doing
from .world import World

#: A program that is to be killed may come a little later; it may also never come.
_PATIENCE_S = 3.0
_FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
#: How full the disk gets (bytes left), and how far a clock jumps (seconds).
_LEFT = (0, 300_000, 5_000_000, 50_000_000)
_JUMPS = (-400 * 86400, -3600, 3600, 400 * 86400)


def _kill(pid: int | None, number: signal.Signals) -> bool:
    if pid is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


def _command(doing: Doing) -> int | None:
    return next(iter(processes.descendants(doing.process.pid)), None)


def _below(doing: Doing, *, reaper: bool) -> int | None:
    """The watcher of a container, or another program that the command runs."""
    for pid in processes.descendants(doing.process.pid)[1:]:
        if any("reaper_main.py" in word for word in processes.command_line(pid)) is reaper:
            return pid
    return None


def break_off(world: World, doing: Doing, how: str) -> bool:
    """Do it once there is somebody to do it to; whether it was done before the command ended."""
    deadline = time.monotonic() + _PATIENCE_S
    while doing.process.poll() is None and time.monotonic() < deadline:
        doing.listen()
        if _break_off(world, doing, how):
            return True
        time.sleep(0.02)
    return False


def _break_off(world: World, doing: Doing, how: str) -> bool:
    if how == "ctrl-c" and doing.terminal is not None:
        with contextlib.suppress(OSError):
            os.write(doing.terminal, b"\x03")
        return True
    if how in ("ctrl-c", "hang up"):
        doing.hang_up()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(doing.process.pid, signal.SIGINT if how == "ctrl-c" else signal.SIGHUP)
        return True
    if how == "kill -9 of all":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(doing.process.pid, signal.SIGKILL)
        return True
    number = signal.SIGTERM if how.startswith("SIGTERM") else signal.SIGKILL
    found = {
        "make": doing.process.pid,
        "the command": _command(doing),
        "its program": _below(doing, reaper=False),
        "the watcher": _below(doing, reaper=True),
        "the engine": world.daemon(),
    }
    return _kill(found[how.partition(" of ")[2]], number)


WAYS = {
    "ctrl-c": 4,
    "hang up": 2,
    "SIGTERM of make": 1,
    "SIGTERM of the command": 2,
    "kill -9 of make": 1,
    "kill -9 of the command": 3,
    "kill -9 of its program": 2,
    "kill -9 of the watcher": 1,
    "kill -9 of the engine": 2,
    "kill -9 of all": 2,
}
#: With these no command has to succeed; with the others each has to.
HARD = ("full disk", "lost index", "no network")
TROUBLES = (*HARD, "wall clock", "other clocks", "old files")


def possible(world: World) -> dict[str, str]:
    """The troubles that cannot be made on this machine, and why."""
    missing = {} if world.is_small else {"full disk": "no loop device"}
    if _FAKETIME is None:
        missing["wall clock"] = "no libfaketime"
    for name, option in (("no network", "--net"), ("other clocks", "--time")):
        if subprocess.run(["unshare", option, "true"], capture_output=True, check=False).returncode != 0:
            missing[name] = f"no `unshare {option}`"
    return missing


def prepare(world: World, doing: Doing, trouble: str, random: Random) -> None:
    """What is in the way from the start."""
    if trouble == "no network":
        doing.argv = ["unshare", "--net", *doing.argv]
    elif trouble == "other clocks":
        jump = str(random.choice([3600, 86400 * 30]))
        doing.argv = ["unshare", "--time", "--monotonic", jump, "--boottime", jump, *doing.argv]
    elif trouble == "wall clock":
        # From the start: libfaketime has no jump under way that leaves the clock for waiting alone, as a real one does.
        jump = f"{random.choice(_JUMPS):+d}"
        doing.environment.update(LD_PRELOAD=str(_FAKETIME), FAKETIME=jump, NO_FAKE_STAT="1")
    elif trouble == "old files":
        when = time.time() + random.choice(_JUMPS)
        for folder in (world.state, world.cache):
            for path in folder.rglob("*"):
                if "data" not in path.parts:
                    with contextlib.suppress(OSError):
                        os.utime(path, (when, when), follow_symlinks=False)


@contextmanager
def suffered(world: World, trouble: str, random: Random) -> Iterator[None]:
    """What begins while commands run; within this it lasts."""
    filler = world.root / "filler"
    if trouble == "full disk":
        free = shutil.disk_usage(world.root).free - random.choice(_LEFT)
        with filler.open("wb") as file, contextlib.suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, max(1, free))
    elif trouble == "lost index":
        world.index.is_gone = True
    try:
        yield
    finally:
        world.index.is_gone = False
        filler.unlink(missing_ok=True)
