"""Makes temporary folders; those of a killed process are removed by the next run."""

from __future__ import annotations

import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
    in_use = _locked(made)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        if in_use is not None:
            os.close(in_use)


def _place(*, is_local: bool) -> Path:
    return Path(tempfile.gettempdir()) if is_local else paths.cache_dir()


def _prefix() -> str:
    """How the names of this machine's folders begin: several may share a home folder, and each knows its own PIDs."""
    return f"tmp-gpuenv-{zlib.crc32(os.uname().nodename.encode()):08x}-"


def _locked(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock; None if somebody has it, or it cannot be locked."""
    import fcntl  # not on Windows

    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def sweep(place: Path | None = None) -> None:
    """Remove the folders of this machine's processes that are gone, from the cache folder if no other is named."""
    for path in (place or _place(is_local=False)).glob(f"{_prefix()}*"):
        is_alive = processes.is_alive(":".join(path.name.split("-")[3:5]))
        # Removing would reach into what is mounted below.
        if is_alive is not False or not _is_own(path) or mounts.find_below(path):
            continue
        with suppress(OSError):
            # In another namespace a process has another number, and may have begun at another time.
            if (unused := _locked(path)) is not None:
                # No folder of ours is nested deeper than Python can follow; what is stays.
                with suppress(RecursionError):
                    shutil.rmtree(path, ignore_errors=True)
                os.close(unused)


def _is_own(path: Path) -> bool:
    """Whether the caller made it: in the folder for temporary files others may, under whatever name."""
    try:
        return path.lstat().st_uid == os.geteuid()
    except OSError:
        return False
