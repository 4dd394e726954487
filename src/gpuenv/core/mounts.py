"""Lists mounts and unmounts. Python's own `is_mount` does not see a folder that is mounted on itself."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path


def parse_points(mountinfo: str) -> list[Path]:
    """The mount points in ``/proc/self/mountinfo`` (proc(5): the fifth field, odd characters in octal)."""
    fields = (line.split(" ") for line in mountinfo.splitlines())
    return [Path(re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), field[4])) for field in fields]


def find_below(folder: Path) -> list[Path]:
    """The mount points at and below ``folder``, in the order in which they can be unmounted."""
    try:
        table = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return []
    return [point for point in reversed(parse_points(table)) if point == folder or folder in point.parents]


def unmount_below(folder: Path) -> None:
    """Unmount everything at and below ``folder``, as far as that is possible."""
    for point in find_below(folder):
        subprocess.run(["umount", str(point)], capture_output=True, check=False)
