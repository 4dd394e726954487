"""Chooses the CUDA of a gpu environment: the variant's own lock, another one that was named, or a simulated one."""

from __future__ import annotations

from gpuenv.core import paths, ui
from gpuenv.core.errors import UsageError
from gpuenv.core.settings import Settings
from gpuenv.variants.cuda_lock import CudaLock, load_cuda_lock
from gpuenv.variants.environment import Environment
from gpuenv.variants.model import Variant


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
