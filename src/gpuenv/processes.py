"""Knowing a process again: a process number alone is not enough, since the kernel gives it out anew."""

from __future__ import annotations

from pathlib import Path

_PROC = Path("/proc")


def start_time(pid: int) -> int | None:
    """When ``pid`` began, in clock ticks since boot; None if there is no such process (or only its zombie)."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # proc(5): the name stands in parentheses and may contain any character, so count after the last one.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])


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
    numbers = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
    return [pid for pid in numbers if any(part.startswith(beginning) for part in command_line(pid))]
