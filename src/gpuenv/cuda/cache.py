"""Caches the libraries of a CUDA lock, so that the next image need not unpack gigabytes again.

What is kept is what a lock names, whichever source it came from, and is verified before each use.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from gpuenv.core import locking, paths, scratch, ui
from gpuenv.cuda.files import sha256_of
from gpuenv.variants.cuda_lock import CudaLock

_SUMS = "sha256.json"


def get_or_fill(lock: CudaLock, fill: Callable[[Path], object]) -> Path:
    """The folder that holds the libraries of ``lock``; ``fill`` puts them into an empty one if none is kept."""
    folder = paths.cache_dir() / "libraries" / lock.digest[:16]
    with locking.held(folder.with_suffix(".lock"), "another gpuenv is unpacking the CUDA libraries; waiting for it"):
        if not folder.exists() or not is_whole(folder):
            _refill(folder, fill)
    return folder


def is_whole(folder: Path) -> bool:
    """Whether every library in ``folder`` still has the content it was kept with."""
    try:
        sums: dict[str, str] = json.loads((folder / _SUMS).read_text(encoding="utf-8"))
        damaged = [name for name, digest in sums.items() if sha256_of(folder / name) != digest]
    except (OSError, ValueError):
        return False
    if damaged:
        ui.warn(f"{folder}: {', '.join(damaged)} changed since it was unpacked; unpacking again")
    return not damaged


def link_into(folder: Path, target: Path) -> tuple[str, ...]:
    """Put the libraries kept in ``folder`` into the empty folder ``target``; returns their names, sorted.

    Where possible they are the same files, so they are to be read only.
    """
    names = sorted(path.name for path in folder.iterdir() if path.name != _SUMS)
    for name in names:
        _link(folder / name, target / name)
    return tuple(names)


def _link(kept_file: Path, path: Path) -> None:
    try:
        os.link(kept_file, path)
    except OSError:  # on another file system
        shutil.copy(kept_file, path)


def _refill(folder: Path, fill: Callable[[Path], object]) -> None:
    # Swept up by the next run, if this one is killed.
    with scratch.folder("libraries") as temporary:
        new = temporary / "new"
        new.mkdir()
        fill(new)
        sums = {path.name: sha256_of(path) for path in sorted(new.iterdir())}
        (new / _SUMS).write_text(json.dumps(sums), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
