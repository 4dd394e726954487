"""Knowing a process again: a process number alone is not enough, since the kernel gives it out anew."""

from __future__ import annotations

from pathlib import Path

_PROC = Path("/proc")


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
    """When ``pid`` began, in clock ticks since boot; None if there is no such process (or only its zombie)."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def descendants(pid: int) -> list[int]:
    """The processes that ``pid`` started, and those that they started; none where there is no /proc."""
    parents = {one: int(fields[1]) for one in _numbers() if (fields := _stat(one))}
    found = [pid]
    for parent in found:
        found += [one for one, its in parents.items() if its == parent]
    return found[1:]


def _numbers() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()] if _PROC.is_dir() else []


def command_line(pid: int) -> list[str]:
    """The arguments of ``pid``; empty if there is no such process."""
    try:
        content = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return []
    return [part.decode(errors="replace") for part in content.split(b"\0") if part]


def is_same(pid: int, began: int) -> bool:
    """Whether ``pid`` is still the process that began at ``began`` (see :func:`start_time`)."""
    return start_time(pid) == began


def find_naming(path: Path) -> list[int]:
    """The processes that have something below ``path`` among their arguments."""
    beginning = f"{path}/"
    return [pid for pid in _numbers() if any(part.startswith(beginning) for part in command_line(pid))]
