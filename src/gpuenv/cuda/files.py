"""Archive files: name, cache path, SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from gpuenv.core import paths
from gpuenv.core.errors import SourceError
from gpuenv.variants.cuda_lock import Source

_CHUNK_BYTES = 1 << 20
_PART = ".part"


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


def verify(path: Path, source: Source) -> Path:
    """Return ``path`` if it is the archive that ``source`` names. Raises SourceError naming both hashes if not."""
    found = sha256_of(path)
    if found != source.sha256:
        raise SourceError(
            f"{path.name.removesuffix(_PART)} of {source.origin} is refused",
            f"its sha256 is {found}, expected {source.sha256}",
            "remove it, or fetch it again",
        )
    return path


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
