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
def folder(purpose: str, *, is_local: bool = False) -> Iterator[Path]:
    """A new folder, named after this process; removed at the end. Those of killed ones are removed first.

    In the cache folder; ``is_local``: in the system's folder for temporary files, which is on no network.
    """
    place = _place(is_local=is_local)
    sweep(place)
    prefix = f"{_prefix()}{os.getpid()}-{processes.start_time(os.getpid())}-{purpose}-"
    made = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _place(*, is_local: bool) -> Path:
    return Path(tempfile.gettempdir()) if is_local else paths.cache_dir()


def _prefix() -> str:
    """How the names of this machine's folders begin: several may share a home folder, and each knows its own PIDs.

    So do containers that go by their machine's name.
    """
    return f"tmp-gpuenv-{zlib.crc32(f'{os.uname().nodename} {processes.scope()}'.encode()):08x}-"


def sweep(place: Path | None = None) -> None:
    """Remove the folders of this machine's processes that are gone, from the cache folder if no other is named."""
    for path in (place or _place(is_local=False)).glob(f"{_prefix()}*"):
        is_alive = processes.is_alive(":".join(path.name.split("-")[3:5]))
        # Removing would reach into what is mounted below.
        if is_alive is False and not mounts.find_below(path):
            shutil.rmtree(path, ignore_errors=True)
