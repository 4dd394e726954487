"""Asks the NVIDIA driver by its own library, NVML, in a process of its own: a driver that hangs takes nobody along.

``python -m gpuenv.doctor.probes.nvml`` prints the answer of :func:`ask` as JSON.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

#: Waking eight sleeping cards takes about ten seconds; a driver that hangs takes forever.
TIMEOUT_S = 20.0


def ask_apart(environ: Mapping[str, str]) -> dict[str, Any] | None:
    """What :func:`ask` answers in a process with these variables; ``problem`` if that hangs or crashes."""
    argv = [sys.executable, "-I", "-m", __name__]
    asking = subprocess.Popen(argv, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        said = asking.communicate(timeout=TIMEOUT_S)[0]
    except subprocess.TimeoutExpired:
        asking.kill()
        # What hangs inside the driver may not be killed either.
        with contextlib.suppress(subprocess.TimeoutExpired):
            asking.communicate(timeout=1)
        return {"problem": f"the NVIDIA driver did not answer within {TIMEOUT_S:g} s"}
    if asking.returncode != 0:
        return {"problem": f"NVML crashed (exit code {asking.returncode})"}
    answer: dict[str, Any] | None = json.loads(said)
    return answer


def ask() -> dict[str, Any] | None:
    """The cards, or the ``problem`` with them; None where there is no NVML, or one too old for this (before 418)."""
    import pynvml

    try:
        pynvml.nvmlInit()
        return {"cards": [_card(pynvml.nvmlDeviceGetHandleByIndex(n)) for n in range(pynvml.nvmlDeviceGetCount())]}
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_FunctionNotFound):
        return None
    except pynvml.NVMLError as error:
        is_mismatched = error.value == pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH
        return {"problem": f"NVML fails: {error}", "is_mismatched": is_mismatched}


def _card(handle: Any) -> dict[str, Any]:
    import pynvml

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
    import pynvml

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
        signal.alarm(int(TIMEOUT_S) + 1)
    print(json.dumps(ask()))
