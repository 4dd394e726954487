"""What the NVIDIA driver of this machine says and has: cards, memory, processes, device nodes, libraries.

Where a test simulates a driver, ``/dev`` and the libraries are looked for below the same root as its /proc.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from gpuenv.doctor.facts import Gpus, Holder, Memory, PciCard
from gpuenv.host import card_names, gpu, systems
from gpuenv.host.gpu import HostGpus
from gpuenv.variants.compat import Card

PCI = Path("/sys/bus/pci/devices")
_NVIDIA = "0x10de"
#: PCI's class of display controllers.
_DISPLAY = "0x03"
_LIBRARY_FOLDERS = ("usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/lib", "usr/lib/wsl/lib")
_LIBRARY = re.compile(r"libnvidia-ml\.so\.(\d{3,}(?:\.\d+)+)$")
_CAPABILITY = re.compile(r"\d+\.\d")


class SmiError(Exception):
    """nvidia-smi does not answer a question; the text says why. Never leaves this module."""


def gpus() -> Gpus:
    """Everything about GPUs. Quick without a driver; with one it takes as long as nvidia-smi takes."""
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
    smi = shutil.which("nvidia-smi") or (str(gpu.WSL_SMI) if gpu.WSL_SMI.exists() else None)
    if smi is None:
        # Nothing needs it on the host: the kernel's driver has told what decides.
        return replace(found, cards=tuple(name_cards(host, {})), memory_problem="nvidia-smi is not installed")
    # A driver that does not answer once, which may take long, is not asked again.
    problem = host.problem or gpu.run_smi(smi, host.driver).problem
    if problem is not None:
        is_mismatched = "mismatch" in problem.lower()
        return replace(found, problem=problem, is_mismatched=is_mismatched, cards=tuple(name_cards(host, {})))
    memory, holders, memory_problem = ask_memory(smi)
    cards = tuple(name_cards(host, ask_capabilities(smi)))
    return replace(found, cards=cards, memory=memory, holders=holders, memory_problem=memory_problem)


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


def ask_capabilities(smi: str) -> dict[str, str]:
    """Compute capability by UUID; empty where nvidia-smi does not know the question (before driver 510)."""
    try:
        rows = _query(smi, "--query-gpu=uuid,compute_cap")
    except SmiError:
        return {}
    return {row[0]: row[1] for row in rows if len(row) == 2 and _CAPABILITY.fullmatch(row[1])}


def name_cards(host: HostGpus, capabilities: dict[str, str]) -> Iterator[Card]:
    """Each card with its compute capability: from the driver, else by its name."""
    for number, (name, uuid) in enumerate(zip(host.names, host.uuids)):
        yield Card(number, name, capabilities.get(uuid) or card_names.find_capability(name))


def ask_memory(smi: str) -> tuple[tuple[Memory, ...], tuple[Holder, ...], str | None]:
    """Memory of each card and the processes that hold it, or why that could not be found out."""
    try:
        memory = parse_memory(_query(smi, "--query-gpu=index,memory.total,memory.used"))
        return memory, parse_holders(_query(smi, "--query-compute-apps=pid,process_name,gpu_uuid,used_memory")), None
    except SmiError as error:
        return (), (), str(error)


def parse_memory(rows: Sequence[Sequence[str]]) -> tuple[Memory, ...]:
    """Rows of index, total, used in MiB. Raises SmiError for anything else."""
    try:
        return tuple(Memory(int(number), int(total), int(used)) for number, total, used in rows)
    except ValueError as error:
        raise SmiError(f"nvidia-smi says something unexpected: {error}") from error


def parse_holders(rows: Sequence[Sequence[str]]) -> tuple[Holder, ...]:
    """Rows of pid, name, UUID, memory; in containers and under WSL2 the last one is not told."""
    whole = [row for row in rows if len(row) == 4 and row[0].isdigit()]
    return tuple(Holder(int(pid), name, uuid, int(used) if used.isdigit() else None) for pid, name, uuid, used in whole)


def _query(smi: str, query: str) -> list[list[str]]:
    try:
        done = subprocess.run(
            [smi, query, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=gpu.SMI_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SmiError(f"nvidia-smi cannot be asked: {error}") from error
    if done.returncode != 0:
        raise SmiError((done.stdout.strip() or done.stderr.strip() or f"exit code {done.returncode}").splitlines()[0])
    rows = csv.reader(done.stdout.splitlines(), skipinitialspace=True)
    return [[field.strip() for field in row] for row in rows if row]


def library_versions(root: Path) -> list[str]:
    """The versions in the names of the driver's libraries, each once."""
    files = (path for folder in _LIBRARY_FOLDERS for path in (root / folder).glob("libnvidia-ml.so.*"))
    return sorted({match[1] for path in files if (match := _LIBRARY.search(path.name))})


def pci_cards(folder: Path = PCI) -> Iterator[PciCard]:
    """The NVIDIA display devices on the bus, whether they have a driver or not."""
    for device in sorted(folder.glob("*")):
        try:
            vendor, kind = ((device / name).read_text().strip() for name in ("vendor", "class"))
        except OSError:
            continue
        if vendor == _NVIDIA and kind.startswith(_DISPLAY):
            driver = device / "driver"
            yield PciCard(device.name, driver.resolve().name if driver.exists() else None)
