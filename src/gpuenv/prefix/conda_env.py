"""`make conda-env`: an environment of conda packages (Python, CUDA) and of the images' own lock (everything else)."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path

from gpuenv.conda import channels, failures, programs, spec
from gpuenv.conda.channels import CondaRequest
from gpuenv.core import paths, scratch, ui
from gpuenv.core.errors import UsageError
from gpuenv.core.settings import Settings
from gpuenv.cuda import sources
from gpuenv.host import gpu
from gpuenv.net import redact
from gpuenv.prefix import activate, pip
from gpuenv.prefix import cuda as prefix_cuda
from gpuenv.prefix.folder import Content, Prefix, place
from gpuenv.prefix.making import Making
from gpuenv.variants import locks
from gpuenv.variants.environment import Environment


def plan(environment: Environment, settings: Settings) -> tuple[Prefix, partial[list[Path]]]:
    """Where the environment is, or will be, and what makes it.

    That raises HostError without a program to make it with, SourceError where a channel does not give what it should,
    DataError where no set of packages fits, BuildError if pip fails.
    """
    variant, flavor = environment.variant, environment.flavor
    spec.of(variant)
    if settings.cuda_lock or settings.cuda == "simulated":
        wish = f"CUDA_LOCK={settings.cuda_lock}" if settings.cuda_lock else "CUDA=simulated"
        raise UsageError(
            f"{wish} is not for a conda environment",
            "its CUDA comes from its channels, as [conda] of variant.toml pins it",
            "use ENGINE=venv (or TARGET=venv), or leave it out",
        )
    lock = locks.load_lock(variant.lock_path(flavor))
    _, _, digest = locks.read_checked(spec.path(environment))
    sources.check_folder(settings.sources_dir)  # a bad one is told before anything is made
    prefix = place(Content.of(environment, "conda", digest), settings.prefix)
    return prefix, partial(_make, environment, lock, settings)


def _make(environment: Environment, lock: locks.Lock, settings: Settings, making: Making) -> list[Path]:
    variant, flavor, prefix = environment.variant, environment.flavor, making.prefix
    if flavor == "gpu":
        prefix_cuda.check_compiler(variant)
    program = programs.find(settings.conda)
    programs.warn_unverified(os.environ, Path.home(), program.path)
    ui.say(f"making the environment {prefix.folder} with {program.name} (log: {prefix.log})")
    with scratch.folder("conda") as temporary:
        request = channels.request(environment, settings, temporary)
        named = ", ".join(map(redact.text, request.channels))
        ui.say(f"installing Python{' and CUDA' if flavor == 'gpu' else ''} from {named}")
        argv = program.argv(prefix.folder, request) if program.path else _rattler_argv(prefix, request, temporary)
        explain = partial(failures.explain, program=program.name, request=request, log=prefix.log)
        making.run(argv, variables(environment), explain)
    pip.install(making, environment, lock, settings.sources_dir)
    activate.write_hooks(prefix.folder)
    if flavor != "gpu":
        return []
    return prefix_cuda.link(prefix.folder, prefix.folder / "lib", spec.cuda_names(variant))


def variables(environment: Environment) -> dict[str, str]:
    """What the program reads: this process' variables, and what decides the solution and the network."""
    environ = {**os.environ, **channels.network_variables(os.environ)}
    environ.update(CONDA_CHANNEL_PRIORITY="flexible", MAMBA_CHANNEL_PRIORITY="flexible")
    if environment.flavor == "gpu" and gpu.host_gpus().driver is None:
        # Packages may ask for a driver (`__cuda`), which the machine that the environment is made on need not have.
        environ.setdefault("CONDA_OVERRIDE_CUDA", environment.variant.cuda.version)
    return environ


def _rattler_argv(prefix: Prefix, request: CondaRequest, temporary: Path) -> list[str]:
    job = {
        "prefix": str(prefix.folder),
        "channels": request.channels,
        "specifications": request.specifications,
        "subdir": spec.SUBDIRS[0],
        "cache": str(paths.cache_dir() / "conda"),
    }
    path = temporary / "job.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    return [sys.executable, "-I", "-m", "gpuenv.conda.rattler", str(path)]
