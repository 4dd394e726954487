"""Making the folder of a tiny variant, and the files that its lock names."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from gpuenv.host import pythons
from gpuenv.variants import locks
from gpuenv.variants import model as variants
from gpuenv.variants.locks import Pin

VERSION = "0.0.1"
TOOLS = ("pip", "setuptools", "wheel")


@dataclass(frozen=True)
class Tiny:
    """A tiny variant: its folder of variants, the folder with its packages, and the wheel made for this one alone."""

    name: str
    envs: Path
    packages: Path
    probe: str

    @property
    def tag(self) -> str:
        """Its cpu image."""
        return f"gpuenv:{self.name}-cpu"


def fetch_tools(folder: Path) -> tuple[Pin, ...]:
    """Fetch the pinned pip, setuptools and wheel from the index that this machine uses; returns their pins."""
    real = variants.find_variant(None)
    pins = tuple(pin for pin in locks.load_lock(real.lock_path("cpu")).pins if pin.name in TOOLS)
    requirements = folder / "tools.txt"
    requirements.write_text("".join(map(locks.render_pin, pins)))
    options = ["download", "--quiet", "--no-deps", "--require-hashes", "--dest", str(folder), "-r", str(requirements)]
    subprocess.run([_python_with_pip(), "-m", "pip", *options], check=True)
    requirements.unlink()
    return pins


def _python_with_pip() -> str:
    found = pythons.find_python("3.6")
    candidates = [sys.executable, *([str(found.executable)] if found else []), "python3"]
    for candidate in candidates:
        if subprocess.run([candidate, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0:
            return candidate
    raise AssertionError(f"none of {candidates} has pip")


def make_tiny(folder: Path, name: str, tools: Path, tool_pins: tuple[Pin, ...], disk_gb: int = 1) -> Tiny:
    """Make a variant whose probe package, and so whose last layer, no other has."""
    packages, variant = folder / "packages", folder / "envs" / name
    shutil.copytree(tools, packages)
    variant.mkdir(parents=True)
    probe = f"probe_{name.replace('-', '_')}"
    pins = [
        *tool_pins,
        *(make_wheel(packages, package, content=package) for package in ("tensorflow", "keras")),
        make_wheel(packages, probe, content=name),
        make_source(packages, "tinysource"),
    ]
    (variant / "requirements-cpu.txt").write_text(
        locks.render_lock(name, sorted(pins, key=lambda pin: pin.name), "0" * 64)
    )
    real = variants.find_variant(None)
    text = (real.folder / "variant.toml").read_text()
    for pattern, value in (
        (r'(?m)^name = ".*"', f'name = "{name}"'),
        (r'(?m)^keras = ".*"', f'keras = "{VERSION}"'),
        (r'(?m)(?<=^\[tensorflow\]\n)version = ".*"', f'version = "{VERSION}"'),
        (r"(?m)^cpu_gb = \d+", f"cpu_gb = {disk_gb}"),
    ):
        text, count = re.subn(pattern, value, text)
        assert count == 1, pattern
    (variant / "variant.toml").write_text(text)
    shutil.copy(real.cuda_lock_path, variant)
    return Tiny(name, folder / "envs", packages, f"{probe}-{VERSION}-py3-none-any.whl")


def make_wheel(folder: Path, name: str, content: str) -> Pin:
    """A wheel with one module; the same content gives the same bytes."""
    file_name = f"{name}-{VERSION}-py3-none-any.whl"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {VERSION}\n"
    files = {
        f"{name}/__init__.py": f"__version__ = {VERSION!r}\nCONTENT = {content!r}\n",
        f"{name}-{VERSION}.dist-info/METADATA": metadata,
        f"{name}-{VERSION}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in (*files, f"{name}-{VERSION}.dist-info/RECORD"))
    with zipfile.ZipFile(folder / file_name, "w") as archive:
        for path, text in {**files, f"{name}-{VERSION}.dist-info/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return _pin(folder / file_name, name)


def make_source(folder: Path, name: str) -> Pin:
    """A source distribution with one module; the same bytes each time."""
    root = f"{name}-{VERSION}"
    files = {
        "setup.py": f"from setuptools import setup\nsetup(name={name!r}, version={VERSION!r}, py_modules=[{name!r}])\n",
        "PKG-INFO": f"Metadata-Version: 1.0\nName: {name}\nVersion: {VERSION}\n",
        f"{name}.py": f"__version__ = {VERSION!r}\n",
    }
    path = folder / f"{root}.tar.gz"
    with gzip.GzipFile(path, "wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for file_name, text in files.items():
            member = tarfile.TarInfo(f"{root}/{file_name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return _pin(path, name)


def _pin(path: Path, name: str) -> Pin:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    size = path.stat().st_size
    return Pin(name.replace("_", "-"), VERSION, None, (digest,), path.name, path.name, size, size)
