"""`gpu-shell` where there is no engine: the same packages in a virtual environment, on the CPU."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from gpuenv import terminal, ui
from gpuenv.errors import UsageError
from gpuenv.signals import PassOn, passed_on
from gpuenv.variants import Variant


def run(variant: Variant, work: Path, command: str | None, *, flavor: str | None, gpus: str | None) -> int:
    """Run a prompt or ``command`` in ``work``; its exit code (128 + n for a signal, as in a shell).

    Raises UsageError for a GPU that was asked for, and what making the environment raises.
    """
    if flavor == "gpu" or gpus not in (None, "none"):
        raise UsageError(
            f"{'FLAVOR=gpu' if flavor == 'gpu' else f'GPUS={gpus}'} needs a container engine",
            "a plain virtual environment has no CUDA libraries and is for the CPU",
            "leave it out, or see `make engine`",
        )
    from gpuenv import venv_env

    prefix = venv_env.ensure_venv(variant)
    ui.say(
        f"{variant.name}-cpu: TensorFlow {variant.tensorflow.version}, Keras {variant.keras}, Python {variant.python};"
        " device: CPU (a plain virtual environment, not a container)"
    )
    argv = ["bash", "--norc"] if command is None else ["bash", "-c", command]
    child = subprocess.Popen(argv, cwd=work, env=environment(os.environ, prefix, variant.name))
    receiver = PassOn(lambda name: _send(child, name), is_terminal=command is None and terminal.is_terminal(0))
    with passed_on(receiver):
        receiver.started()
        code = child.wait()
    return 128 - code if code < 0 else code


def environment(environ: Mapping[str, str], prefix: Path, name: str) -> dict[str, str]:
    """The caller's variables, with the virtual environment first, and nothing of another Python."""
    values = {key: value for key, value in environ.items() if key not in ("PYTHONHOME", "PYTHONPATH")}
    values["VIRTUAL_ENV"] = str(prefix)
    values["PATH"] = f"{prefix / 'bin'}{os.pathsep}{environ.get('PATH', os.defpath)}"
    values["PS1"] = rf"({name}-cpu, no container) \w\$ "
    return values


def _send(child: subprocess.Popen[bytes], name: str) -> None:
    """Pass a signal on, unless the terminal sends it to the child, too, as it does for Ctrl-C."""
    if name in ("SIGINT", "SIGQUIT") and terminal.is_terminal(0):
        return
    child.send_signal(getattr(signal, name))
