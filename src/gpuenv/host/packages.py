"""Installs the distribution's own engine (and mmdebstrap) on Debian and Ubuntu, as root."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from gpuenv.core import closed, signals, ui
from gpuenv.core.errors import EngineError
from gpuenv.core.ui import end_of_output
from gpuenv.host import systems

#: Program and the package that brings it, the same in Debian and Ubuntu.
PROGRAMS = (("dockerd", "docker.io"), ("iptables", "iptables"), ("ip", "iproute2"))
#: Newer releases put the client and its build plugin into packages of their own; older ones do not know these.
CLIENT_PACKAGES = ("docker-cli", "docker-buildx")
#: Downloading and unpacking 250 MB on a slow machine.
APT_TIMEOUT_S = 1200
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"


def is_allowed() -> bool:
    """Whether packages of the distribution may be installed: ``GPUENV_INSTALL_ENGINE=0`` forbids it."""
    return os.environ.get("GPUENV_INSTALL_ENGINE", "1") != "0"


def search_path() -> str:
    """PATH, and behind it the folders of administrators' programs, which it may lack."""
    return os.environ.get("PATH", os.defpath) + os.pathsep + SYSTEM_PATH


def obstacle() -> str | None:
    """Why the engine can neither be found nor installed here, or None."""
    if not missing():
        return None
    if shutil.which("apt-get") is None or not systems.is_debian(systems.read_os_release()):
        return "an engine can be installed by itself on Debian and Ubuntu only"
    return None


def missing() -> list[str]:
    """The packages of the engine whose program is not on PATH (nor where administrators' programs are)."""
    return [package for program, package in PROGRAMS if shutil.which(program, path=search_path()) is None]


def install(packages: Sequence[str], log: Path) -> None:
    """``apt-get install`` the packages, and the client's with an engine's. Raises EngineError."""
    has_engine = "docker.io" in packages
    if has_engine or not all(map(_is_known, packages)):
        ui.say(f"fetching the lists of packages with apt-get (log: {log})")
        _apt(["update"], log)
    wanted = [*packages, *(filter(_is_known, CLIENT_PACKAGES) if has_engine else ())]
    ui.say(f"installing {', '.join(wanted)} with apt-get (log: {log})")
    _apt(["install", "--yes", "--no-install-recommends", *wanted], log)


def _is_known(package: str) -> bool:
    done = subprocess.run(["apt-cache", "show", package], capture_output=True, check=False)
    return done.returncode == 0


def _apt(arguments: list[str], log: Path) -> None:
    # An interrupted earlier run may leave apt's lock held by something that is about to end: wait for it.
    argv = ["apt-get", "-o", "DPkg::Lock::Timeout=120", "-o", "Dpkg::Options::=--force-confold", *arguments]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(log, "ab", opener=closed.opener) as output:
            code = signals.run(
                argv,
                APT_TIMEOUT_S,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            ).returncode
    except subprocess.TimeoutExpired as error:
        raise EngineError(
            f"apt-get {arguments[0]} took longer than {APT_TIMEOUT_S} s", "a mirror that stalls", f"see {log}"
        ) from error
    if code != 0:
        raise EngineError(
            f"apt-get {arguments[0]} failed (exit code {code})",
            end_of_output(log.read_text(errors="replace")),
            f"see {log}; install {' '.join(arguments[3:]) or 'the packages'} by hand, or set ENGINE=venv",
        )
