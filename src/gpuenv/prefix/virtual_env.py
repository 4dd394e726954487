"""`make venv-env`: a plain virtual environment on a CPython of this machine, from the same locks as the images."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from gpuenv.core import ui
from gpuenv.core.errors import HostError
from gpuenv.core.settings import Settings
from gpuenv.cuda import sources
from gpuenv.host import pythons
from gpuenv.prefix import cuda as prefix_cuda
from gpuenv.prefix import pip
from gpuenv.prefix.folder import Content, Prefix, place
from gpuenv.prefix.making import Making
from gpuenv.variants import locks
from gpuenv.variants.environment import Environment


def plan(environment: Environment, settings: Settings) -> tuple[Prefix, partial[list[Path]]]:
    """Where the environment is, or will be, and what makes it.

    That raises HostError without a Python of the variant's version, BuildError if pip fails, SourceError where its
    CUDA libraries are neither on this machine nor to be had.
    """
    lock = locks.load_lock(environment.variant.lock_path(environment.flavor))
    sources.check_folder(settings.sources_dir)
    cuda = prefix_cuda.digest(environment.variant, environment.cuda) if environment.cuda else ""
    digest = locks.sha256_hex(f"{lock.digest} {cuda}") if cuda else lock.digest
    prefix = place(Content.of(environment, "venv", digest), settings.prefix)
    return prefix, partial(_make, environment, lock, settings.sources_dir)


def _make(environment: Environment, lock: locks.Lock, sources_dir: Path | None, making: Making) -> list[Path]:
    """Fill the folder; returns the links that lead to its CUDA."""
    variant, prefix = environment.variant, making.prefix
    if environment.cuda is not None:
        prefix_cuda.check_compiler(variant, environment.cuda)
    python = pythons.find_python(variant.python_minor, variant.python)
    if python is None:
        raise HostError(
            f"there is no complete CPython {variant.python_minor} on this machine",
            f"{variant.name} needs one where there is no container engine; PATH, pyenv, uv and conda were searched",
            f"`pyenv install {variant.python}`, or `uv python install {variant.python_minor}`, or "
            f"`conda create -n python{variant.python_minor} python={variant.python_minor}`; or install Docker, "
            "or `make conda-env`, which brings its own",
        )
    differs = "" if python.version == variant.python else f" (pinned: {variant.python})"
    ui.say(f"making the environment {prefix.folder} with Python {python.version}{differs} (log: {prefix.log})")
    making.claim()
    making.run([str(python.executable), "-I", "-m", "venv", str(prefix.folder)])
    if environment.cuda is not None:
        # Before the packages: what cannot be had is known within seconds, and TensorFlow takes minutes.
        prefix_cuda.place_libraries(prefix.folder, variant, environment.cuda, sources_dir)
    pip.install(making, environment, lock, sources_dir)
    if environment.cuda is None:
        return []
    return prefix_cuda.link(prefix.folder, prefix_cuda.libraries(prefix.folder, variant))
