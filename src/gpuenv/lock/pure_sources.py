"""Proves, at lock time, that what Windows builds from source needs no compiler there.

A wheel says by its name that it fits; a source distribution says nothing, so its files are looked at. What was
proved is recorded in the lock (``pure``), and `make lock CHECK=1` asks for that record.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import requests

from gpuenv.core.errors import DataError, SourceError
from gpuenv.lock.wheels import Choice
from gpuenv.net import certificates
from gpuenv.net.download import describe
from gpuenv.net.pip_settings import PipSettings, load_pip_settings

#: Code that has to be compiled, in the languages that extension modules are written in.
COMPILED = frozenset({".c", ".cc", ".cpp", ".cxx", ".cu", ".f", ".f90", ".go", ".h", ".hpp", ".pyx", ".rs"})
_TIMEOUT_S = 60.0


def find_pure(choices: Mapping[str, Choice]) -> frozenset[str]:
    """The names of the packages that are chosen as source, each of which is pure.

    Raises DataError for one that is not, SourceError for one that cannot be fetched or is another file.
    """
    sources = {name: choice for name, choice in choices.items() if not choice.file.endswith(".whl")}
    settings = load_pip_settings()
    for name, choice in sources.items():
        compiled = compiled_files(_fetch(name, choice, settings), choice.file)
        if compiled:
            raise DataError(
                f"{name} {choice.version} cannot be installed on Windows without a compiler",
                f"the index has no wheel that fits, and its source holds {', '.join(compiled[:3])}",
                "pin a version with a wheel for win_amd64 in requirements.in",
            )
    return frozenset(sources)


def compiled_files(content: bytes, file: str) -> list[str]:
    """The files of a source distribution that have to be compiled. Raises SourceError for a damaged one."""
    try:
        if file.endswith(".zip"):
            names = zipfile.ZipFile(io.BytesIO(content)).namelist()
        else:
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                names = archive.getnames()
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise SourceError(f"{file} cannot be read", str(error), "run `make lock` again") from error
    return sorted(name for name in names if PurePosixPath(name).suffix.lower() in COMPILED)


def _fetch(name: str, choice: Choice, settings: PipSettings) -> bytes:
    """The file itself, its sum verified."""
    content = _read(choice.url, settings)
    if hashlib.sha256(content).hexdigest() not in choice.hashes:
        raise SourceError(f"{choice.file} of {name} is another file", "its sha256 is not the index's", "run it again")
    return content


def _read(url: str, settings: PipSettings) -> bytes:
    if not url.startswith(("http://", "https://")):
        return Path(unquote(urlsplit(url).path)).read_bytes()
    try:
        answer = requests.get(
            with_login(url, settings),
            timeout=settings.timeout_s or _TIMEOUT_S,
            verify=str(settings.cert) if settings.cert else certificates.verify_setting(),
            proxies={"http": settings.proxy, "https": settings.proxy} if settings.proxy else None,
        )
        answer.raise_for_status()
    except requests.RequestException as error:
        what = f"{PurePosixPath(urlsplit(url).path).name} could not be fetched from the package index"
        raise SourceError(what, describe(error), "check the network, or name another index: PIP_INDEX_URL=") from error
    return answer.content


def with_login(url: str, settings: PipSettings) -> str:
    """``url`` with the user and password of a configured index on the same host."""
    parts = urlsplit(url)
    for index in (settings.index_url, *settings.extra_index_urls):
        login, separator, host = urlsplit(index or "").netloc.rpartition("@")
        if separator and host == parts.netloc:
            return parts._replace(netloc=f"{login}@{host}").geturl()
    return url
