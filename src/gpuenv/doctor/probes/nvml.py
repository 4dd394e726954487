"""Asks the NVIDIA driver by its own library, NVML; a program of its own, because a driver that hangs holds up whoever
asks: ``python -m gpuenv.doctor.probes.nvml SECONDS`` prints the answer of :func:`ask` as JSON.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from typing import Any

import pynvml


def ask() -> dict[str, Any] | None:
    """The cards, or the ``problem`` with them; None where there is no NVML, or one too old for this (before 418)."""
    try:
        pynvml.nvmlInit()
        return {"cards": [_card(pynvml.nvmlDeviceGetHandleByIndex(n)) for n in range(pynvml.nvmlDeviceGetCount())]}
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_FunctionNotFound):
        return None
    except pynvml.NVMLError as error:
        is_mismatched = error.value == pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH
        return {"problem": f"NVML fails: {error}", "is_mismatched": is_mismatched}


def _card(handle: Any) -> dict[str, Any]:
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    card: dict[str, Any] = {"uuid": pynvml.nvmlDeviceGetUUID(handle), "capability": f"{major}.{minor}"}
    card["holders"] = list(_holders(handle))
    try:
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    except pynvml.NVMLError as error:
        return {**card, "memory_problem": str(error)}
    return {**card, "total_mib": memory.total >> 20, "used_mib": memory.used >> 20}


def _holders(handle: Any) -> Iterator[tuple[int, str]]:
    """The processes that hold memory; in containers and under WSL2 not all is told."""
    try:
        processes = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError):
        # Not every driver knows this question in its newest form.
        return
    for process in processes:
        try:
            name = pynvml.nvmlSystemGetProcessName(process.pid)
        except pynvml.NVMLError:
            name = "?"
        yield process.pid, name


if __name__ == "__main__":
    if sys.platform != "win32":
        # Should the doctor be killed, nobody else would end this process where the driver hangs.
        signal.alarm(int(sys.argv[1]) + 1)
    print(json.dumps(ask()))
