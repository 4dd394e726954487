"""Identifies a process by PID and start time, because PIDs are reused; asks `ps` where there is no /proc (macOS)."""

from __future__ import annotations

import calendar
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_PR_SET_PDEATHSIG = 1


def _ask_ps(*options: str) -> list[list[str]]:
    """The words of each line that `ps` prints, in English and universal time; none where it fails."""
    environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC0"}
    try:
        done = subprocess.run(["ps", *options], env=environment, capture_output=True, text=True, check=False)
    except OSError:
        return []
    return [line.split() for line in done.stdout.splitlines()]


def _stat(pid: int) -> list[str] | None:
    """What proc(5) says in ``stat`` from the state on; None if there is no such process (or only its zombie)."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The name stands in parentheses and may contain any character, so count after the last one.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else fields


def start_time(pid: int) -> int | None:
    """When ``pid`` began; None if there is no such process (or only its zombie).

    Clock ticks since boot; where there is no /proc, seconds since 1970.
    """
    fields = _stat(pid)
    if fields or (_PROC / "self").exists():
        return int(fields[19]) if fields else None
    rows = _ask_ps("-o", "stat=,lstart=", "-p", str(pid))
    if not rows or rows[0][0].startswith("Z"):
        return None
    return calendar.timegm(time.strptime(" ".join(rows[0][1:]), "%a %b %d %H:%M:%S %Y"))


def descendants(pid: int) -> list[int]:
    """The processes that ``pid`` started, and those that they started."""
    if (_PROC / "self").exists():
        parents = {number: int(fields[1]) for number in _numbers() if (fields := _stat(number))}
    else:
        parents = {int(number): int(parent) for number, parent in _ask_ps("-axo", "pid=,ppid=")}
    found = [pid]
    for parent in found:
        found += [number for number, its in parents.items() if its == parent]
    return found[1:]


def _numbers() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()] if _PROC.is_dir() else []


def command_line(pid: int) -> list[str]:
    """The arguments of ``pid``; empty if there is no such process, or no /proc (a private engine needs Linux)."""
    try:
        content = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return []
    return [part.decode(errors="replace") for part in content.split(b"\0") if part]


def scope() -> str:
    """Within which process numbers and their start times say who is who: the namespaces of both; empty if unknown."""
    found = []
    for name in ("pid", "time"):
        # Older kernels know no namespace of time; in one, processes of another seem to have begun at other times.
        with suppress(OSError):
            found.append(str((_PROC / "self/ns" / name).readlink()))
    return "/".join(found)


def is_in(pid: int, kind: str, namespace: str) -> bool:
    """Whether ``pid`` is there and in a namespace such as ``"time:[4026531834]"``, or that cannot be seen."""
    try:
        return str((_PROC / str(pid) / "ns" / kind).readlink()) == namespace
    except (FileNotFoundError, ProcessLookupError):
        return False
    except OSError:
        return True


def is_same(pid: int, began: int) -> bool:
    """Whether ``pid`` is still the process that began at ``began`` (see :func:`start_time`)."""
    return start_time(pid) == began


def is_alive(owner: str) -> bool | None:
    """Whether the process lives that a container's label ``gpuenv.owner`` names (``pid:start time``); None if none."""
    pid, _, began = owner.partition(":")
    return is_same(int(pid), int(began)) if pid.isdigit() and began.isdigit() else None


def find_naming(path: Path) -> list[int]:
    """The processes that have something below ``path`` among their arguments."""
    beginning = f"{path}/"
    return [pid for pid in _numbers() if any(part.startswith(beginning) for part in command_line(pid))]


def ending_with_parent(number: int) -> Callable[[], None] | None:
    """What a child does before its program to receive the signal ``number`` when this process dies (Linux only)."""
    if sys.platform != "linux":
        return None
    import ctypes

    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def end_with_parent() -> None:
        prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:
            os._exit(1)

    return end_with_parent
