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

from gpuenv.core.errors import DataError, SourceError
from gpuenv.lock.wheels import Choice
from gpuenv.net import index

#: Code that has to be compiled, in the languages that extension modules are written in.
COMPILED = frozenset({".c", ".cc", ".cpp", ".cxx", ".cu", ".f", ".f90", ".go", ".h", ".hpp", ".pyx", ".rs"})


def find_pure(choices: Mapping[str, Choice]) -> frozenset[str]:
    """The names of the packages that are chosen as source, each of which is pure.

    Raises DataError for one that is not, SourceError for one that cannot be fetched or is another file.
    """
    sources = {name: choice for name, choice in choices.items() if not choice.file.endswith(".whl")}
    for name, choice in sources.items():
        compiled = compiled_files(_fetch(name, choice), choice.file)
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


def _fetch(name: str, choice: Choice) -> bytes:
    """The file itself, its sum verified."""
    if choice.url.startswith(("http://", "https://")):
        content = index.get(choice.url, f"{choice.file} could not be fetched from the package index").content
    else:
        content = Path(unquote(urlsplit(choice.url).path)).read_bytes()
    if hashlib.sha256(content).hexdigest() not in choice.hashes:
        raise SourceError(f"{choice.file} of {name} is another file", "its sha256 is not the index's", "run it again")
    return content
