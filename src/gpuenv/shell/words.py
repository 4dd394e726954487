"""What `gpu-shell` says: one line at its beginning, a prompt, one line after a failure."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gpuenv.host.gpu import HostGpus
from gpuenv.variants.environment import name_of

#: What a user of a CUDA from the package index has to know before TensorFlow ends the program at such an operation.
_STAND_INS = (
    "; cuFFT and cuSOLVER are stand-ins: tf.signal and dense solvers stay on the CPU"
    ' (`with tf.device("/cpu:0"):`, else they end the program)'
)


def prompt(labels: Mapping[str, str]) -> str:
    """Bash's PS1: which environment, and where in it."""
    return rf"({_name(labels)}) \w\$ "


def environment_line(labels: Mapping[str, str], device: str, work: str, added: Path | None = None) -> str:
    """The one line on what this is, on which folder it works, and whose packages were added."""
    versions = ", ".join(
        f"{title} {labels[f'gpuenv.{key}']}"
        for title, key in (("TensorFlow", "tensorflow"), ("Keras", "keras"), ("Python", "python"))
    )
    more = f", and your {added.name}" if added else ""
    return f"{_name(labels)}: {versions}{more}; device: {device}; /work is {work}"


def _name(labels: Mapping[str, str]) -> str:
    return name_of(labels["gpuenv.variant"], labels["gpuenv.flavor"], labels.get("gpuenv.cuda", "none"))


def device(host: HostGpus, flavor: str, requests: Sequence[Mapping[str, Any]], cuda: str | None = None) -> str:
    """What TensorFlow computes on, and if that is the CPU, why; ``cuda`` is the environment's ``gpuenv.cuda``."""
    if requests:
        chosen: Sequence[str] = requests[0]["DeviceIDs"] or [str(number) for number in range(len(host.names))]
        names = [f"GPU {number} ({host.names[int(number)]})" for number in chosen]
        told = ", ".join(names) or f"all GPUs ({host.problem or 'none found'})"
        return f"{told}, driver {host.driver}{_STAND_INS if cuda == 'index' else ''}"
    if host.driver is None:
        reason = host.problem or "no NVIDIA driver on this host"
        return f"CPU ({reason}{'; a stand-in for libcuda reports no device' if flavor == 'gpu' else ''})"
    return "CPU (GPUS=none)" if flavor == "gpu" else "CPU (FLAVOR=cpu)"


def exit_line(code: int, *, is_command: bool) -> str:
    """The last line after anything but success."""
    line = f"{'the command' if is_command else 'the shell'} ended with exit code {code}"
    # 128 + n is how a shell tells that signal n ended a program.
    if code - 128 not in set(signal.Signals):
        return line
    name = signal.Signals(code - 128).name
    hint = "; if nobody killed it, the memory was full" if name == "SIGKILL" else ""
    return f"{line} ({name}{hint})"
