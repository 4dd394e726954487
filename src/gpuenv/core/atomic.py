"""Writes a file whole or not at all, and removes a folder without losing whose it is, whatever kills the writer."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def write_text(path: Path, text: str, mode: int = 0o666) -> None:
    """Replace ``path`` by ``text``; after a kill at any point, the old or the new file is there, whole.

    ``mode``: the new file's, less what the umask takes.
    """
    import fcntl  # not on Windows, where doctor and explain answer, too

    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # One writer at a time, so the name beside the file can be fixed.
        fcntl.flock(folder, fcntl.LOCK_EX)
        beside = path.with_name(f".{path.name}.new")
        # What a killed one left there; or somebody else, where others may write, perhaps a link.
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        os.fsync(folder)
    finally:
        os.close(folder)


def remove_folder(folder: Path, mark: str, begun: str) -> None:
    """Remove a folder of ours whose file ``mark`` says that it is whole. Raises OSError.

    From the first moment on it is not, and up to the last one its file ``begun`` says that what is left of it is ours.
    """
    (folder / begun).touch()
    (folder / mark).unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != begun:
            path.unlink()
    shutil.rmtree(folder)
