"""The smallest image in which a driver can be looked at: the loader, the C library, libcuda's stand-in, a probe."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

from gpuenv.core import paths

from . import build

IMAGE = "gpuenv-simulated-probe"
PROBE = "/probe"
_LOADER = Path("/lib64/ld-linux-x86-64.so.2")
_STANDIN = ("-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "libcuda.c", "unavailable.c")


def make_archive(folder: Path) -> bytes:
    """The image's root as a tar archive. Raises HostError without a compiler."""
    probe = build.compile_program(("-Wno-cast-function-type", "probe.c", "-ldl"), folder / "probe")
    standin = build.compile_program(_STANDIN, folder / "libcuda.so.1", paths.docker_dir() / "libcuda")
    files = {
        "probe": probe,
        "lib64/ld-linux-x86-64.so.2": _LOADER,
        "usr/lib/x86_64-linux-gnu/libc.so.6": libraries_of(probe)["libc.so.6"],
        "usr/lib/libcuda.so.1": standin,
    }
    texts = {"etc/debian_version": "12\n", "etc/ld.so.conf": "/usr/lib/x86_64-linux-gnu\n"}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, path in files.items():
            _add(tar, name, path.read_bytes())
        for name, text in texts.items():
            _add(tar, name, text.encode())
        for name, target in (("lib", "usr/lib"),):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return stream.getvalue()


def import_image(archive: bytes, environment: Mapping[str, str]) -> str:
    """Bring the image into the engine of ``environment``; its name."""
    argv = ["docker", "import", "--change", f'CMD ["{PROBE}"]', "-", IMAGE]
    subprocess.run(argv, input=archive, env=dict(environment), capture_output=True, check=True)
    return IMAGE


def parse_probe(text: str) -> dict[str, str]:
    """The probe's ``key value`` lines."""
    return dict(line.split(" ", 1) for line in text.splitlines())


def libraries_of(program: Path) -> dict[str, Path]:
    """The libraries that the host's loader finds for ``program``: SONAME -> file."""
    listing = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True).stdout
    rows = (line.split() for line in listing.splitlines())
    return {row[0]: Path(row[2]).resolve() for row in rows if len(row) > 2 and row[1] == "=>"}


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o755
    tar.addfile(entry, io.BytesIO(content))
