"""Which CUDA goes into a gpu image: the variant's own lock, another one that was named, or a simulated one."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from types import ModuleType

from gpuenv.core import paths, ui
from gpuenv.core.errors import UsageError
from gpuenv.variants.model import CudaLock, Variant, load_cuda_lock

CHOICES = ("genuine", "simulated")


def load(args: argparse.Namespace, variant: Variant) -> CudaLock:
    """The lock that ``--cuda-lock``, else ``--cuda`` asks for; the variant's own if neither does.

    Announces a simulated one. Raises DataError for an unusable lock, UsageError when the simulation is not
    there, and what making it raises.
    """
    if args.cuda_lock:
        lock = load_cuda_lock(_checked(Path(args.cuda_lock)))
    elif args.cuda == "simulated":
        lock = load_cuda_lock(_simulated(variant))
    else:
        lock = load_cuda_lock(variant.cuda_lock_path)
    if lock.simulated:
        ui.say(f"{variant.name}: the CUDA libraries are SIMULATED ({lock.path}); no GPU can be used")
    return lock


def load_simulation() -> ModuleType:
    """The module ``simulated.cuda`` of this project's tests. Raises UsageError where the tests are not there."""
    tests = paths.project_root() / "tests"
    if not (tests / "simulated" / "cuda.py").is_file():
        raise UsageError(
            "CUDA=simulated is not possible here",
            f"it is made by the tests, and {tests} has none of them",
            "run it in a clone of the project",
        )
    if str(tests) not in sys.path:
        sys.path.append(str(tests))
    return importlib.import_module("simulated.cuda")


def _simulated(variant: Variant) -> Path:
    folder = paths.cache_dir() / "simulated" / variant.name
    path: Path = load_simulation().make_simulated_lock(variant, folder)
    return path


def _checked(path: Path) -> Path:
    if not path.is_file():
        raise UsageError(f"CUDA_LOCK={path} is not a file", "it is missing", "name a cuda.lock.toml")
    return path.resolve()
