"""Writes a file whole or not at all, and removes a folder without losing whose it is, whatever kills the writer.

Opens what is read, too: a file that has an end.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from pathlib import Path
from typing import BinaryIO


def write_text(path: Path, text: str, mode: int = 0o666) -> None:
    """Replace ``path`` by ``text``; after a kill at any point, the old or the new file is there, whole.

    ``mode``: the new file's, less what the umask takes.
    """
    import fcntl  # not on Windows, where doctor and explain answer, too

    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        beside = path.with_name(f".{path.name}.new")
        try:
            # The name is fixed, so that a killed writer leaves one file at most.
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # Whoever may read the folder could hold it for ever: nobody waits.
            beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
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


def opened(path: Path) -> BinaryIO:
    """Open a file to be read; not what would wait for a writer, or has no end. Raises OSError."""
    flag = getattr(os, "O_NONBLOCK", 0)  # not on Windows
    stream = open(path, "rb", opener=lambda name, flags: os.open(name, flags | flag))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise FileNotFoundError(errno.ENOENT, "it is no file", str(path))
    return stream


def read_bytes(path: Path, limit: int) -> bytes:
    """The content of a file of at most ``limit`` bytes. Raises OSError, also for a larger one."""
    with opened(path) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"it has more than {limit} bytes", str(path))
    return data


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
