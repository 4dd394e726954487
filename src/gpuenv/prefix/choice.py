"""Which environment takes an image's place where there is no engine: its kind, its flavor, its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from gpuenv.core import ui
from gpuenv.core.errors import UsageError
from gpuenv.core.settings import Settings
from gpuenv.cuda import choice as cuda_choice
from gpuenv.cuda import sources
from gpuenv.host import gpu, pythons
from gpuenv.prefix import conda_env, making, trust
from gpuenv.prefix import cuda as prefix_cuda
from gpuenv.prefix import virtual_env as venv_env
from gpuenv.prefix.folder import Mark, is_complete, read_mark
from gpuenv.variants import model as variants
from gpuenv.variants.environment import Environment
from gpuenv.variants.kinds import TITLES
from gpuenv.variants.model import Variant


@dataclass(frozen=True)
class Made:
    """A complete environment; ``cuda`` is complete, index or none."""

    kind: str
    flavor: str
    folder: Path
    cuda: str

    @property
    def title(self) -> str:
        """What people call it."""
        return f"a {TITLES[self.kind]}"


def ensure(settings: Settings, variant: Variant) -> Made:
    """The environment that ``settings`` ask for, made if need be."""
    kind = choose_kind(settings, variant)
    return make(kind, choose_environment(settings, kind, variant), settings)


def make(kind: str, environment: Environment, settings: Settings) -> Made:
    """Have an environment in a folder, made if need be."""
    plan = conda_env.plan if kind == "conda" else venv_env.plan
    folder = making.ensure(*plan(environment, settings))
    cuda = prefix_cuda.label(folder) if environment.flavor == "gpu" else "none"
    return Made(kind, environment.flavor, folder, cuda)


def refuse_container(settings: Settings) -> None:
    """Raise UsageError where both a folder (PREFIX) and a container were asked for: it is one or the other."""
    if settings.engine not in (None, "auto", *TITLES):
        raise UsageError(
            f"ENGINE={settings.engine} has no folder PREFIX={settings.prefix}",
            "a container's environment is its image; PREFIX is for environments of this machine",
            "leave out one of them, or use ENGINE=venv or ENGINE=conda",
        )


def find_variant(settings: Settings) -> Variant:
    """The variant that was asked for, else that of the folder (PREFIX), else the default one. Raises UsageError."""
    mark = find_mark(settings)
    return variants.find_variant(settings.variant or (mark.content.variant if mark is not None else None))


def find_mark(settings: Settings) -> Mark | None:
    """What the folder that was asked for (PREFIX) holds already. Raises HostError where others decide on that."""
    if settings.prefix is None:
        return None
    trust.check(settings.prefix)
    return read_mark(settings.prefix)


def choose_kind(settings: Settings, variant: Variant) -> str:
    """The kind asked for, else that of the folder (PREFIX), else venv where a Python is, else conda."""
    if settings.engine is not None and settings.engine in TITLES:
        return settings.engine
    mark = find_mark(settings)
    if mark is not None:
        return mark.content.kind
    if pythons.find_python(variant.python_minor, variant.python) is not None or variant.conda is None:
        return "venv"
    ui.say(
        f"there is no CPython {variant.python_minor} on this machine; using a conda environment, which brings one. "
        f"With a Python of your own (`pyenv install {variant.python}`) a virtual environment is used."
    )
    return "conda"


def choose_environment(settings: Settings, kind: str, variant: Variant) -> Environment:
    """The flavor and the CUDA asked for, else those of the folder (PREFIX), else this machine's.

    cpu, and a warning why, where no CUDA is to be had.
    """
    mark = find_mark(settings)
    there = mark.content if mark is not None else None
    named = settings.flavor or (there.flavor if there is not None else None)
    flavor = named or gpu.default_flavor(gpu.host_gpus())
    if flavor != "gpu":
        return Environment(variant, flavor)
    if settings.cuda is None and there is not None and there.cuda == "index":
        settings = replace(settings, cuda="index")
    if kind == "conda":
        # Its channels have CUDA, unless it is to come from the package index.
        return Environment(variant, flavor, cuda_choice.load(settings, variant) if settings.cuda == "index" else None)
    sources.check_folder(settings.sources_dir)
    environment, reason = cuda_choice.plan(settings, variant, flavor, partial(_find_made, settings, variant))
    if named or reason is None:
        return environment
    ui.warn(f"{reason}; using the cpu flavor. With its archives in a folder: SOURCES_DIR=<folder> FLAVOR=gpu")
    return Environment(variant, "cpu")


def _find_made(settings: Settings, variant: Variant, environments: Sequence[Environment]) -> Environment | None:
    """The first whose folder is whole; else the first, if its CUDA is installed on this machine."""
    for environment in environments:
        if is_complete(venv_env.plan(environment, settings)[0]):
            return environment
    first = environments[0]
    is_installed = first.cuda and not first.cuda.from_index and cuda_choice.find_installed(variant, first.cuda)
    return first if is_installed else None
