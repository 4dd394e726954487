"""CUDA in an environment without a container: where its libraries come from, and how TensorFlow finds them.

TensorFlow's libraries carry an RPATH whose first existing folder is the one that they lie in ($ORIGIN); links in there
lead to CUDA. So whatever starts Python finds it, and nothing else does. TensorFlow 1.12 needs it while it is loaded
(DT_NEEDED, BIND_NOW), before a line of its Python runs; 1.15 opens it by name, for which the loader asks the same
RPATH, before LD_LIBRARY_PATH.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from gpuenv.core import paths, ui
from gpuenv.core.errors import BuildError
from gpuenv.cuda import choice, compiler, sources, stand_ins
from gpuenv.host import elf, gpu
from gpuenv.prefix import activate
from gpuenv.variants import locks
from gpuenv.variants.cuda_lock import CudaLock
from gpuenv.variants.model import Variant, numbers

DRIVER = "libcuda.so.1"
#: The folder of the driver's stand-in.
STAND_IN_FOLDER = "lib/gpuenv-driver"
#: No stand-in is larger: that of cuSOLVER has 22 kB.
_STAND_IN_BYTES = 1_000_000


def libraries(folder: Path, variant: Variant) -> Path:
    """Where a virtual environment keeps its CUDA libraries."""
    return folder / "lib" / f"cuda-{variant.cuda.version}"


def place_libraries(folder: Path, variant: Variant, lock: CudaLock, sources_dir: Path | None) -> None:
    """Put every library of ``lock`` there: those of this machine if all fit, else from the verified archives."""
    target = libraries(folder, variant)
    found = {} if lock.from_index or sources_dir else choice.find_installed(variant, lock)
    if found:
        ui.say(f"CUDA {variant.cuda.version} of this machine is used ({next(iter(found.values())).parent})")
        target.mkdir(parents=True)
        for soname, path in found.items():
            (target / soname).symlink_to(path)
        return
    sources.stage_libraries(lock, target, sources_dir)
    stand_ins.compile_all(stand_ins.sources(variant, lock.stand_ins), target)


def digest(variant: Variant, lock: CudaLock) -> str:
    """What decides the CUDA libraries of an environment."""
    return " ".join([lock.digest, *map(locks.sha256_hex, stand_ins.sources(variant, lock.stand_ins).values())])


def link(folder: Path, cuda: Path, only: Iterable[str] | None = None) -> list[Path]:
    """Make TensorFlow find the libraries in ``cuda`` (all, or ``only`` these); add the driver's stand-in if need be.

    Returns the links. Raises BuildError when TensorFlow, or one of the libraries, is not installed.
    """
    framework = find_framework(folder)
    names = sorted(path.name for path in cuda.iterdir()) if only is None else sorted(only)
    for name in names:
        if not (cuda / name).is_file():
            raise BuildError(
                f"{name} is not in {cuda}",
                "the packages that were installed do not have the CUDA library that TensorFlow needs",
                "check the channels (CHANNELS=) and [conda] of variant.toml",
            )
        _relink(framework.parent / name, cuda / name)
    # What the compiler's own run-time library is where there is no compiler: conda brings it along.
    gomp = folder / "lib" / "libgomp.so.1"
    if gomp.exists():
        _relink(framework.parent / gomp.name, gomp)
    if DRIVER in elf.read_needed(framework):
        _add_stand_in(folder, framework)
    return [framework.parent / name for name in names]


def check_compiler(variant: Variant, lock: CudaLock | None) -> None:
    """Refuse at once what would be refused after minutes of downloads: no compiler for stand-ins. Raises HostError."""
    # Measured on the wheels: up to 1.13 libcuda.so.1 is a DT_NEEDED; from 1.14 on it is opened at first use.
    needs_driver = numbers(variant.tensorflow.version) < (1, 14) and gpu.host_gpus().driver is None
    if needs_driver or (lock is not None and lock.stand_ins):
        compiler.check()


def find_framework(folder: Path) -> Path:
    """TensorFlow's library that opens, or needs, those of CUDA. Raises BuildError when it is not there."""
    found = sorted(folder.glob("lib/python*/site-packages/*/libtensorflow_framework.so*"))
    if not found:
        raise BuildError(f"{folder} holds no TensorFlow", "pip installed none", "look at the log named above")
    return found[0]


def _relink(link_path: Path, target: Path) -> None:
    link_path.unlink(missing_ok=True)
    # Relative, so that it leads nowhere else after a copy of the whole folder.
    link_path.symlink_to(os.path.relpath(target, link_path.parent))


def _add_stand_in(folder: Path, framework: Path) -> None:
    """Where no driver is, TensorFlow 1.12 cannot even be imported: a library that answers "no device" helps.

    It must lose to every real driver, also to one that is there later, or on the next node of a cluster. A link in
    the RPATH would win; so Python loads it before TensorFlow, and only if no driver is found.
    """
    target = folder / STAND_IN_FOLDER / DRIVER
    target.parent.mkdir(parents=True, exist_ok=True)
    code = [str(path) for path in sorted((paths.docker_dir() / "libcuda").glob("*.c"))]
    options = ["-shared", "-fPIC", "-O2", "-Wl,--build-id=none", f"-Wl,-soname,{DRIVER}"]
    if gpu.host_gpus().driver is not None and not compiler.is_here():
        # With a driver it is for the day when this folder is used without one: nothing is fetched for that.
        return
    problem = compiler.compile_all([[*options, "-o", str(target), *code]], target.parent)
    if problem:
        raise BuildError("the stand-in for libcuda.so.1 does not compile", problem, "use FLAVOR=cpu")
    site = framework.parent.parent
    shutil.copy(activate.FOLDER / activate.HOOK, site / activate.HOOK)
    (site / activate.HOOK_PTH).write_text(activate.HOOK_LINE, encoding="utf-8")


def label(folder: Path) -> str:
    """``index`` for an environment with stand-ins (small, and marked) among its CUDA libraries, else ``complete``."""
    links = [path for path in find_framework(folder).parent.glob("lib*.so.*") if path.is_symlink() and path.exists()]
    small = (path for path in links if path.stat().st_size < _STAND_IN_BYTES)
    return "index" if any(stand_ins.MARKER.encode() in path.read_bytes() for path in small) else "complete"
