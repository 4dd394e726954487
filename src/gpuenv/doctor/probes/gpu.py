"""What the NVIDIA driver of this machine says and has: cards, memory, processes, device nodes, libraries.

Where a test simulates a driver, ``/dev`` and the libraries are looked for below the same root as its /proc.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpuenv.core import captured
from gpuenv.doctor.facts import Gpus, Memory
from gpuenv.host import card_names, gpu, systems
from gpuenv.host.gpu import HostGpus
from gpuenv.variants.compat import Card

#: Waking eight sleeping cards takes about ten seconds; a driver that hangs takes forever.
TIMEOUT_S = 20
PCI = Path("/sys/bus/pci/devices")
_NVIDIA = "0x10de"
#: PCI's class of display controllers.
_DISPLAY = "0x03"
_LIBRARY_FOLDERS = ("usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/lib", "usr/lib/wsl/lib")
_LIBRARY = re.compile(r"libnvidia-ml\.so\.(\d{3,}(?:\.\d+)+)$")


def gpus() -> Gpus:
    """Everything about GPUs. Quick without a driver; with one it takes as long as the driver takes."""
    host = gpu.host_gpus()
    system = systems.detect()
    found = Gpus(host, system, bus=tuple(pci_cards()))
    if host.driver is None:
        return found
    root = simulated_root()
    missing, closed = ((), ()) if gpu.WSL_DEVICE.exists() else look_at_nodes(root / "dev", len(host.names))
    found = replace(
        found,
        missing_nodes=missing,
        closed_nodes=closed,
        libraries=tuple(library_versions(root)),
        has_modprobe=shutil.which("nvidia-modprobe") is not None,
    )
    # A driver that does not answer once, which may take long, is not asked again.
    answer = {"problem": host.problem} if host.problem else ask_nvml(nvml_environment(root))
    return read_answer(found, ask_smi(host) if answer is None else answer)


def read_answer(found: Gpus, answer: Mapping[str, Any]) -> Gpus:
    """What is known, with the answer of NVML or of :func:`ask_smi`."""
    host = found.host
    by_uuid = {one["uuid"]: one for one in answer.get("cards", ()) if one["uuid"] in host.uuids}
    capabilities = {uuid: one["capability"] for uuid, one in by_uuid.items()}
    memory_problems = [one["memory_problem"] for one in (answer, *by_uuid.values()) if "memory_problem" in one]
    return replace(
        found,
        cards=tuple(
            Card(number, name, capabilities.get(uuid) or card_names.find_capability(name))
            for number, (name, uuid) in enumerate(zip(host.names, host.uuids))
        ),
        problem=answer.get("problem"),
        is_mismatched=answer.get("is_mismatched", "mismatch" in (answer.get("problem") or "").lower()),
        memory=tuple(
            Memory(host.uuids.index(uuid), one["total_mib"], one["used_mib"], tuple(map(tuple, one["holders"])))
            for uuid, one in by_uuid.items()
            if "memory_problem" not in one
        ),
        memory_problem=next(iter(memory_problems), None),
    )


def ask_nvml(environ: Mapping[str, str]) -> dict[str, Any] | None:
    """What :func:`gpuenv.doctor.probes.nvml.ask` answers with these variables; ``problem`` if it hangs or crashes."""
    argv = [sys.executable, "-I", "-m", "gpuenv.doctor.probes.nvml", f"{TIMEOUT_S}"]
    asking = subprocess.Popen(argv, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        said = captured.communicate(asking, TIMEOUT_S)[0]
    except (subprocess.TimeoutExpired, captured.FloodError):
        asking.kill()
        # What hangs inside the driver may not be killed either.
        with contextlib.suppress(subprocess.TimeoutExpired, captured.FloodError):
            captured.communicate(asking, 1)
        return {"problem": f"the NVIDIA driver did not answer within {TIMEOUT_S} s"}
    if asking.returncode != 0:
        return {"problem": f"NVML crashed (exit code {asking.returncode})"}
    answer: dict[str, Any] | None = json.loads(said)
    return answer


def ask_smi(host: HostGpus) -> dict[str, Any]:
    """Where NVML cannot be loaded: whether nvidia-smi, which brings its own, is answered."""
    smi = gpu.find_smi()
    problem = gpu.run_smi(smi, host.driver).problem if smi else None
    return {"problem": problem, "memory_problem": "NVML cannot be loaded"}


def nvml_environment(root: Path) -> dict[str, str]:
    """The variables with which a process loads the NVML of the driver whose files are below ``root``."""
    own = [folder] if (folder := os.environ.get("LD_LIBRARY_PATH")) else []
    # WSL2's folder is not in every loader's list.
    path = [*own, str(gpu.WSL_SMI.parent)] if root == Path("/") else [str(root / one) for one in _LIBRARY_FOLDERS]
    return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(path)}


def simulated_root() -> Path:
    """The folder that stands for ``/``: another one only where a test simulates the driver."""
    proc = Path(os.environ.get(gpu.PROC_VARIABLE) or gpu.PROC)
    return proc.parents[2] if proc.parts[-3:] == gpu.PROC.parts[-3:] else Path("/")


def look_at_nodes(dev: Path, card_count: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The device nodes that are missing, and those that this user may not open.

    Cards are counted: their nodes carry the kernel's numbers, which need not begin at 0 in a container.
    """
    cards = sorted(path.name for path in dev.glob("nvidia[0-9]*"))
    absent = [name for number in range(card_count) if (name := f"nvidia{number}") not in cards]
    missing = [name for name in ("nvidiactl", "nvidia-uvm") if not (dev / name).exists()]
    missing += absent[: max(0, card_count - len(cards))]
    there = [name for name in ("nvidiactl", "nvidia-uvm", *cards) if name not in missing]
    return tuple(missing), tuple(name for name in there if not os.access(dev / name, os.R_OK | os.W_OK))


def library_versions(root: Path) -> list[str]:
    """The versions in the names of the driver's libraries, each once."""
    files = (path for folder in _LIBRARY_FOLDERS for path in (root / folder).glob("libnvidia-ml.so.*"))
    return sorted({match[1] for path in files if (match := _LIBRARY.search(path.name))})


def pci_cards(folder: Path = PCI) -> Iterator[str | None]:
    """The kernel driver, if any, of each NVIDIA display device on the bus."""
    for device in sorted(folder.glob("*")):
        try:
            vendor, kind = ((device / name).read_text().strip() for name in ("vendor", "class"))
        except OSError:
            continue
        if vendor == _NVIDIA and kind.startswith(_DISPLAY):
            driver = device / "driver"
            yield driver.resolve().name if driver.exists() else None
