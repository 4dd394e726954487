"""What makes a shell, or one command, use an environment: the same for `gpu-shell`, for the harness and by hand."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

#: What an environment without a container gets to be activated by.
FOLDER = Path(__file__).with_name("activation")
#: What conda calls the folders whose scripts it runs, with the stem of ours.
HOOKS = {"activate.d": "activate", "deactivate.d": "deactivate"}
SUFFIXES = (".sh", ".bat", ".ps1")
#: What belongs to another environment, or another Python.
_FOREIGN = ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV")
_HOOK_LINE = 'for hook in "$1"/etc/conda/activate.d/*.sh; do if [ -r "$hook" ]; then . "$hook"; fi; done; shift'


def write_hooks(folder: Path) -> None:
    """Put our scripts where conda looks for them, for every shell of both systems."""
    for name, stem in HOOKS.items():
        target = folder / "etc" / "conda" / name
        target.mkdir(parents=True, exist_ok=True)
        for suffix in SUFFIXES:
            shutil.copyfile(FOLDER / f"{stem}{suffix}", target / f"gpuenv{suffix}")


def environment(environ: Mapping[str, str], kind: str, folder: Path) -> dict[str, str]:
    """The caller's variables with the environment's programs first, and nothing of another Python."""
    values = {key: value for key, value in environ.items() if key not in _FOREIGN}
    values["PATH"] = f"{folder / 'bin'}{os.pathsep}{environ.get('PATH', os.defpath)}"
    values["PYTHONNOUSERSITE"] = "1"
    values["CONDA_PREFIX" if kind == "conda" else "VIRTUAL_ENV"] = str(folder)
    return values


def argv(kind: str, folder: Path, command: Sequence[str]) -> list[str]:
    """``command``, started after the scripts that conda would run; it takes the shell's place."""
    if kind != "conda":
        return list(command)
    return ["bash", "-c", f'{_HOOK_LINE}; exec "$@"', "gpuenv", str(folder), *command]


def shell_line(kind: str, folder: str) -> str:
    """The same for a line of a POSIX shell, to be put before a command."""
    variable = "CONDA_PREFIX" if kind == "conda" else "VIRTUAL_ENV"
    quoted = shlex.quote(folder)
    line = f"unset {' '.join(_FOREIGN)}; export {variable}={quoted} PYTHONNOUSERSITE=1"
    line += f' PATH={quoted}/bin:"$PATH"'
    return line + (f"; set -- {quoted}; {_HOOK_LINE}" if kind == "conda" else "")
