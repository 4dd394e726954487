"""`make venv-env`: a plain virtual environment on a CPython of this machine, from the same locks as the images."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from gpuenv.core import ui
from gpuenv.core.errors import HostError
from gpuenv.core.settings import Settings
from gpuenv.cuda import choice as cuda_choice
from gpuenv.cuda import sources
from gpuenv.host import pythons
from gpuenv.prefix import cuda as prefix_cuda
from gpuenv.prefix import pip
from gpuenv.prefix.folder import Prefix, place
from gpuenv.prefix.making import Making, ensure
from gpuenv.prefix.mark import Content
from gpuenv.variants import locks
from gpuenv.variants.cuda_lock import CudaLock
from gpuenv.variants.model import Variant


def ensure_venv(variant: Variant, flavor: str, settings: Settings) -> Path:
    """The complete environment of one flavor, made if missing; two at once make it once.

    Raises HostError without a Python of the variant's version, BuildError if pip fails, and for the gpu flavor
    SourceError where its CUDA libraries are neither on this machine nor to be had.
    """
    return ensure(*plan(variant, flavor, settings))


def plan(variant: Variant, flavor: str, settings: Settings) -> tuple[Prefix, partial[list[Path]]]:
    """Where the environment is, or will be, and what makes it."""
    lock = locks.load_lock(variant.lock_path(flavor))
    sources.check_folder(settings.sources_dir)
    cuda_lock = cuda_choice.load(settings, variant) if flavor == "gpu" else None
    content = Content(
        "venv",
        variant.name,
        flavor,
        prefix_cuda.digest(lock.digest, cuda_lock),
        is_simulated=cuda_lock is not None and cuda_lock.simulated,
    )
    prefix = place(content, settings.prefix)
    return prefix, partial(_make, variant, lock, cuda_lock, settings.sources_dir)


def _make(
    variant: Variant, lock: locks.Lock, cuda_lock: CudaLock | None, sources_dir: Path | None, making: Making
) -> list[Path]:
    """Fill the folder; returns the links that lead to its CUDA."""
    prefix = making.prefix
    if cuda_lock is not None:
        prefix_cuda.check_compiler(variant)
    python = pythons.find_python(variant.python_minor, variant.python)
    if python is None:
        raise missing_python(variant)
    differs = "" if python.version == variant.python else f" (pinned: {variant.python})"
    ui.say(f"making the environment {prefix.folder} with Python {python.version}{differs} (log: {prefix.log})")
    making.run([str(python.executable), "-m", "venv", str(prefix.folder)])
    flavor = "gpu" if cuda_lock else "cpu"
    if cuda_lock is not None:
        # Before the packages: what cannot be had is known within seconds, and TensorFlow takes minutes.
        prefix_cuda.place_libraries(prefix.folder, variant, cuda_lock, sources_dir)
    pip.install(making, variant, flavor, lock, sources_dir)
    if cuda_lock is None:
        return []
    return prefix_cuda.link(prefix.folder, prefix_cuda.libraries(prefix.folder, variant))


def missing_python(variant: Variant) -> HostError:
    """The error when this machine has no Python of the variant's version."""
    return HostError(
        f"there is no complete CPython {variant.python_minor} on this machine",
        f"{variant.name} needs one where there is no container engine; PATH, pyenv, uv and conda were searched",
        f"`pyenv install {variant.python}`, or `uv python install {variant.python_minor}`, or "
        f"`conda create -n python{variant.python_minor} python={variant.python_minor}`; or install Docker, "
        "or `make conda-env`, which brings its own",
    )
