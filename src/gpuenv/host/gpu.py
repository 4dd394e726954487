"""Finds the GPUs of this machine, and says how an engine is asked for them.

The kernel's driver tells what it knows in /proc at once; `nvidia-smi`, which may take seconds to wake the cards, is
asked only where /proc is silent (WSL2, containers).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpuenv.core import signals
from gpuenv.core.errors import HostError, UsageError

PROC = Path("/proc/driver/nvidia")
#: Names another folder for PROC: a driver that tests simulate cannot be in /proc (docs/simulated-host.md).
PROC_VARIABLE = "GPUENV_NVIDIA_PROC"
#: WSL2 has no NVIDIA device nodes: the Windows driver is reached through this one.
WSL_DEVICE = Path("/dev/dxg")
WSL_SMI = Path("/usr/lib/wsl/lib/nvidia-smi")
#: Waking eight sleeping cards takes about ten seconds; a driver that hangs takes forever.
SMI_TIMEOUT_S = 20.0
#: Values of the two variables that are meant to leave no device.
_NONE = {"NVIDIA_VISIBLE_DEVICES": ("none", "void", ""), "CUDA_VISIBLE_DEVICES": ("", "-1", "NoDevFiles")}
_QUERY = ("--query-gpu=index,uuid,driver_version,name", "--format=csv,noheader")
_VERSION = re.compile(r"NVRM version:.{0,200}?\s(\d+\.\d+(?:\.\d+)?)\s")


@dataclass(frozen=True)
class HostGpus:
    """What the host has. ``driver`` is its version, None without one; ``problem`` what could not be found out.

    ``names`` and ``uuids`` are in the order in which the cards are numbered.
    """

    driver: str | None = None
    names: tuple[str, ...] = ()
    uuids: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def is_simulated(self) -> bool:
        """Whether the driver is the tests' (docs/simulated-host.md), which says so in the name of each card."""
        return any(name.endswith("(simulated)") for name in self.names)


def host_gpus(proc: Path | None = None, wsl_device: Path = WSL_DEVICE, smi: str | None = None) -> HostGpus:
    """The GPUs of this machine. Never raises: what went wrong stands in ``problem``."""
    proc = proc or Path(os.environ.get(PROC_VARIABLE) or PROC)
    try:
        driver = parse_driver_version((proc / "version").read_text(errors="replace"))
    except OSError:
        driver = None
    if driver is None and not wsl_device.exists():
        return HostGpus()
    known = _from_proc(driver, proc / "gpus") if driver is not None else None
    if known is not None:
        return known
    program = smi or find_smi()
    if program is None:
        return HostGpus(driver, problem="the driver is there, but no nvidia-smi that names the GPUs")
    return run_smi(program, driver)


def parse_driver_version(text: str) -> str | None:
    """The version in the text of /proc/driver/nvidia/version, e.g. ``"470.256.02"``."""
    match = _VERSION.search(text)
    return match.group(1) if match else None


def parse_information(text: str) -> tuple[str, str] | None:
    """``(name, uuid)`` from one /proc/driver/nvidia/gpus/*/information; None while the card is not awake."""
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    name, uuid = fields.get("Model", "").strip(), fields.get("GPU UUID", "").strip()
    return (name, uuid) if name and uuid.startswith("GPU-") and "?" not in uuid else None


def parse_smi(text: str) -> HostGpus:
    """Read the answer of nvidia-smi to the query above. Raises ValueError if it is something else."""
    rows = [[field.strip() for field in line.split(",", 3)] for line in text.splitlines() if line.strip()]
    for row in rows:
        if len(row) != 4 or not row[0].isdigit() or not row[1].startswith("GPU-"):
            raise ValueError(", ".join(row))
    rows.sort(key=lambda row: int(row[0]))
    driver = rows[0][2] if rows else None
    return HostGpus(driver, tuple(row[3] for row in rows), tuple(row[1] for row in rows))


