"""Files of CUDA archives and of their libraries: names, places in the cache, sums.

What is verified is what is used: a file is opened once, hashed and read through that. One that somebody else may write
to is copied while it is hashed, and the copy read.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, cast
from urllib.parse import unquote, urlsplit

from gpuenv.core import locking, ownership, paths, scratch, ui
from gpuenv.core.atomic import opened
from gpuenv.core.errors import SourceError
from gpuenv.variants.cuda_lock import Source

#: No archive is larger whose size a lock does not tell: four times NVIDIA's installer of CUDA 10.0, the largest here.
LIMIT_BYTES = 8_000_000_000
#: What is hashed to find an archive under another name: ten installers as large as NVIDIA's, a minute or two of a disk.
SEARCH_BYTES = 20_000_000_000
_CHUNK_BYTES = 1 << 20
_SUMS = "sha256.json"


def file_name(source: Source) -> str:
    """The name of the archive: the wheel's, or the last part of the URL."""
    return source.wheel or PurePosixPath(unquote(urlsplit(source.url or "").path)).name


def local_path(source: Source) -> Path | None:
    """The file that a ``file://`` URL names; None for any other URL, and for a wheel."""
    parts = urlsplit(source.url or "")
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def cached_path(source: Source) -> Path:
    """Where the archive of ``source`` lies once it was downloaded."""
    return paths.cache_dir() / "sources" / source.sha256 / file_name(source)


def size_limit(source: Source) -> int:
    """How many bytes the archive of ``source`` may have."""
    return source.size or LIMIT_BYTES


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal. Raises OSError for what is no file."""
    with opened(path) as stream:
        return _hashed(stream)


def open_verified(path: Path, source: Source, place: Path) -> BinaryIO:
    """Open ``path``, the archive that ``source`` names: what is read from it is what was hashed.

    A file that somebody else may write to is copied into ``place`` before that; the copy has no name. Raises
    SourceError naming both hashes, or sizes, for another one.
    """
    with ExitStack() as streams:
        stream: BinaryIO = streams.enter_context(opened(path))
        size = os.fstat(stream.fileno()).st_size
        if size > size_limit(source) or (source.size and size < source.size):
            raise _refused(source, f"it has {size} bytes, expected {source.size or f'at most {LIMIT_BYTES}'}")
        if not ownership.is_closed(os.fstat(stream.fileno())):
            copied = cast("BinaryIO", streams.enter_context(tempfile.TemporaryFile(dir=place)))
            with stream:
                _copy(stream, copied)
            stream = copied
        found = _hashed(stream)
        if found != source.sha256:
            raise _refused(source, f"its sha256 is {found}, expected {source.sha256}")
        streams.pop_all()
    return stream


def copy_verified(path: Path, hashes: Collection[str], target: Path, size: int = 0) -> bool:
    """Copy a file to ``target``, which nobody else may write to; returns whether it has one of ``hashes``.

    There is no copy of one that has none, or another ``size`` (bytes; 0: at most LIMIT_BYTES). Raises OSError.
    """
    with opened(path) as stream:
        found = os.fstat(stream.fileno()).st_size
        if found > (size or LIMIT_BYTES) or found < size:
            return False
        with target.open("w+b") as copied:
            _copy(stream, copied)
            is_right = _hashed(cast("BinaryIO", copied)) in hashes
    if not is_right:
        target.unlink()
    return is_right


def _copy(stream: BinaryIO, target: IO[bytes]) -> None:
    for chunk in _chunks(stream):
        target.write(chunk)


def _hashed(stream: BinaryIO) -> str:
    """The sha256 of a whole file, which stands at its beginning then."""
    digest = hashlib.sha256()
    for chunk in _chunks(stream):
        digest.update(chunk)
    stream.seek(0)
    return digest.hexdigest()


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    """What was there when it began: a file that grows meanwhile is another one, and may never end."""
    stream.seek(0)
    left = os.fstat(stream.fileno()).st_size
    while left and (chunk := stream.read(min(left, _CHUNK_BYTES))):
        left -= len(chunk)
        yield chunk


def _refused(source: Source, why: str) -> SourceError:
    return SourceError(f"{file_name(source)} of {source.origin} is refused", why, "remove it, or fetch it again")


def find_by_digest(folder: Path, sources: Iterable[Source]) -> tuple[Path, Source] | None:
    """A file in ``folder`` that has the content of one of ``sources`` under another name, and which one.

    Only those of a size that is right are read, SEARCH_BYTES at most.
    """
    by_digest = {source.sha256: source for source in sources}
    names = {file_name(source) for source in by_digest.values()}
    left = SEARCH_BYTES
    for path in sorted(folder.iterdir()):
        if path.name in names or not path.is_file():
            continue
        told = path.stat()
        size = told.st_size
        if not any(size == (source.size or min(size, LIMIT_BYTES)) for source in by_digest.values()):
            continue
        left -= size
        if left < 0:
            ui.warn(f"{folder} holds too much to look for a renamed archive in it: name it as the lock does")
            break
        source = by_digest.get(_remembered_sha256(path, told.st_ino, size, told.st_mtime_ns))
        if source is not None:
            return path, source
    return None


@cache
def _remembered_sha256(path: Path, *_changing: int) -> str:
    """The sha256 of a file as long as it is the same: looked for once to choose, and once more to unpack."""
    return sha256_of(path)


def keep(folder: Path, doing: str, fill: Callable[[Path], object]) -> Path:
    """Have ``folder`` of the cache filled: by ``fill``, which is given an empty one, once.

    So nobody fetches or unpacks gigabytes again. The sums of what is kept are verified each time.
    """
    with locking.held(folder.with_suffix(".lock"), f"another gpuenv is {doing}; waiting for it"):
        if folder.exists() and _is_whole(folder):
            return folder
        # Swept up by the next run, if this one is killed.
        with scratch.folder(folder.parent.name) as temporary:
            new = temporary / "new"
            new.mkdir()
            fill(new)
            sums = {path.name: sha256_of(path) for path in sorted(new.iterdir())}
            (new / _SUMS).write_text(json.dumps(sums), encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            return new.rename(folder)


def _is_whole(folder: Path) -> bool:
    try:
        sums: dict[str, str] = json.loads((folder / _SUMS).read_text(encoding="utf-8"))
        damaged = [name for name, digest in sums.items() if sha256_of(folder / name) != digest]
    except (OSError, ValueError):
        return False
    if damaged:
        ui.warn(f"{folder}: {', '.join(damaged)} changed meanwhile; making it anew")
    return not damaged


def link_into(folder: Path, target: Path) -> None:
    """Put the libraries kept in ``folder`` into the empty folder ``target``: the same files, to be read only."""
    for path in folder.iterdir():
        if path.name != _SUMS:
            try:
                os.link(path, target / path.name)
            except OSError:  # on another file system
                shutil.copy(path, target)
