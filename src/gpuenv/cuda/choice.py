"""Chooses the CUDA of a gpu environment: the variant's own lock, another one that was named, or a simulated one; and
finds the libraries that are installed on this machine already, if they are of the variant's version.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from gpuenv.core import paths, signals, ui
from gpuenv.core.errors import UsageError
from gpuenv.core.settings import Settings
from gpuenv.variants.cuda_lock import CudaLock, load_cuda_lock
from gpuenv.variants.environment import Environment
from gpuenv.variants.model import Variant

#: Where NVIDIA's and the distributions' packages put them; ``{version}`` is such as 10.0.
_FOLDERS = (
    "/usr/local/cuda-{version}/lib64",
    "/usr/local/cuda-{version}/extras/CUPTI/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib64",
)
_LDCONFIG = re.compile(r"^[ \t]+(\S+) \(libc6,x86-64[^)]*\) => (/\S+)$", re.MULTILINE)


def environment(settings: Settings, variant: Variant, flavor: str) -> Environment:
    """Load the CUDA that was asked for, if the flavor has any. Raises what :func:`load` raises."""
    return Environment(variant, flavor, load(settings, variant) if flavor == "gpu" else None)


def load(settings: Settings, variant: Variant) -> CudaLock:
    """Load the lock that ``cuda_lock``, else ``cuda`` asks for; the variant's own if neither does.

    Announces a simulated one. Raises DataError for an unusable lock, and what making a simulated one raises.
    """
    if settings.cuda_lock:
        if not settings.cuda_lock.is_file():
            raise UsageError(f"CUDA_LOCK={settings.cuda_lock} is not a file", "it is missing", "name a cuda.lock.toml")
        lock = load_cuda_lock(settings.cuda_lock.resolve())
    elif settings.cuda == "simulated":
        # Not on the way of a warm shell with the variant's own lock.
        from gpuenv.cuda import simulated

        lock = load_cuda_lock(simulated.make_simulated_lock(variant, paths.cache_dir() / "simulated" / variant.name))
    else:
        lock = load_cuda_lock(variant.cuda_lock_path)
    if lock.simulated:
        ui.say(f"{variant.name}: the CUDA libraries are SIMULATED ({lock.path}); no GPU can be used")
    return lock


def find_installed(variant: Variant, lock: CudaLock) -> dict[str, Path]:
    """SONAME -> file for every library of ``lock``; empty unless all are here and cuDNN is the variant's."""
    named = [os.environ.get(name) for name in ("CUDA_HOME", "CUDA_PATH", "CUDA_ROOT")]
    on_path = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    folders = [f"{root}/lib64" for root in named if root] + [part for part in on_path if part]
    folders += [folder.format(version=variant.cuda.version) for folder in _FOLDERS]
    try:
        cache = signals.ask(["ldconfig", "-p"]).stdout
    except OSError:
        cache = ""
    found = choose(lock.sonames, map(Path, folders), parse_cache(cache))
    cudnn = next((path for soname, path in found.items() if soname.startswith("libcudnn.so")), None)
    # Its SONAME names the major version only; the file that the link leads to has the whole in its name.
    if cudnn is not None and not cudnn.resolve().name.endswith(f".so.{variant.cuda.cudnn}"):
        return {}
    return found


def choose(sonames: Iterable[str], folders: Iterable[Path], known: Mapping[str, Path]) -> dict[str, Path]:
    """The file of each SONAME; empty when one is nowhere: two halves of two installations do not fit."""
    folders = list(folders)
    found: dict[str, Path] = {}
    for soname in sonames:
        candidates = [*(folder / soname for folder in folders), *([known[soname]] if soname in known else [])]
        path = next((path for path in candidates if path.is_file()), None)
        if path is None:
            return {}
        found[soname] = path
    return found


def parse_cache(text: str) -> dict[str, Path]:
    """SONAME -> file, from the output of `ldconfig -p`."""
    return {soname: Path(path) for soname, path in _LDCONFIG.findall(text)}
