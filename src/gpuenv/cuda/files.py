"""Files of CUDA archives and of their libraries: names, places in the cache, sums."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from gpuenv.core import locking, paths, scratch, ui
from gpuenv.core.errors import SourceError
from gpuenv.variants.cuda_lock import Source

_CHUNK_BYTES = 1 << 20
_PART = ".part"
_SUMS = "sha256.json"


def file_name(source: Source) -> str:
    """The name of the archive: the last part of the URL."""
    return PurePosixPath(unquote(urlsplit(source.url).path)).name


def local_path(source: Source) -> Path | None:
    """The file that a ``file://`` URL names; None for any other URL."""
    parts = urlsplit(source.url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def cached_path(source: Source) -> Path:
    """Where the archive of ``source`` lies once it was downloaded."""
    return paths.cache_dir() / "sources" / source.sha256 / file_name(source)


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def verify(path: Path, source: Source) -> tuple[Path, Source]:
    """Both, if ``path`` is the archive that ``source`` names. Raises SourceError naming both hashes if not."""
    found = sha256_of(path)
    if found != source.sha256:
        raise SourceError(
            f"{path.name.removesuffix(_PART)} of {source.origin} is refused",
            f"its sha256 is {found}, expected {source.sha256}",
            "remove it, or fetch it again",
        )
    return path, source


def find_by_digest(folder: Path, sources: Iterable[Source]) -> tuple[Path, Source] | None:
    """A file in ``folder`` that has the content of one of ``sources`` under another name, and which one."""
    by_digest = {source.sha256: source for source in sources}
    names = {file_name(source) for source in by_digest.values()}
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name not in names:
            source = by_digest.get(sha256_of(path))
            if source is not None:
                return path, source
    return None


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
