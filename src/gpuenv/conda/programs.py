"""Finds the program that solves and installs conda packages (conda itself need not be there), and its arguments."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gpuenv.conda.condarc import Condarc, read_condarcs
from gpuenv.conda.lock import Package
from gpuenv.core import ownership, signals, ui
from gpuenv.core.errors import HostError

#: In the order in which they are taken; rattler is the library that the command brings along.
NAMES = ("micromamba", "mamba", "conda", "rattler")
#: conda 4.8 is the first with virtual packages (`__cuda`, `__glibc`); mamba and micromamba had them from the start.
_LOWEST_CONDA = (4, 8)
_VERSION = re.compile(r"(?<!\d)(\d+)\.(\d+)[\d.]*")
#: Those that are written in conda, and read its settings as it does.
_READS_FINAL = ("conda", "mamba")
_MAMBA_WITHOUT_CONDA = (2, 0)


@dataclass(frozen=True)
class Program:
    """``path`` is "" for rattler; ``version`` are the first two parts of what it says."""

    name: str
    path: str = ""
    version: tuple[int, int] = (0, 0)

    def argv(self, folder: Path, explicit: Path) -> list[str]:
        """The command that makes the environment in ``folder``, which is not there yet, of what ``explicit`` lists.

        Such a list is not solved, and no channel is asked besides it, whatever a condarc says.
        """
        argv = [self.path, "create", "--yes", "--quiet", "--prefix", str(folder), "--file", str(explicit)]
        # What a condarc adds to every new environment (`create_default_packages`) is not in the lock. micromamba, and
        # mamba since 2.0, which is the same program, neither have that nor the option.
        if self.name == "conda" or (self.name == "mamba" and self.version < _MAMBA_WITHOUT_CONDA):
            argv.append("--no-default-packages")
        return argv


def explicit_list(found: Iterable[tuple[Package, str]]) -> str:
    """A file of packages as conda, mamba and micromamba read it: an address in each line, and its sum.

    All of them know md5 there, few another one. Nobody can make a second file to a given md5.
    """
    lines = [
        f"{url}#{package.md5}" if package.md5 else f"{url}#sha256:{package.sha256}" if package.sha256 else url
        for package, url in found
    ]
    return "\n".join(["@EXPLICIT", *lines, ""])


def find(wanted: str | None, environ: Mapping[str, str] = os.environ) -> Program:
    """The program asked for, else the first that is here and new enough. Raises HostError, with why of each."""
    reasons = []
    for name in [wanted] if wanted else NAMES:
        found = _look(name, environ)
        if isinstance(found, Program):
            return found
        reasons.append(f"{name}: {found}")
    raise HostError(
        f"there is no {wanted or 'program'} to make a conda environment with",
        "; ".join(reasons),
        "install micromamba, or run the command with Python 3.10 or newer (PYTHON=python3.12), which brings its own",
    )


def _look(name: str, environ: Mapping[str, str]) -> Program | str:
    """The program, or why not."""
    if name == "rattler":
        is_here = importlib.util.find_spec("rattler") is not None
        why = f"py-rattler needs Python 3.10 or newer, this is {sys.version_info.major}.{sys.version_info.minor}"
        return Program(name) if is_here else why
    # conda's own shell function is not seen from here, but says where its program is.
    named = environ.get({"conda": "CONDA_EXE", "micromamba": "MAMBA_EXE"}.get(name, ""), "")
    is_its_name = Path(named).name.startswith(name) and os.access(named, os.X_OK)
    path = shutil.which(name, path=environ.get("PATH")) or (named if is_its_name else None)
    if path is None:
        return "not on the PATH"
    version = _ask_version(path)
    if version is None:
        return f"{path} does not say its version"
    if name == "conda" and version < _LOWEST_CONDA:
        lowest, found = (".".join(map(str, one)) for one in (_LOWEST_CONDA, version))
        ui.warn(f"{path} is {name} {found}, which is too old ({lowest} or newer): `conda update --name base conda`")
        return f"{found} is too old, {lowest} or newer is needed (`conda update --name base conda`)"
    files = list(read_condarcs(environ, Path.home(), path))
    final = next((each.path for each in files if each.is_unverified and each.is_final), None)
    if final and name in _READS_FINAL:
        return f"{final} switches verification off with `#!final`, which no variable overrides"
    return next(filter(None, map(_foreign_cache, files)), None) or Program(name, path, version)


def _foreign_cache(condarc: Condarc) -> str | None:
    """Why what lies unpacked in a cache of packages may not be believed, as all these programs do; None if it may."""
    for folder in condarc.caches:
        path = os.path.expanduser(folder)  # noqa: PTH111 - Path's own raises for an unknown user
        if os.path.exists(path) and (why := ownership.problem(path)):  # noqa: PTH110 - or in a closed folder
            return f"it would take what lies unpacked in {path} (pkgs_dirs of {condarc.path}), and {why}"
    return None


def _ask_version(path: str) -> tuple[int, int] | None:
    try:
        done = signals.ask([path, "--version"], 60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(done.stdout or done.stderr)
    return (int(match[1]), int(match[2])) if match and done.returncode == 0 else None


def warn_unverified(environ: Mapping[str, str], home: Path, program: str = "") -> None:
    """Say that a setting which switches verification off is not used; ``program`` is the path of what would read it."""
    for each in read_condarcs(environ, home, program):
        if each.is_unverified:
            where = f"ssl_verify: false in {each.path}" if each.is_file else f"{each.path}={each.ssl_verify}"
            ui.warn(f"{where} is not used: certificates are verified (name your CA bundle: PIP_CERT=)")
