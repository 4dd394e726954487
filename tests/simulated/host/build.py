"""Compiles the simulated driver and lays out the root folder of a simulated host."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from gpuenv.core import paths
from gpuenv.core.errors import HostError

from .scenario import Scenario, render_proc, render_text

HERE = Path(__file__).resolve().parent
TESTS = HERE.parents[1]
HOOK_NAME = "nvidia-container-runtime-hook"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
_FLAGS = ("-Og", "-Wall", "-Wextra", "-Werror")
_SHARED = ("-shared", "-fPIC", "-Wl,--build-id=none", "-Wl,-Bsymbolic")
#: What is made from which sources, and how; below the root folder of a simulated host.
PROGRAMS = {
    f"{LIBRARIES}/libcuda.so.1": (*_SHARED, "-Wl,-soname,libcuda.so.1", "scenario.c", "libcuda.c", "unsupported.c"),
    f"{LIBRARIES}/libnvidia-ml.so.1": (*_SHARED, "-Wl,-soname,libnvidia-ml.so.1", "scenario.c", "nvml.c"),
    "usr/bin/nvidia-smi": ("-static", "scenario.c", "nvml.c", "nvidia-smi.c"),
}


def compile_programs(target: Path) -> Path:
    """Compile everything once into ``target``; about a second. Raises HostError without a compiler."""
    for name, arguments in PROGRAMS.items():
        compile_program(arguments, target / name)
    return target


def compile_program(arguments: tuple[str, ...], target: Path, folder: Path = HERE) -> Path:
    """Compile the sources among ``arguments`` (in ``folder``) to ``target``. Raises HostError."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise HostError(
            "the simulated driver cannot be made", "there is no C compiler", "apt-get install gcc libc6-dev"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    argv = [compiler, *_FLAGS, f"-I{paths.docker_dir() / 'libcuda'}", *arguments, "-o", str(target)]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HostError(f"{target.name} cannot be compiled", done.stderr.strip(), "install gcc and libc6-dev")
    return target


def make_root(programs: Path, scenario: Scenario, target: Path) -> Path:
    """The root folder of the host of ``scenario``: programs, facts, device nodes (plain files), /proc/driver/nvidia.

    ``path/nvidia-smi`` in it is the one to put on PATH: it knows which folder stands for ``/``.
    """
    shutil.copytree(programs, target)
    write(target / "usr/share/gpuenv-simulated/scenario.txt", render_text(scenario))
    for node in scenario.nodes:
        write(target / "dev" / node, "")
    for name, text in render_proc(scenario).items():
        write(target / "proc/driver/nvidia" / name, text)
    program = shlex.quote(str(target / "usr/bin/nvidia-smi"))
    lines = ("#!/bin/sh", f"export GPUENV_SIMULATED_ROOT={shlex.quote(str(target))}", f'exec {program} "$@"', "")
    write(target / "path/nvidia-smi", "\n".join(lines)).chmod(0o755)
    return target


def write_hook(folder: Path, host: Path) -> Path:
    """The hook's program in ``folder``; ``host`` is the root folder (or a link to it) that it reads when it runs."""
    code = (
        f"import pathlib, sys; sys.path.insert(0, {str(TESTS)!r}); from simulated.host import hook; "
        f"sys.exit(hook.main(pathlib.Path({str(host)!r}).resolve(), sys.argv[1:]))"
    )
    # -I: nothing of the daemon's environment changes what this Python does.
    program = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -I -S -B -c {shlex.quote(code)} "$@"\n'
    path = write(folder / HOOK_NAME, program)
    path.chmod(0o755)
    return path


def write(path: Path, text: str) -> Path:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
