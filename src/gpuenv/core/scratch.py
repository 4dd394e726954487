"""Makes temporary folders; those of a killed process are removed by the next run."""

from __future__ import annotations

import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpuenv.core import mounts, paths, processes


@contextmanager
def folder(purpose: str) -> Iterator[Path]:
    """A new folder in the cache folder, named after this process; removed at the end."""
    prefix = f"{_prefix()}{os.getpid()}-{processes.start_time(os.getpid())}-{purpose}-"
    made = Path(tempfile.mkdtemp(prefix=prefix, dir=paths.cache_dir()))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _prefix() -> str:
    """How the names of this machine's folders begin: several may share a home folder, and each knows its own PIDs."""
    return f"tmp-{zlib.crc32(os.uname().nodename.encode()):08x}-"


def sweep() -> list[Path]:
    """Remove the folders of this machine's processes that are gone; returns which."""
    swept = []
    for path in paths.cache_dir().glob(f"{_prefix()}*"):
        owner = path.name.split("-")[2:4]
        if not all(part.isdigit() for part in owner) or len(owner) != 2:
            continue
        # Removing would reach into what is mounted below.
        if processes.is_same(int(owner[0]), int(owner[1])) or mounts.find_below(path):
            continue
        shutil.rmtree(path, ignore_errors=True)
        swept.append(path)
    return swept
