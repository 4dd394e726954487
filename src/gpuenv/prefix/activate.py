"""What makes a shell, or one command, use an environment: the same for `gpu-shell`, for the harness and by hand."""

from __future__ import annotations

import hashlib
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

#: What an environment without a container gets to be activated by.
FOLDER = Path(__file__).with_name("activation")
#: The module that stands in for the driver, and the line that loads it at every start (:mod:`gpuenv.prefix.cuda`).
HOOK, HOOK_PTH, HOOK_LINE = "gpuenv_driver.py", "gpuenv_driver.pth", "import gpuenv_driver\n"
#: What conda calls the folders whose scripts it runs, with the stem of ours.
HOOKS = {"activate.d": "activate", "deactivate.d": "deactivate"}
SUFFIXES = (".sh", ".bat", ".ps1")
#: What belongs to another environment, or another Python.
_FOREIGN = ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV")


def write_hooks(folder: Path) -> None:
    """Put our scripts where conda looks for them, for every shell of both systems."""
    for name, stem in HOOKS.items():
        target = folder / "etc" / "conda" / name
        target.mkdir(parents=True, exist_ok=True)
        for suffix in SUFFIXES:
            shutil.copyfile(FOLDER / f"{stem}{suffix}", target / f"gpuenv{suffix}")


def own_files() -> dict[str, str]:
    """The ends of the paths of what we put into environments, with the sha256 (hex) of the content."""
    contents = {HOOK_PTH: HOOK_LINE.encode(), HOOK: (FOLDER / HOOK).read_bytes()}
    for name, stem in HOOKS.items():
        contents.update({f"{name}/gpuenv{suffix}": (FOLDER / f"{stem}{suffix}").read_bytes() for suffix in SUFFIXES})
    return {end: hashlib.sha256(content).hexdigest() for end, content in contents.items()}


def argv(kind: str, folder: Path, command: Sequence[str]) -> list[str]:
    """``command``, started in the environment; it takes the shell's place."""
    return ["bash", "-c", f'{shell_line(kind, str(folder))}; exec "$@"', "gpuenv", *command]


def shell_line(kind: str, folder: str) -> str:
    """What is put before a command in a POSIX shell: the environment's programs first, nothing of another Python.

    For conda also the scripts that it would run.
    """
    variable = "CONDA_PREFIX" if kind == "conda" else "VIRTUAL_ENV"
    quoted = shlex.quote(folder)
    line = f"unset {' '.join(_FOREIGN)}; export {variable}={quoted} PYTHONNOUSERSITE=1"
    line += f' PATH={quoted}/bin:"$PATH"'
    hooks = f'; for hook in {quoted}/etc/conda/activate.d/*.sh; do if [ -r "$hook" ]; then . "$hook"; fi; done'
    return line + (hooks if kind == "conda" else "")
