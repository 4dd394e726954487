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


def sweep() -> None:
    """Remove the folders of this machine's processes that are gone."""
    for path in paths.cache_dir().glob(f"{_prefix()}*"):
        is_alive = processes.is_alive(":".join(path.name.split("-")[2:4]))
        # Removing would reach into what is mounted below.
        if is_alive is False and not mounts.find_below(path):
            shutil.rmtree(path, ignore_errors=True)
