"""Copies an installed CPython, without tests and caches, to the place it has in the published Python images."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

from gpuenv.base_image.relocate import files, relocate
from gpuenv.core import signals
from gpuenv.core.errors import HostError
from gpuenv.host.elf import is_elf
from gpuenv.host.pythons import LocalPython

#: Where it will live in the image, as in the published Python images.
NEW_PREFIX = "/usr/local"
#: As the published slim images: no tests, no static library; and no Tk, which would bring X11.
_LEFT_OUT = ("test", "tests", "idle_test", "idlelib", "turtledemo", "__pycache__", "*.a", "*.pyc", "_tkinter.*")
_LDD_LINE = re.compile(r"^[ \t]+\S+ => (not found|/\S+)", re.MULTILINE)


def copy(python: LocalPython, minor: str, target: Path) -> None:
    """Put a clean copy under ``target``/usr/local. Raises HostError if traces of the old place remain."""
    old, new = python.prefix, target / NEW_PREFIX.lstrip("/")
    (new / "bin").mkdir(parents=True)
    library = Path("lib", f"python{minor}")
    everywhere = shutil.ignore_patterns(*_LEFT_OUT)

    def ignore(folder: str, names: list[str]) -> set[str]:
        # What was installed besides stays behind.
        return everywhere(folder, names) | ({"site-packages"} if Path(folder) == old / library else set())

    shutil.copytree(old / library, new / library, symlinks=True, ignore=ignore)
    (new / library / "site-packages").mkdir()
    for pattern in (f"bin/python{minor}", f"bin/python{minor}m", f"lib/libpython{minor}*.so*", "lib/libpython3.so"):
        for path in sorted(old.glob(pattern)):
            shutil.copy2(path, new / path.relative_to(old), follow_symlinks=False)
    for folder in sorted((old / "include").glob(f"python{minor}*")):
        shutil.copytree(folder, new / "include" / folder.name)
    for name in ("python3", "python"):
        (new / "bin" / name).symlink_to(f"python{minor}")
    relocate(new, str(old), NEW_PREFIX)


def find_libraries(tree: Path, old_prefix: Path) -> tuple[tuple[str, ...], tuple[Path, ...]]:
    """The packages and the loose files that binaries below ``tree`` link. Raises HostError for a missing one."""
    binaries = [path for path in files(tree) if is_elf(path)]
    # Their own search path is gone by now, but not what else was installed beside them.
    search = f"{tree / 'lib'}:{old_prefix / 'lib'}"
    environment = {**os.environ, "LD_LIBRARY_PATH": search}
    done = signals.ask(["ldd", *map(str, binaries)], env=environment)
    linked = parse_ldd(done.stdout)
    if "not found" in linked:
        raise HostError(
            f"the Python in {old_prefix} lacks a shared library",
            "ldd reports one that is not found",
            "reinstall it, or set BASE=registry "
            f"(`ldd {shlex.quote(str(old_prefix))}/lib/python*/lib-dynload/*.so` shows which)",
        )
    outside = sorted(path for path in map(Path, linked) if not path.is_relative_to(tree))
    owners = {path: find_package(path) for path in outside}
    packages = sorted({owner for owner in owners.values() if owner})
    return tuple(packages), tuple(path for path, owner in owners.items() if owner is None)


def parse_ldd(output: str) -> set[str]:
    """The paths in ldd's output, and ``not found`` if it says so of any."""
    return set(_LDD_LINE.findall(output))


def find_package(library: Path) -> str | None:
    """The Debian package that owns a file; None for a loose one."""
    argv = ["dpkg-query", "--search", *package_names(library)]
    return parse_owner(signals.ask(argv).stdout)


def package_names(library: Path) -> list[str]:
    """The paths under which dpkg may know a file: /lib and /usr/lib are one, but it keeps the name it was given."""
    names = [str(library), str(library.resolve())]
    twins = [name[len("/usr") :] if name.startswith("/usr/") else f"/usr{name}" for name in names]
    return list(dict.fromkeys([*names, *twins]))


def parse_owner(output: str) -> str | None:
    """The package in ``package:arch: /path``; None for a diversion or nothing."""
    lines = [line for line in output.splitlines() if not line.startswith("diversion")]
    first = next(iter(lines), "").partition(": ")[0].split(",")[0]
    return first.partition(":")[0] or None
