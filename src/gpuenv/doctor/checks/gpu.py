"""The NVIDIA driver and the cards: are they there, do they answer, is their memory free. Pure."""

from __future__ import annotations

from gpuenv.doctor.facts import Gpus, Machine, Memory
from gpuenv.doctor.findings import Finding, error, ok, unknown, warning
from gpuenv.doctor.remedies import find_remedy
from gpuenv.host.gpu import describe
from gpuenv.variants import compat
from gpuenv.variants.compat import Card

#: Below this share of a card's memory TensorFlow 1, which takes nearly all of it, is likely to fail.
FREE_SHARE_MIN = 0.5


def check_driver(gpus: Gpus, machine: Machine) -> list[Finding]:
    """There is one, or nothing on the bus that would need one."""
    if gpus.host.driver is not None:
        simulated = ", simulated by tests" if gpus.host.is_simulated else ""
        return ok("driver", f"NVIDIA driver {gpus.host.driver}{simulated}")
    remedy = find_remedy("install-driver", machine.system)
    if gpus.host.problem is not None:
        return error("driver", gpus.host.problem, remedy)
    if not gpus.bus:
        return ok("driver", "no NVIDIA card and no driver: the flavor is cpu")
    others = sorted({card.driver for card in gpus.bus if card.driver})
    held = f" (held by {', '.join(others)})" if others else ""
    count = f"{len(gpus.bus)} NVIDIA card{'s' if len(gpus.bus) > 1 else ''}"
    return warning("driver", f"{count} on the bus{held}, but NVIDIA's driver is not loaded: the flavor is cpu", remedy)


def is_mismatch(gpus: Gpus) -> bool:
    """Whether kernel module and libraries of the driver differ in version: an upgrade without a restart (P14)."""
    if "mismatch" in (gpus.smi_problem or "").lower():
        return True
    # Under WSL2 the driver is that of Windows, and its libraries have no version in their names.
    is_linux = gpus.system not in compat.WINDOWS_DRIVER
    return is_linux and bool(gpus.host.driver and gpus.libraries and gpus.host.driver not in gpus.libraries)


def check_match(gpus: Gpus, machine: Machine) -> list[Finding]:
    """Kernel module and libraries are of one version; nvidia-smi answers."""
    if gpus.host.driver is None:
        return ok("driver-match", "no driver")
    if is_mismatch(gpus):
        versions = f"kernel module {gpus.host.driver}, libraries {', '.join(gpus.libraries) or 'another version'}"
        text = f"driver/library version mismatch ({versions}): an upgrade without a restart"
        return error("driver-match", text, find_remedy("restart", machine.system))
    if gpus.smi_problem is not None:
        return error("driver-match", gpus.smi_problem, find_remedy("ask-driver", machine.system))
    if gpus.system == "wsl2" and gpus.libraries:
        text = f"the libraries of a Linux driver ({', '.join(gpus.libraries)}) are installed inside WSL2"
        return warning(
            "driver-match", f"{text}: they hide those of the Windows driver", find_remedy("purge-driver", "*")
        )
    return ok("driver-match", "kernel module and libraries are of one version, and nvidia-smi answers")


def check_nodes(gpus: Gpus) -> list[Finding]:
    """The device nodes, without the one of unified memory (see below)."""
    missing = [name for name in gpus.missing_nodes if name != "nvidia-uvm"]
    if gpus.host.driver is None or gpus.system in compat.WINDOWS_DRIVER:
        return ok("device-nodes", "not needed")
    if missing:
        text = f"missing: {', '.join(f'/dev/{name}' for name in missing)}"
        return error("device-nodes", text, find_remedy("load-nodes", "*"))
    if gpus.closed_nodes:
        text = f"this user may not open {', '.join(f'/dev/{name}' for name in gpus.closed_nodes)}"
        return warning("device-nodes", text, find_remedy("open-nodes", "*"))
    return ok("device-nodes", "all there")


def check_uvm(gpus: Gpus, machine: Machine) -> list[Finding]:
    """Without /dev/nvidia-uvm nvidia-smi works and CUDA does not (P29)."""
    if "nvidia-uvm" not in gpus.missing_nodes:
        return ok("uvm", "not needed" if gpus.host.driver is None else "there")
    text = "/dev/nvidia-uvm is missing: nvidia-smi works, and CUDA fails with CUDA_ERROR_UNKNOWN"
    remedy = find_remedy("load-uvm", machine.system)
    # With nvidia-modprobe the first program that uses CUDA, or the container toolkit, makes it.
    if gpus.has_modprobe:
        return warning("uvm", f"{text}, unless nvidia-modprobe makes it in time", remedy)
    return error("uvm", text, remedy)


def check_cards(gpus: Gpus, machine: Machine) -> list[Finding]:
    """Each card by name, with its compute capability and memory."""
    if gpus.host.driver is None:
        return ok("gpus", "none")
    if not gpus.cards:
        text = f"the driver names no card: {describe(gpus.host)}"
        return error("gpus", text, find_remedy("ask-driver", machine.system))
    return [_describe_card(card, gpus) for card in gpus.cards]


def _describe_card(card: Card, gpus: Gpus) -> Finding:
    total = next((f", {one.total_mib} MiB" for one in gpus.memory if one.number == card.number), "")
    text = f"GPU {card.number}: {card.name}"
    if card.capability is None:
        remedy = "look it up at https://developer.nvidia.com/cuda-gpus and compare it with `variants` below"
        return unknown("gpus", f"{text}{total}: its compute capability could not be found out", remedy)[0]
    named = f"compute capability {card.capability}{compat.generation(card.capability)}"
    return ok("gpus", f"{text}, {named}{total}")[0]


def check_memory(gpus: Gpus) -> list[Finding]:
    """Enough memory of each card is free, and who holds the rest (P25, P30)."""
    if gpus.host.driver is None or not gpus.cards or gpus.smi_problem is not None:
        return ok("gpu-memory", "no card to ask")
    if gpus.host.is_simulated and not gpus.memory:
        return ok("gpu-memory", "simulated: there is none")
    if gpus.memory_problem is not None or not gpus.memory:
        reason = gpus.memory_problem or "nvidia-smi lists none"
        return unknown("gpu-memory", f"how much is free could not be found out: {reason}", "nvidia-smi")
    return [_judge_memory(memory, gpus) for memory in gpus.memory]


def _judge_memory(memory: Memory, gpus: Gpus) -> Finding:
    free_mib = memory.total_mib - (memory.used_mib or 0)
    text = f"GPU {memory.number}: {free_mib} of {memory.total_mib} MiB free"
    uuid = gpus.host.uuids[memory.number] if memory.number < len(gpus.host.uuids) else ""
    holders = [f"{one.name} (process {one.pid})" for one in gpus.holders if one.uuid == uuid]
    held = f", held by {', '.join(holders)}" if holders else ""
    if free_mib >= FREE_SHARE_MIN * memory.total_mib:
        return ok("gpu-memory", f"{text}{held}")[0]
    others = [str(one.number) for one in gpus.memory if one.number != memory.number]
    remedy = f"make gpu-shell GPUS={','.join(others)}" if others else "end these processes (nvidia-smi lists them)"
    return warning(
        "gpu-memory", f"{text}{held}", f"{remedy}; or set TF_FORCE_GPU_ALLOW_GROWTH=true (TensorFlow 1.14 and newer)"
    )[0]
