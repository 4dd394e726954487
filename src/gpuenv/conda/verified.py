"""Takes packages out of a folder: a copy that nobody else can write, verified while it is made, is what is used."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from gpuenv.conda.lock import Package
from gpuenv.core import ownership
from gpuenv.core.errors import SourceError, full_disk

_CHUNK_BYTES = 1 << 20


def take(path: Path, package: Package, target: Path) -> Path:
    """Copy ``path`` to ``target``. Raises SourceError for another file than the lock names, HostError for a full disk;
    either leaves nothing.
    """
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    sums = {name: hashlib.new(name, usedforsecurity=False) for name in ("sha256", "md5")}
    read = 0
    try:
        # Something that is no file (a pipe, a device) must not make us wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as source, target.open("xb") as copy:
            state = os.fstat(descriptor)
            if not stat.S_ISREG(state.st_mode):
                raise _refused(path, "it is not a file")
            if not package.is_hashed and not ownership.is_closed(state):
                raise _refused(path, "no sum of it is known, and another user of this machine can write to it")
            while chunk := source.read(_CHUNK_BYTES):
                read += len(chunk)
                if package.size is not None and read > package.size:
                    raise _refused(path, f"it is larger than the {package.size} bytes of the lock")
                for digest in sums.values():
                    digest.update(chunk)
                copy.write(chunk)
        expected = {name: value for name in sums if (value := getattr(package, name)) is not None}
        for name, value in expected.items():
            if sums[name].hexdigest() != value:
                raise _refused(path, f"its {name} is {sums[name].hexdigest()}, expected {value}")
    except OSError as error:
        target.unlink(missing_ok=True)
        raise full_disk(error) or _refused(path, f"it cannot be read: {error.strerror}") from error
    except SourceError:
        target.unlink()
        raise
    return target


def _refused(path: Path, why: str) -> SourceError:
    return SourceError(f"{path} is refused", why, "remove it, or fetch it again")
