"""Copying an installed CPython to another prefix, without anything that names the old one.

An interpreter finds its library relative to its own file; what remains of the prefix of its build
(shebangs, `sysconfig`'s data, a RUNPATH) is rewritten here, and :func:`find_leftovers` proves it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gpuenv.errors import HostError
from gpuenv.pythons import LocalPython

#: Where it will live in the image, as in the published Python images.
NEW_PREFIX = "/usr/local"
#: As in the published slim images: no tests, no static library; and no Tk, which would bring X11.
_LEFT_OUT = ("test", "tests", "idle_test", "idlelib", "turtledemo", "__pycache__", "*.a", "*.pyc", "_tkinter.*")
_ELF = b"\x7fELF"
_LDD_LINE = re.compile(r"^\s+\S+ => (not found|/\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Libraries:
    """The shared libraries of an interpreter: of the distribution (by package name), and loose files."""

    packages: tuple[str, ...]
    files: tuple[Path, ...]


def copy(python: LocalPython, minor: str, target: Path) -> None:
    """Put a clean copy of ``python`` under ``target``/usr/local. Raises HostError if traces of the old place remain."""
    old, new = python.prefix, target / NEW_PREFIX.lstrip("/")
    (new / "bin").mkdir(parents=True)
    library = new / "lib" / f"python{minor}"
    shutil.copytree(old / "lib" / library.name, library, symlinks=True, ignore=_ignored(old / "lib" / library.name))
    (library / "site-packages").mkdir()
    for pattern in (f"bin/python{minor}", f"bin/python{minor}m", f"lib/libpython{minor}*.so*", "lib/libpython3.so"):
        for path in sorted(old.glob(pattern)):
            shutil.copy2(path, new / path.relative_to(old), follow_symlinks=False)
    for folder in sorted((old / "include").glob(f"python{minor}*")):
        shutil.copytree(folder, new / "include" / folder.name)
    for name in ("python3", "python"):
        (new / "bin" / name).symlink_to(f"python{minor}")
    relocate(new, str(old))


def _ignored(library: Path) -> Callable[[str, list[str]], set[str]]:
    """What ``copytree`` leaves out: :data:`_LEFT_OUT` everywhere, and what was installed besides."""
    everywhere = shutil.ignore_patterns(*_LEFT_OUT)

    def ignore(folder: str, names: list[str]) -> set[str]:
        top = {"site-packages"} if Path(folder) == library else set()
        return everywhere(folder, names) | top

    return ignore


def relocate(tree: Path, old_prefix: str) -> None:
    """Rewrite ``old_prefix`` to :data:`NEW_PREFIX` in every file. Raises HostError if one keeps it."""
    if old_prefix == NEW_PREFIX:
        return
    old, new = old_prefix.encode(), NEW_PREFIX.encode()
    for path in _files(tree):
        content = path.read_bytes()
        changed = rewrite(content, old, new)
        if changed != content:
            path.write_bytes(changed)
    leftovers = find_leftovers(tree, old)
    if leftovers:
        raise HostError(
            f"the Python in {old_prefix} cannot be moved",
            f"{leftovers[0].relative_to(tree)} and {len(leftovers) - 1} other files keep that path",
            "use a Python with a longer prefix (pyenv's are), or set BASE=registry",
        )


def rewrite(content: bytes, old: bytes, new: bytes) -> bytes:
    """``content`` with ``old`` replaced. In a binary each string keeps its length: it is filled up with NULs.

    Only whole path components count: ``/opt/python`` is not in ``/opt/python3``.
    """
    if content.startswith(_ELF):
        if len(new) > len(old):
            return content
        strings = re.compile(re.escape(old) + rb"(?![\w.-])([^\0]*)")
        filler = b"\0" * (len(old) - len(new))

        def fill(match: re.Match[bytes]) -> bytes:
            tail, count = re.subn(re.escape(old) + rb"(?![\w.-])", lambda _: new, match[1])
            return new + tail + filler * (count + 1)

        return strings.sub(fill, content)
    return re.sub(re.escape(old) + rb"(?![\w.-])", lambda _: new, content)


def find_leftovers(tree: Path, old: bytes) -> list[Path]:
    """The files below ``tree`` that still contain ``old`` as a path."""
    pattern = re.compile(re.escape(old) + rb"(?![\w.-])")
    return [path for path in _files(tree) if pattern.search(path.read_bytes())]


def _files(tree: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(tree):
        for name in names:
            path = Path(folder) / name
            if not path.is_symlink():
                yield path


def find_libraries(tree: Path, old_prefix: Path) -> Libraries:
    """What the binaries below ``tree`` link, resolved on this machine. Raises HostError for one that is not there."""
    binaries = [path for path in _files(tree) if _is_elf(path)]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tree / "lib")}
    done = subprocess.run(["ldd", *map(str, binaries)], env=environment, capture_output=True, text=True, check=False)
    linked = parse_ldd(done.stdout)
    if "not found" in linked:
        raise HostError(
            f"the Python in {old_prefix} lacks a shared library",
            "ldd reports one that is not found",
            f"reinstall it, or set BASE=registry (`ldd {old_prefix}/lib/python*/lib-dynload/*.so` shows which)",
        )
    outside = sorted(path for path in map(Path, linked) if not path.is_relative_to(tree))
    owners = {path: find_package(path) for path in outside}
    packages = sorted({owner for owner in owners.values() if owner})
    return Libraries(tuple(packages), tuple(path for path, owner in owners.items() if owner is None))


def parse_ldd(output: str) -> set[str]:
    """The paths in ldd's output, and ``not found`` if it says so of any."""
    return set(_LDD_LINE.findall(output))


def find_package(library: Path) -> str | None:
    """The Debian package that owns a file, asked by each name it has (dpkg knows only the one it was packed with)."""
    names = {str(library), str(library.resolve())}
    names |= {name[len("/usr") :] for name in names if name.startswith("/usr/lib")} | {f"/usr{name}" for name in names}
    for name in sorted(names):
        done = subprocess.run(["dpkg-query", "--search", name], capture_output=True, text=True, check=False)
        owner = parse_owner(done.stdout)
        if owner:
            return owner
    return None


def parse_owner(output: str) -> str | None:
    """The package in ``package:arch: /path``; None for a diversion or nothing."""
    lines: Iterable[str] = (line for line in output.splitlines() if not line.startswith("diversion"))
    first = next(iter(lines), "").partition(": ")[0].split(",")[0]
    return first.partition(":")[0] or None


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_ELF)) == _ELF
