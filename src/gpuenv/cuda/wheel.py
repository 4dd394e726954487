"""Fetches, once, the wheel that a simulated CUDA takes genuine NVIDIA libraries from; pip checks its hash."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gpuenv.core import paths, signals, ui
from gpuenv.core.errors import DataError, HostError, SourceError
from gpuenv.cuda.files import keep
from gpuenv.net.pip_settings import pip_environment

_PIN = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>\S+) --hash=sha256:(?P<sha256>[0-9a-f]{64})$", re.MULTILINE)


@dataclass(frozen=True)
class Wheel:
    """One pinned wheel."""

    requirements: Path
    distribution: str
    version: str
    sha256: str


def load_wheel(requirements: Path) -> Wheel:
    """Read a requirements-CUDA.txt. Raises DataError when it does not pin one wheel."""
    pin = _PIN.search(requirements.read_text(encoding="utf-8"))
    if pin is None:
        why = "expected NAME==VERSION --hash=sha256:..."
        raise DataError(f"{requirements} is not usable", why, "restore it from version control")
    return Wheel(requirements, pin["name"], pin["version"], pin["sha256"])


def fetch_wheel(wheel: Wheel) -> Path:
    """The file of ``wheel``, fetched if need be. Raises SourceError when pip cannot, HostError without a pip."""
    folder = paths.cache_dir() / "simulated" / f"wheel-{wheel.sha256[:12]}"
    (path,) = keep(folder, f"fetching {wheel.distribution}", partial(_run_pip, wheel)).glob("*.whl")
    return path


def _run_pip(wheel: Wheel, target: Path) -> None:
    ui.say(f"fetching genuine CUDA libraries for the simulation: {wheel.distribution} {wheel.version} (500 MB)")
    argv = [find_pip(target.parent), "-I", "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    argv += ["--no-cache-dir", "--only-binary=:all:", "--progress-bar=off"]
    # For the Python of the environments, not for this one.
    argv += ["--implementation=cp", "--python-version=3.6", "--abi=cp36m", "--platform=manylinux1_x86_64"]
    argv += [f"--requirement={wheel.requirements}", f"--dest={target}"]
    done = signals.run(argv, env=pip_environment(os.environ), stdout=sys.stderr, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [done.stderr.strip()[-300:]]
        raise SourceError(
            f"{wheel.distribution} {wheel.version} could not be fetched",
            f"pip says: {lines[-1]}",
            "set PIP_INDEX_URL, HTTPS_PROXY or SSL_CERT_FILE (your network's CA bundle) and run the same again",
        )


def find_pip(folder: Path) -> str:
    """A Python that has pip: this one, the one on PATH, or a temporary environment made for it."""
    for python in (sys.executable, "python3"):
        if _succeeds([python, "-I", "-c", "import pip"]):
            return python
    if _succeeds([sys.executable, "-I", "-m", "venv", str(folder / "pip")]):
        return str(folder / "pip" / "bin" / "python")
    raise HostError(
        "there is no pip to fetch the simulated CUDA with",
        f"neither {sys.executable} nor python3 has it, and none can be added",
        "apt-get install python3-pip, or give the wheel's libraries with SOURCES_DIR and CUDA_LOCK",
    )


def _succeeds(argv: list[str]) -> bool:
    try:
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
