"""Writes a file whole or not at all, whatever kills the writer."""

from __future__ import annotations

import os
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` by ``text``; after a kill at any point, the old or the new file is there, whole."""
    import fcntl  # not on Windows, where doctor and explain answer, too

    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # One writer at a time, so the name beside the file can be fixed, and what a killed one left is written over.
        fcntl.flock(folder, fcntl.LOCK_EX)
        beside = path.with_name(f".{path.name}.new")
        with beside.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        os.fsync(folder)
    finally:
        os.close(folder)
