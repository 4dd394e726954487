"""Looking into every layer of a saved image for what must not be shipped: certificates, settings, build paths."""

from __future__ import annotations

import os
import re
import stat
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Optional

#: Files that hold a user's settings or credentials, wherever they are.
FORBIDDEN_FILE = re.compile(
    r"(^|.*/)(\.?pip/pip\.conf|pip\.conf|\.pypirc|\.netrc|\.git-credentials|\.docker/config\.json"
    r"|\.config/uv/uv\.toml|\.aws/credentials|\.ssh/id_\w+)|run/secrets/.+"
)
#: Certificates that belong to a package (certifi, and pip's copy of it) or to the distribution's own package.
KNOWN_CERTIFICATES = re.compile(
    r".*/(certifi/cacert|_vendor/certifi/cacert|grpc/_cython/_credentials/roots)\.pem|usr/share/ca-certificates/.+"
    r"|etc/ssl/certs/.+|.*/(tornado|notebook|jupyter_server|tests?)/.*\.(pem|crt)"
)
#: A real one, and not a program that knows how one begins.
_CERTIFICATE = re.compile(rb"-----BEGIN (TRUSTED )?CERTIFICATE-----\r?\n[A-Za-z0-9+/]{40}")
_BUFFER_BYTES = 1 << 20
#: Larger files are libraries, not settings; looking into them would take minutes.
MAX_SEARCHED_BYTES = 1 << 20
#: Name, size and content of each file; no content of what is large or no regular file.
Files = Iterator[tuple[str, int, Optional[bytes]]]


class _Stream:
    """Chunks of bytes as what tarfile reads a stream from; it keeps what it gets beyond what it asked for."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = filter(None, chunks)

    def read(self, _size: int) -> bytes:
        return next(self._chunks, b"")


def layer_folders(details: Mapping[str, Any]) -> tuple[Path, ...]:
    """Where the engine keeps the image's layers on this machine, if it says so and they may be read (else none)."""
    data = (details.get("GraphDriver") or {}).get("Data") or {}
    names = [data.get("UpperDir", ""), *data.get("LowerDir", "").split(":")]
    folders = tuple(Path(name) for name in names if name)
    return folders if all(os.access(folder, os.R_OK | os.X_OK) for folder in folders) else ()


def files_in_folders(folders: Iterable[Path]) -> Files:
    """The files of layers where they lie: a tenth of the time that saving the image takes."""
    for root in folders:
        for place, _, names in os.walk(root):
            for path in (Path(place, name) for name in names):
                info = path.lstat()
                is_text = stat.S_ISREG(info.st_mode) and info.st_size <= MAX_SEARCHED_BYTES
                yield str(path.relative_to(root)), info.st_size, path.read_bytes() if is_text else None


def files_in_saved(chunks: Iterable[bytes]) -> Files:
    """The files of all layers of a saved image (what the engine's ``save`` gives), in one pass."""
    stream: Any = _Stream(chunks)
    with tarfile.open(fileobj=stream, mode="r|", bufsize=_BUFFER_BYTES) as image:
        for member in image:
            is_layer = member.name.endswith("/layer.tar") or member.name.startswith("blobs/sha256/")
            content = image.extractfile(member) if is_layer and member.isfile() else None
            if content is not None:
                yield from _files_in_layer(content)


def _files_in_layer(stream: IO[bytes]) -> Files:
    try:
        layer = tarfile.open(fileobj=stream, mode="r|*", bufsize=_BUFFER_BYTES)  # noqa: SIM115 - closed below
    except tarfile.ReadError:
        return  # in the newer layout, the image's JSON documents lie beside its layers
    with layer:
        for member in layer:
            content = layer.extractfile(member) if member.isfile() and member.size <= MAX_SEARCHED_BYTES else None
            yield member.name.removeprefix("./"), member.size, content.read() if content is not None else None


def search(files: Files, secrets: Iterable[str]) -> tuple[int, list[str]]:
    """How many files there are, and which hold what none may: a certificate, or a secret of the build's host."""
    searched, problems = 0, []
    wanted = [secret.encode() for secret in secrets if secret]
    for name, size, content in files:
        searched += 1
        if size and FORBIDDEN_FILE.fullmatch(name):
            problems.append(f"/{name} is in a layer")
        if content is not None:
            problems += [f"/{name} contains {secret.decode()!r}" for secret in wanted if secret in content]
            if _CERTIFICATE.search(content) and not KNOWN_CERTIFICATES.fullmatch(name):
                problems.append(f"/{name} holds a certificate")
    return searched, problems
