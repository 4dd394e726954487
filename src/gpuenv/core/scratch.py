"""Makes temporary folders; those of a killed process are removed by the next run."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpuenv.core import mounts, paths, processes

_PREFIX = "tmp-"


@contextmanager
def folder(purpose: str) -> Iterator[Path]:
    """A new folder in the cache folder, named after this process; removed at the end."""
    prefix = f"{_PREFIX}{os.getpid()}-{processes.start_time(os.getpid())}-{purpose}-"
    made = Path(tempfile.mkdtemp(prefix=prefix, dir=paths.cache_dir()))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def sweep() -> list[Path]:
    """Remove the folders of processes that are gone; returns which."""
    swept = []
    for path in paths.cache_dir().glob(f"{_PREFIX}*"):
        owner = path.name.split("-")[1:3]
        if not all(part.isdigit() for part in owner) or len(owner) != 2:
            continue
        # Removing would reach into what is mounted below.
        if processes.is_same(int(owner[0]), int(owner[1])) or mounts.find_below(path):
            continue
        shutil.rmtree(path, ignore_errors=True)
        swept.append(path)
    return swept
