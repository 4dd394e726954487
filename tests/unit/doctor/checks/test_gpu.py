"""Each check of `gpuenv.doctor.checks.gpu` is seen giving every severity that it has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fakes.doctor import (
    CPU_ONLY,
    Case,
    assert_says,
    assert_seen,
    gpus,
    machine,
)
from gpuenv.doctor.checks import gpu as checks
from gpuenv.doctor.facts import (
    Memory,
)
from gpuenv.host.gpu import HostGpus
from gpuenv.variants.compat import Card

NOUVEAU = ("nouveau",)
FULL = (Memory(0, 16160, 15000, ((4711, "python"),)),)
SIMULATED = HostGpus("450.51.06", ("Tesla V100 (simulated)",), ("GPU-1",))


#: Check, severity, a part of the message, a part of the remedy, and what is changed of the good machine.
CASES: list[Case] = [
    Case("driver", "ok", "450.51.06", "", []),
    Case("driver", "ok", "no NVIDIA card", "", [CPU_ONLY]),
    Case("driver", "ok", "simulated by tests", "", [gpus(host=SIMULATED)]),
    Case(
        "driver",
        "warning",
        "held by nouveau",
        "nvidia-driver",
        [replace(CPU_ONLY, bus=NOUVEAU)],
    ),
    Case(
        "driver",
        "error",
        "fails",
        "on Windows",
        [replace(CPU_ONLY, host=HostGpus(problem="nvidia-smi fails")), machine(system="wsl2")],
    ),
    Case("driver-match", "ok", "one version", "", []),
    Case("driver-match", "ok", "no driver", "", [CPU_ONLY]),
    Case(
        "driver-match",
        "error",
        "450.51.06, libraries 450.80.02",
        "reboot",
        [gpus(libraries=("450.80.02",))],
    ),
    Case("driver-match", "ok", "one version", "", [gpus(system="wsl2", libraries=())]),
    Case("driver-match", "warning", "inside WSL2", "purge", [gpus(system="wsl2", libraries=("535.54.03",))]),
    Case("driver-match", "error", "mismatch", "reboot", [gpus(problem="an error", is_mismatched=True)]),
    Case("driver-match", "error", "did not answer", "dmesg", [gpus(problem="nvidia-smi did not answer within 20 s")]),
    Case("device-nodes", "ok", "all there", "", []),
    Case("device-nodes", "ok", "not needed", "", [gpus(system="wsl2", missing_nodes=("nvidia0",))]),
    Case("device-nodes", "warning", "may not open /dev/nvidia0", "usermod", [gpus(closed_nodes=("nvidia0",))]),
    Case("device-nodes", "error", "/dev/nvidiactl", "modprobe", [gpus(missing_nodes=("nvidiactl",))]),
    Case("uvm", "ok", "there", "", []),
    Case("uvm", "warning", "in time", "nvidia-modprobe", [gpus(missing_nodes=("nvidia-uvm",), has_modprobe=True)]),
    Case("uvm", "error", "CUDA_ERROR_UNKNOWN", "nvidia-modprobe -u", [gpus(missing_nodes=("nvidia-uvm",))]),
    Case("gpus", "ok", "7.0 (Volta), 16160 MiB", "", []),
    Case("gpus", "ok", "none", "", [CPU_ONLY]),
    Case("gpus", "unknown", "could not be found out", "cuda-gpus", [gpus(cards=(Card(0, "Odd", None),))]),
    Case("gpus", "error", "names no card", "nvidia-smi", [gpus(host=HostGpus("450.51.06"), cards=())]),
    Case("gpu-memory", "ok", "16150 of 16160 MiB free", "", []),
    Case("gpu-memory", "ok", "no card", "", [CPU_ONLY]),
    Case("gpu-memory", "ok", "simulated", "", [gpus(host=SIMULATED, memory=())]),
    Case(
        "gpu-memory",
        "unknown",
        "not a valid field",
        "nvidia-smi",
        [gpus(memory=(), memory_problem="not a valid field")],
    ),
    Case("gpu-memory", "warning", "python (process 4711)", "end these", [gpus(memory=FULL)]),
    Case("gpu-memory", "warning", "1160 of", "GPUS=1", [gpus(memory=(*FULL, Memory(1, 16160, 10)))]),
]


@pytest.mark.parametrize(Case._fields, CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_check_says_what_it_sees(name: str, severity: str, message: str, remedy: str, changes: list[object]) -> None:
    assert_says(Case(name, severity, message, remedy, changes))


def test_every_check_is_seen_to_pass_and_to_fail() -> None:
    assert_seen(checks, CASES)
