"""Chooses the CUDA of a gpu environment: the variant's own lock or another one that was named, from archives or from
the package index; and finds the libraries that are installed on this machine already, if they are of the variant's
version.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Optional

from gpuenv.core import signals, ui
from gpuenv.core.errors import UsageError
from gpuenv.core.settings import Settings
from gpuenv.variants.cuda_lock import CudaLock, load_cuda_lock, of_index
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


#: Finds the one of some environments that is made already, if any is.
Find = Callable[[Sequence[Environment]], Optional[Environment]]


def environment(settings: Settings, variant: Variant, flavor: str, find: Find = lambda _: None) -> Environment:
    """The environment with the CUDA that was asked for, if the flavor has any. Raises what :func:`load` raises.

    Where nothing was asked for, CUDA is what ``find`` finds made, else complete; but where no source of its archives
    answers, it comes from the package index. Nobody is asked where there is no choice.
    """
    if flavor == "gpu" and len(candidates := _candidates(settings, variant)) > 1:
        return _choose(candidates, settings, find)[0]
    return Environment(variant, flavor, load(settings, variant) if flavor == "gpu" else None)


def plan(
    settings: Settings, variant: Variant, flavor: str, find: Find = lambda _: None
) -> tuple[Environment, str | None]:
    """The same, and why its CUDA cannot be had; None if it is made, or every part is here or answers in time."""
    if flavor != "gpu":
        return Environment(variant, flavor), None
    return _choose(_candidates(settings, variant), settings, find)


def _candidates(settings: Settings, variant: Variant) -> tuple[Environment, ...]:
    wanted = Environment(variant, "gpu", load(settings, variant))
    return (wanted,) if settings.cuda else wanted.alternatives


def _choose(candidates: Sequence[Environment], settings: Settings, find: Find) -> tuple[Environment, str | None]:
    if (made := find(candidates)) is not None:
        return made, None
    # Not on the way of a warm shell.
    from gpuenv.cuda import sources

    locks = [one.cuda for one in candidates if one.cuda is not None]
    reasons = sources.unreachable_reasons(locks, settings.sources_dir)
    for one, reason in zip(candidates, reasons):
        if reason is None:
            if one is not candidates[0]:
                no_cuda = "without cuFFT and cuSOLVER (CUDA=archives insists)"
                ui.say(f"{reasons[0]}; CUDA comes from the package index, {no_cuda}")
            return one, None
    # Where neither can be had, the complete one's error tells more.
    return candidates[0], reasons[0]


def load(settings: Settings, variant: Variant) -> CudaLock:
    """Load the lock that ``cuda_lock`` names, else the variant's own, as ``cuda`` wants it.

    Raises DataError for an unusable lock, and UsageError for one that cannot come from the index.
    """
    if settings.cuda_lock:
        if not settings.cuda_lock.is_file():
            raise UsageError(f"CUDA_LOCK={settings.cuda_lock} is not a file", "it is missing", "name a cuda.lock.toml")
        lock = load_cuda_lock(settings.cuda_lock.resolve())
    else:
        lock = load_cuda_lock(variant.cuda_lock_path)
    if settings.cuda != "index":
        return lock
    if not lock.has_index:
        raise UsageError("CUDA=index cannot be had", f"{lock.path} names no wheel", "leave CUDA=index out")
    return of_index(lock)


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
