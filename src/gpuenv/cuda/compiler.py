"""The C compiler that makes stand-ins where no image's is at hand: this machine's, else one from the package index."""

from __future__ import annotations

import functools
import os
import shutil
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from gpuenv.core import scratch, signals, ui
from gpuenv.core.errors import HostError, SourceError
from gpuenv.cuda import sources
from gpuenv.cuda.files import cached_path
from gpuenv.variants.cuda_lock import Source

#: Zig's compiler of C, for Linux on x86-64. It brings its own headers and the symbols of every glibc.
ZIG = Source(
    wheel="ziglang-0.13.0-py3-none-manylinux_2_12_x86_64.manylinux2010_x86_64.musllinux_1_1_x86_64.whl",
    sha256="3ce0c9f16547e5d61b32e0d226926e9a2552ef4b91fccf7ab5ea1a623a77824b",
    size=80_896_325,
    origin="index",
    unpack="zip",
)
#: The oldest glibc that the locked packages run with (manylinux2014).
_TARGET = "x86_64-linux-gnu.2.17"


def check() -> None:
    """Have a compiler, fetched if need be. Raises HostError where there is none, and none can be had."""
    if not is_here():
        ui.say("this machine has no C compiler for stand-ins; fetching one from the package index (81 MB)")
        with scratch.folder("compiler") as folder:
            _open(folder).close()


def is_here() -> bool:
    """Whether nothing has to be fetched."""
    return _own() is not None or cached_path(ZIG).is_file()


def compile_all(jobs: Iterable[Sequence[str]], folder: Path) -> str:
    """Run the compiler in ``folder`` with each of the argument lists; what it says where one fails, else ``""``.

    Raises HostError as :func:`check` does.
    """
    own = _own()
    if own:
        return _run([own], jobs, folder, dict(os.environ))
    with scratch.folder("compiler") as temporary:
        with _open(temporary) as stream, zipfile.ZipFile(stream) as archive:
            archive.extractall(temporary)
        zig = temporary / "ziglang" / "zig"
        zig.chmod(0o755)
        caches = {name: str(temporary / "cache") for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")}
        return _run([str(zig), "cc", "-target", _TARGET], jobs, folder, {**os.environ, **caches})


def _own() -> str | None:
    """This machine's, if it can make a library: some have a compiler and no headers, or no linker."""
    program = shutil.which("gcc") or shutil.which("cc")
    return program if program is not None and _works(program) else None


@functools.cache
def _works(program: str) -> bool:
    with scratch.folder("compiler") as folder:
        (folder / "x.c").write_text("#include <stddef.h>\n#include <unistd.h>\nint x;\n", encoding="utf-8")
        return _run([program], [["-shared", "-fPIC", "-o", "x.so", "x.c"]], folder, dict(os.environ)) == ""


def _open(folder: Path) -> BinaryIO:
    try:
        return sources.open_source(ZIG, folder)[0]
    except SourceError as error:
        raise HostError(
            "this machine has no C compiler, which stand-ins are made with, and none can be fetched",
            f"there is no gcc; {ZIG.wheel}: {error.what} ({error.why})",
            "apt-get install gcc libc6-dev (or your system's packages for them), or use FLAVOR=cpu",
        ) from error


def _run(compiler: Sequence[str], jobs: Iterable[Sequence[str]], folder: Path, environment: dict[str, str]) -> str:
    for job in jobs:
        try:
            done = signals.ask([*compiler, *job], cwd=folder, env=environment)
        except OSError as error:  # such as one from a disk that nothing may be run from
            return str(error)
        if done.returncode != 0:
            return done.stderr.strip()[-500:] or f"exit code {done.returncode}"
    return ""