def run_smi(program: str, driver: str | None = None, timeout_s: float = SMI_TIMEOUT_S) -> HostGpus:
    """Ask nvidia-smi. A hanging or failing one is told in ``problem``, with what it said."""
    try:
        done = signals.ask([program, *_QUERY], timeout_s)
    except subprocess.TimeoutExpired:
        return HostGpus(driver, problem=f"{program} did not answer within {timeout_s:.0f} s")
    except OSError as error:
        return HostGpus(driver, problem=f"{program} cannot be run: {error.strerror}")
    said = (done.stdout.strip() or done.stderr.strip()).splitlines()
    if done.returncode != 0:
        detail = said[0] if said else "it says nothing"
        return HostGpus(driver, problem=f"{program} fails (exit code {done.returncode}): {detail}")
    try:
        found = parse_smi(done.stdout)
    except ValueError as error:
        return HostGpus(driver, problem=f"{program} says something unexpected: {error}")
    return HostGpus(found.driver or driver, found.names, found.uuids)


def default_flavor(host: HostGpus) -> str:
    """``gpu`` where the host has a driver, else ``cpu``."""
    return "gpu" if host.driver else "cpu"


def device_requests(gpus: str | None, host: HostGpus) -> list[dict[str, Any]]:
    """The ``DeviceRequests`` of a container for ``GPUS=`` all, none, or numbers such as ``0,1``.

    ``None`` means all where there is a driver, else none. Raises UsageError for anything else, and HostError for
    a GPU that was asked for and is not there.
    """
    if gpus == "none" or (gpus is None and host.driver is None):
        return []
    numbers = [] if gpus is None or gpus == "all" else _numbers(gpus, host)
    if host.driver is None:
        raise HostError(
            f"GPUS={gpus}, but this machine has no NVIDIA driver",
            host.problem or f"there is no {PROC}",
            "install the driver, or leave GPUS out to use the CPU",
        )
    missing = [number for number in numbers if number >= len(host.names)]
    if missing:
        raise HostError(
            f"GPUS={gpus}, but there is no GPU {missing[0]}",
            f"this machine has {describe(host)}",
            "set GPUS=all, or to numbers of these",
        )
    # "compute" and "utility" name the driver's libraries that are mounted: CUDA, and nvidia-smi with NVML.
    return [
        {
            "Driver": "",
            "Count": 0 if numbers else -1,
            "DeviceIDs": [str(number) for number in numbers],
            "Capabilities": [["gpu", "compute", "utility"]],
            "Options": {},
        }
    ]


def describe(host: HostGpus) -> str:
    """``"GPU 0: Tesla V100; GPU 1: ..."``, or why there is none."""
    if not host.names:
        return host.problem or ("no GPU" if host.driver else "no NVIDIA driver")
    return "; ".join(f"GPU {number}: {name}" for number, name in enumerate(host.names))


def choose_devices(name: str, value: str, host: HostGpus) -> tuple[list[str], str | None]:
    """The devices that one of the two variables leaves, and the first that is none: there CUDA stops reading."""
    if value in _NONE[name]:
        return [], None
    chosen: list[str] = []
    for one in (part.strip() for part in value.split(",")):
        is_number = one.isascii() and one.isdigit()
        # Which parts of a card there are (MIG) is not looked up.
        is_name = one.startswith("MIG-") or any(one and uuid.startswith(one) for uuid in host.uuids)
        if not (is_name or (is_number and (int(one) < len(host.names) or not host.names))):
            return chosen, one or "(empty)"
        chosen.append(one)
    return chosen, None


def _numbers(gpus: str, host: HostGpus) -> list[int]:
    fields = [field.strip() for field in gpus.split(",")]
    if not all(field.isascii() and field.isdigit() for field in fields) or len(set(fields)) != len(fields):
        raise UsageError(
            f"GPUS={gpus} is not usable",
            "expected all, none, or different numbers such as 0 or 0,1",
            f"this machine has {describe(host)}",
        )
    return [int(field) for field in fields]


def _from_proc(driver: str, folder: Path) -> HostGpus | None:
    """What /proc knows; None if a card is not described there in full."""
    try:
        # The folders are named by PCI address, and nvidia-smi numbers the cards in that order.
        cards = [parse_information(path.read_text(errors="replace")) for path in sorted(folder.glob("*/information"))]
    except OSError:
        return None
    known = [card for card in cards if card is not None]
    if not known or len(known) != len(cards):
        return None
    return HostGpus(driver, tuple(name for name, _ in known), tuple(uuid for _, uuid in known))


def find_smi() -> str | None:
    """The nvidia-smi on PATH, or that of WSL2."""
    return shutil.which("nvidia-smi") or (str(WSL_SMI) if WSL_SMI.exists() else None)
