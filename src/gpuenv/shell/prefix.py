"""`gpu-shell` where there is no engine: the same packages in an environment of this machine (venv, conda)."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from gpuenv.core import processes, signals, ui
from gpuenv.core.errors import UsageError
from gpuenv.core.settings import Settings
from gpuenv.core.signals import PassOn, passed_on
from gpuenv.host import gpu
from gpuenv.prefix import activate
from gpuenv.prefix import choice as prefix_choice
from gpuenv.shell import words as shell_words
from gpuenv.shell import workspace
from gpuenv.shell.terminal import errors_kept
from gpuenv.variants.environment import name_of
from gpuenv.variants.model import Variant


def run(settings: Settings, variant: Variant, work: Path, command: str | None, tail: bytearray) -> int:
    """Run a prompt or ``command`` in ``work``; its exit code (128 + n for a signal, as in a shell).

    ``tail`` keeps the end of a command's errors. Raises UsageError for what needs a container.
    """
    if settings.add:
        raise UsageError(
            f"ADD={settings.add} needs a container engine",
            "an environment without a container is the lock's, and others of yours may use it",
            "make one of your own: `make venv-env PREFIX=<folder>`, then `<folder>/bin/pip install -r <file>`",
        )
    made = prefix_choice.ensure(settings, variant)
    host, name = gpu.host_gpus(), name_of(variant.name, made.flavor, made.cuda)
    requests = gpu.device_requests(settings.gpus, host) if made.flavor == "gpu" else []
    device = shell_words.device(host, made.flavor, requests, made.cuda)
    ui.say(
        f"{name}: TensorFlow {variant.tensorflow.version}, Keras {variant.keras}, "
        f"Python {variant.python}; device: {device} ({made.title}, not a container); in {work}"
    )
    # By `env`, as a bash that activates drops the prompt that it is given.
    prompt = ["env", rf"PS1=({name}, no container) \w\$ ", "bash", "--norc"]
    argv = activate.argv(made.kind, made.folder, prompt if command is None else ["bash", "-c", "--", command])
    with ExitStack() as stack:
        errors = None if command is None else stack.enter_context(errors_kept(tail))
        receiver = PassOn(lambda name: _send(child, name), is_terminal=command is None and os.isatty(0))
        # Before the start: the first thing that the command does may be to send a signal.
        stack.enter_context(passed_on(receiver))
        values = environment(os.environ, settings.gpus, settings.port)
        child = subprocess.Popen(argv, cwd=work, env=values, stderr=errors)
        receiver.started()
        code = signals.wait(child)
    return 128 - code if code < 0 else code


def environment(environ: Mapping[str, str], gpus: str | None, port: int | None = None) -> dict[str, str]:
    """The caller's variables, with the GPUs (of none CUDA sees none) and the port that were asked for."""
    chosen = {} if gpus in (None, "all") else {"CUDA_VISIBLE_DEVICES": "" if gpus == "none" else str(gpus)}
    return {**environ, **chosen, **workspace.port_variables(port)}


def _send(child: subprocess.Popen[bytes], name: str) -> None:
    """Pass a signal on to the shell and to all that it started, as a terminal does.

    The shell alone would end and leave its training behind, which in a container ends with it. What a terminal sends
    to them itself (Ctrl-C) is left to it.
    """
    if name in ("SIGINT", "SIGQUIT") and os.isatty(0):
        return
    number = getattr(signal, name)
    started = processes.descendants(child.pid)
    # The shell first: it must not go on to its next command.
    child.send_signal(number)
    for pid in started:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
