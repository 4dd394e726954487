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

from gpuenv.core import paths, signals, ui
from gpuenv.core.errors import BuildError, HostError
from gpuenv.cuda import choice, sources
from gpuenv.cuda.stubs import MARKER
from gpuenv.host import elf, gpu
from gpuenv.prefix import activate
from gpuenv.variants.cuda_lock import CudaLock
from gpuenv.variants.model import Variant, numbers

DRIVER = "libcuda.so.1"
#: The folder of the driver's stand-in.
STAND_IN_FOLDER = "lib/gpuenv-driver"
#: How large a simulated library is at most.
_SIMULATED_BYTES = 5_000_000


def libraries(folder: Path, variant: Variant) -> Path:
    """Where a virtual environment keeps its CUDA libraries."""
    return folder / "lib" / f"cuda-{variant.cuda.version}"


def place_libraries(folder: Path, variant: Variant, lock: CudaLock, sources_dir: Path | None) -> None:
    """Put every library of ``lock`` there: those of this machine if all fit, else from the verified archives."""
    target = libraries(folder, variant)
    found = {} if lock.simulated or sources_dir else choice.find_installed(variant, lock)
    if found:
        ui.say(f"CUDA {variant.cuda.version} of this machine is used ({next(iter(found.values())).parent})")
        target.mkdir(parents=True)
        for soname, path in found.items():
            (target / soname).symlink_to(path)
        return
    sources.stage_libraries(lock, target, sources_dir)


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


def check_compiler(variant: Variant) -> None:
    """Refuse at once what :func:`_add_stand_in` would refuse after minutes of downloads. Raises HostError."""
    # Measured on the wheels: up to 1.13 libcuda.so.1 is a DT_NEEDED; from 1.14 on it is opened at first use.
    if numbers(variant.tensorflow.version) < (1, 14):
        _find_compiler(f"TensorFlow {variant.tensorflow.version}")


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
    compiler = _find_compiler(framework.name)
    if compiler is None:
        return
    target = folder / STAND_IN_FOLDER / DRIVER
    target.parent.mkdir(parents=True, exist_ok=True)
    code = [str(path) for path in sorted((paths.docker_dir() / "libcuda").glob("*.c"))]
    options = ["-shared", "-fPIC", "-O2", "-Wl,--build-id=none", f"-Wl,-soname,{DRIVER}"]
    done = signals.ask([compiler, *options, "-o", str(target), *code])
    if done.returncode != 0:
        raise BuildError("the stand-in for libcuda.so.1 does not compile", done.stderr.strip()[-300:], "use FLAVOR=cpu")
    site = framework.parent.parent
    shutil.copy(activate.FOLDER / activate.HOOK, site / activate.HOOK)
    (site / activate.HOOK_PTH).write_text(activate.HOOK_LINE, encoding="utf-8")


def _find_compiler(what: str) -> str | None:
    """The compiler for the stand-in; None where none is needed, as there is a driver. Raises HostError without both."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None and gpu.host_gpus().driver is None:
        raise HostError(
            "this machine has no NVIDIA driver, and no C compiler for a stand-in",
            f"{what} cannot be loaded without {DRIVER}, and the stand-in for it has to be compiled",
            "use FLAVOR=cpu, or install gcc",
        )
    return compiler


def label(folder: Path) -> str:
    """``simulated`` for an environment whose CUDA libraries are stand-ins (small, and marked), else ``genuine``."""
    links = [path for path in find_framework(folder).parent.glob("lib*.so.*") if path.is_symlink() and path.exists()]
    small = (path for path in links if path.stat().st_size < _SIMULATED_BYTES)
    return "simulated" if any(MARKER.encode() in path.read_bytes() for path in small) else "genuine"
