"""Unpacks CUDA's archives and takes the wanted libraries out of them.

An archive is opened only after its sha256 was verified, and is still not trusted to stay inside its folder: names and
links that lead out are refused. Only plain files are ever written, so no link can be followed later either. Nothing of
an archive is ever run, NVIDIA's installers included.
"""

from __future__ import annotations

import lzma
import posixpath
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO

from gpuenv.core.errors import DataError, SourceError, full_disk
from gpuenv.cuda import makeself
from gpuenv.host import elf
from gpuenv.variants.cuda_lock import family

MACHINE = "EM_X86_64"
#: The installer inside NVIDIA's CUDA 9 and 10 installers that holds the toolkit, and its folders of shared libraries.
RUNFILE_INNER, RUNFILE_FOLDERS = "cuda-linux*.run", ("lib64/", "extras/CUPTI/lib64/")
#: All libraries of an archive together: those of CUDA 10.0 have some 3 GB.
UNPACKED_LIMIT_BYTES = 12_000_000_000
_CHUNK_BYTES = 1 << 20
_DAMAGED = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(EOFError, OSError, ValueError, RuntimeError),
)


def unpack(kind: str, archive: IO[bytes], name: str, into: Path, only: Collection[str] = ()) -> None:
    """Unpack what may be a shared library; ``kind`` is how a `cuda.lock.toml` says to open the archive.

    With ``only`` what is called so, whatever else there is: for wheels, which hold much, under the SONAMEs themselves.

    Raises SourceError, with the archive's ``name``, for a damaged one, for one that tries to write outside of ``into``,
    for one that has no end, and for one that has nothing of a name of ``only``.
    """
    opener = {"tar": _unpack_tar, "zip": _unpack_zip, "runfile": _unpack_runfile}[kind]
    target = _Target(into, only)
    try:
        opener(archive, target)
    except _DAMAGED as error:
        unusable = SourceError(f"{name} cannot be unpacked", str(error), "correct the source in cuda.lock.toml")
        raise full_disk(error) or unusable from error
    if lost := [soname for soname in only if soname not in target.taken]:
        families = tuple(map(family, lost))
        alike = sorted(other for other in target.passed if other.startswith(families))
        why = f"a wheel's libraries have to be called exactly by their SONAMEs; alike are: {', '.join(alike) or 'none'}"
        remedy = "correct `sonames` or the source in cuda.lock.toml"
        raise SourceError(f"no member of {name} is called {', '.join(lost)}", why, remedy)


def select_libraries(tree: Path, sonames: Iterable[str], target: Path) -> None:
    """Move the libraries called ``sonames``, and those of ``tree`` that they need, to ``target``.

    Raises SourceError when one is missing, or is there only for another processor.
    """
    present, foreign = _libraries_in(tree)
    wanted = list(sonames)
    for soname in wanted:
        if soname not in present:
            what, why = f"{soname} is for another processor", f"it says {foreign.get(soname)}, expected {MACHINE}"
            if soname not in foreign:
                what, found = f"the archive holds no {soname}", ", ".join(sorted(present))
                why = f"the SONAMEs in it: {found or 'no library at all'}"
            raise SourceError(what, why, "correct `sonames` or the source in cuda.lock.toml")
    chosen: set[str] = set()
    while wanted:
        soname = wanted.pop()
        if soname in present and soname not in chosen:
            chosen.add(soname)
            wanted.extend(elf.read_needed(present[soname]))
    for soname in chosen:
        shutil.move(str(present[soname]), str(target / soname))
        (target / soname).chmod(0o755)


def _libraries_in(tree: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """SONAME -> file of the libraries for this processor, and SONAME -> machine of the others."""
    present: dict[str, Path] = {}
    foreign: dict[str, str] = {}
    for path in sorted(tree.rglob("*.so*")):
        if path.is_symlink() or "stubs" in path.relative_to(tree).parts:
            continue  # a folder stubs/ holds link-time stand-ins that carry the real SONAMEs
        try:
            library = elf.read_library(path)
        except DataError as error:
            raise SourceError(f"{path.name} of the archive is damaged", error.why, error.next_step) from error
        if library is not None and library.soname is not None:
            if library.machine == MACHINE:
                present.setdefault(library.soname, path)
            else:
                foreign[library.soname] = library.machine
    return present, foreign


class _Target:
    """The folder that an archive is unpacked into. Raises ValueError for what leads out of it, or is too much."""

    def __init__(self, folder: Path, only: Collection[str] = ()) -> None:
        self._folder = folder
        self._only = only
        self._left = UNPACKED_LIMIT_BYTES
        #: The last parts of the names of what was wanted, and of what was not.
        self.taken: set[str] = set()
        self.passed: set[str] = set()

    def check(self, name: str) -> None:
        """Refuse a name that leads out."""
        plain = posixpath.normpath(name)
        if plain == ".." or plain.startswith(("../", "/")):
            raise ValueError(f"its entry {name!r} leads out of the folder")

    def wants(self, name: str) -> bool:
        """Whether a file of this name may be a library that is wanted; the rest, gigabytes, stays packed."""
        last = PurePosixPath(name).name
        is_wanted = last in self._only if self._only else ".so" in last
        (self.taken if is_wanted else self.passed).add(last)
        return is_wanted

    def write(self, name: str, source: IO[bytes]) -> None:
        """Write a file whose name was checked."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            while chunk := source.read(_CHUNK_BYTES):
                self._left -= len(chunk)
                if self._left < 0:
                    raise ValueError(f"more than {UNPACKED_LIMIT_BYTES} bytes of libraries are in it")
                stream.write(chunk)


def _unpack_tar(archive: IO[bytes], target: _Target) -> None:
    with tarfile.open(fileobj=archive) as tar:
        _take_libraries(tar, target)


def _take_libraries(tar: tarfile.TarFile, target: _Target, wanted: Callable[[str], bool] = lambda _: True) -> None:
    for member in tar:
        target.check(member.name)
        if not (target.wants(member.name) and wanted(member.name)):
            continue
        if member.issym():
            target.check(posixpath.join(posixpath.dirname(member.name), member.linkname))
        elif member.islnk():
            target.check(member.linkname)
        elif member.isfile():
            source = tar.extractfile(member)
            if source is not None:
                target.write(member.name, source)


def _unpack_zip(archive: IO[bytes], target: _Target) -> None:
    with zipfile.ZipFile(archive) as package:
        for member in package.infolist():
            target.check(member.filename)
            is_link = stat.S_ISLNK(member.external_attr >> 16)
            if target.wants(member.filename) and not member.is_dir() and not is_link:
                with package.open(member) as source:
                    target.write(member.filename, source)


def _unpack_runfile(archive: IO[bytes], target: _Target) -> None:
    """NVIDIA's CUDA 9 and 10 installers: an archive that would unpack itself, holding another one. Neither is run."""
    for outer in makeself.tars(archive):
        for member in outer:
            if member.isfile() and fnmatchcase(PurePosixPath(member.name).name, RUNFILE_INNER):
                inner = outer.extractfile(member)
                for tar in makeself.tars(inner) if inner is not None else ():
                    _take_libraries(tar, target, _is_in_runfile_folders)
                return
    raise ValueError(f"expected {RUNFILE_INNER} in it, found none")


def _is_in_runfile_folders(name: str) -> bool:
    # The folder that the installer would make for itself stands in its script; older ones have it in the tar, too.
    return posixpath.normpath(name).removeprefix("pkg/").startswith(RUNFILE_FOLDERS)
