"""Unpacks CUDA's archives and takes the wanted libraries out of them.

An archive is opened only after its sha256 was verified, and is still not trusted to stay inside its folder: names and
links that lead out are refused. Only plain files are ever written, so no link can be followed later either.
"""

from __future__ import annotations

import posixpath
import shutil
import stat
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import IO

from gpuenv.core import elf, signals
from gpuenv.core.errors import DataError, SourceError, full_disk

MACHINE = "EM_X86_64"
#: Folders of the inner package of NVIDIA's CUDA 9 and 10 installers that hold shared libraries.
RUNFILE_FOLDERS = ("pkg/lib64", "pkg/extras/CUPTI/lib64")
_CHUNK_BYTES = 1 << 20


def unpack(kind: str, archive: Path, into: Path) -> None:
    """Unpack what may be a shared library; ``kind`` is how a `cuda.lock.toml` says to open the archive.

    Raises SourceError for a damaged one and for one that tries to write outside of ``into``.
    """
    opener = {"tar": _unpack_tar, "zip": _unpack_zip, "runfile": _unpack_runfile}[kind]
    try:
        opener(archive, into)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
        raise full_disk(error) or _unusable(archive, str(error)) from error


def _is_library_name(name: str) -> bool:
    """Whether a file of this name may be a shared library; the rest of an archive (gigabytes) stays packed."""
    return ".so" in PurePosixPath(name).name


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


def _unpack_tar(archive: Path, into: Path) -> None:
    with tarfile.open(archive) as tar:
        for member in tar:
            _check_inside(archive, member.name)
            if not _is_library_name(member.name):
                continue
            if member.issym():
                _check_inside(archive, posixpath.join(posixpath.dirname(member.name), member.linkname))
            elif member.islnk():
                _check_inside(archive, member.linkname)
            elif member.isfile():
                source = tar.extractfile(member)
                if source is not None:
                    _write(into / member.name, source)


def _unpack_zip(archive: Path, into: Path) -> None:
    with zipfile.ZipFile(archive) as package:
        for member in package.infolist():
            _check_inside(archive, member.filename)
            is_link = stat.S_ISLNK(member.external_attr >> 16)
            if _is_library_name(member.filename) and not member.is_dir() and not is_link:
                with package.open(member) as source:
                    _write(into / member.filename, source)


def _check_inside(archive: Path, name: str) -> None:
    plain = posixpath.normpath(name)
    if plain == ".." or plain.startswith(("../", "/")):
        raise _unusable(archive, f"its entry {name!r} leads out of the folder")


def _write(path: Path, source: IO[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        shutil.copyfileobj(source, stream, _CHUNK_BYTES)


def _unpack_runfile(archive: Path, into: Path) -> None:
    """NVIDIA's CUDA 9 and 10 installers: an archive that runs, holding another one; neither needs root or a driver."""
    with tempfile.TemporaryDirectory(prefix="runfile-", dir=into) as folder:
        _run_installer(archive, ["sh", str(archive), f"--tmpdir={folder}", f"--extract={folder}"], folder)
        inner = sorted(Path(folder).glob("cuda-linux*.run"))
        if len(inner) != 1:
            raise _unusable(archive, f"expected one cuda-linux*.run inside, found {len(inner)}")
        _run_installer(archive, ["sh", str(inner[0]), "--noexec", "--keep"], folder)
        for number, name in enumerate(RUNFILE_FOLDERS):
            if (Path(folder) / name).is_dir():
                shutil.move(str(Path(folder) / name), str(into / f"{number}"))


def _run_installer(archive: Path, argv: list[str], folder: str) -> None:
    done = signals.run(argv, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        tail = done.stdout.decode(errors="replace").strip().splitlines()[-1:] or ["it says nothing"]
        raise _unusable(
            archive, f"it ended with {done.returncode} when asked to unpack itself (it needs perl): {tail[0]}"
        )


def _unusable(archive: Path, why: str) -> SourceError:
    return SourceError(f"{archive.name} cannot be unpacked", why, "correct the source in cuda.lock.toml")
