"""Reads conda's settings, and the TensorFlows of the Python environment that is active."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from gpuenv.conda import programs
from gpuenv.conda.condarc import read_condarcs
from gpuenv.core.errors import HostError
from gpuenv.doctor.facts import Conda

#: The folder of an installation, where PATH has no conda (it was not activated).
_USUAL = ("miniconda3", "anaconda3", "miniforge3", "mambaforge", "micromamba")
_PROGRAMS = ("conda", "mamba", "micromamba")
#: ``tensorflow_gpu-1.12.0.dist-info`` of pip, ``tensorflow-1.12.0-mkl_py36.json`` of conda.
_PIP_NAME = re.compile(r"(tensorflow(?:[_-]gpu)?)-(\d[\w.]*)\.(?:dist|egg)-info", re.IGNORECASE)
_CONDA_NAME = re.compile(r"(tensorflow(?:-gpu)?)-(\d[\w.]*)-[^-]+\.json")


def conda(environ: Mapping[str, str] = os.environ, home: Path | None = None) -> Conda:
    """The program, its settings, and the packages named tensorflow in the environment that is active."""
    home = home or Path(environ.get("HOME") or Path.home())
    prefix = environ.get("VIRTUAL_ENV") or environ.get("CONDA_PREFIX")
    program = environ.get("CONDA_EXE") or ""
    # A program that is named without its folder says nothing about its installation.
    program = program if os.path.isabs(program) else ""  # noqa: PTH117
    obstacle = None
    try:
        programs.find(None, environ)
    except HostError as error:
        obstacle = f"{error.what} ({error.why})"
    return Conda(
        program=find_program(environ, home),
        configs=tuple(read_condarcs(environ, home, program)),
        active=prefix,
        packages=dict(find_tensorflow(Path(prefix))) if prefix else {},
        obstacle=obstacle,
    )


def find_program(environ: Mapping[str, str], home: Path) -> str | None:
    """The conda on PATH, the one that is active, or one in a usual folder."""
    named = environ.get("CONDA_EXE")
    on_path = next((found for name in _PROGRAMS if (found := shutil.which(name, path=environ.get("PATH")))), None)
    usual = (folder / name / "bin" / "conda" for folder in (home, Path("/opt")) for name in _USUAL)
    return on_path or named or next((str(path) for path in usual if os.access(path, os.X_OK)), None)


def find_tensorflow(prefix: Path) -> Iterator[tuple[str, str]]:
    """``(distribution, version)`` of each TensorFlow installed in an environment, by pip or by conda."""
    folders = [*prefix.glob("lib/python*/site-packages"), prefix / "Lib" / "site-packages"]
    yield from _matching(_PIP_NAME, (path for folder in folders for path in folder.glob("tensorflow*-info")))
    # Conda's tensorflow-gpu is a meta package that only selects a build of `tensorflow`: there both belong together.
    found = dict(_matching(_CONDA_NAME, (prefix / "conda-meta").glob("tensorflow*.json")))
    yield from ((name, version) for name, version in found.items() if name == "tensorflow" or len(found) == 1)


def _matching(pattern: re.Pattern[str], paths: Iterable[Path]) -> Iterator[tuple[str, str]]:
    for path in sorted(paths):
        match = pattern.fullmatch(path.name)
        if match:
            yield match[1].lower().replace("_", "-"), match[2]
