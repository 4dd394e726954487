"""The NVIDIA driver and the cards: whether they are there, answer, and have free memory."""

from __future__ import annotations

from gpuenv.doctor.facts import Gpus, Memory
from gpuenv.doctor.findings import GPU, Finding, Findings, Mend, error, ok, unknown, warning
from gpuenv.host.gpu import describe
from gpuenv.variants import compat
from gpuenv.variants.compat import Card

#: Below this share of a card's memory TensorFlow 1, which takes nearly all of it, is likely to fail.
FREE_SHARE_MIN = 0.5


def driver(gpus: Gpus) -> Finding:
    """There is one, or nothing on the bus that would need one."""
    if gpus.host.driver is not None:
        simulated = ", simulated by tests" if gpus.host.is_simulated else ""
        return ok(f"NVIDIA driver {gpus.host.driver}{simulated}")
    if gpus.host.problem is not None:
        return error(gpus.host.problem, Mend("install-driver"), GPU)
    if not gpus.bus:
        return ok("no NVIDIA card and no driver: the flavor is cpu", GPU)
    others = sorted({driver for driver in gpus.bus if driver})
    held = f" (held by {', '.join(others)})" if others else ""
    count = f"{len(gpus.bus)} NVIDIA card{'s' if len(gpus.bus) > 1 else ''}"
    text = f"{count} on the bus{held}, but NVIDIA's driver is not loaded: the flavor is cpu"
    return warning(text, Mend("install-driver"), GPU)


def driver_match(gpus: Gpus) -> Finding:
    """Kernel module and libraries are of one version, which they are not after an upgrade without a restart (P14)."""
    if gpus.host.driver is None:
        return ok("no driver")
    # Under WSL2 the driver is that of Windows, and its libraries have no version in their names.
    is_linux = gpus.system not in compat.WINDOWS_DRIVER
    if gpus.is_mismatched or (is_linux and gpus.libraries and gpus.host.driver not in gpus.libraries):
        versions = f"kernel module {gpus.host.driver}, libraries {', '.join(gpus.libraries) or 'another version'}"
        text = f"driver/library version mismatch ({versions}): an upgrade without a restart"
        return error(text, Mend("restart"), GPU)
    if gpus.problem is not None:
        return error(gpus.problem, Mend("ask-driver"), GPU)
    if gpus.system == "wsl2" and gpus.libraries:
        text = f"the libraries of a Linux driver ({', '.join(gpus.libraries)}) are installed inside WSL2"
        return warning(f"{text}: they hide those of the Windows driver", Mend("purge-driver"))
    return ok("kernel module and libraries are of one version, and answer")


def device_nodes(gpus: Gpus) -> Finding:
    """The device nodes, without the one of unified memory (see below)."""
    missing = [name for name in gpus.missing_nodes if name != "nvidia-uvm"]
    if gpus.host.driver is None or gpus.system in compat.WINDOWS_DRIVER:
        return ok("not needed")
    if missing:
        return error(f"missing: {', '.join(f'/dev/{name}' for name in missing)}", Mend("load-nodes"), GPU)
    if gpus.closed_nodes:
        text = f"this user may not open {', '.join(f'/dev/{name}' for name in gpus.closed_nodes)}"
        return warning(text, Mend("open-nodes"))
    return ok("all there")


def uvm(gpus: Gpus) -> Finding:
    """Without /dev/nvidia-uvm nvidia-smi works and CUDA does not (P29)."""
    if "nvidia-uvm" not in gpus.missing_nodes:
        return ok("not needed" if gpus.host.driver is None else "there")
    text = "/dev/nvidia-uvm is missing: nvidia-smi works, and CUDA fails with CUDA_ERROR_UNKNOWN"
    # With nvidia-modprobe the first program that uses CUDA, or the container toolkit, makes it.
    if gpus.has_modprobe:
        return warning(f"{text}, unless nvidia-modprobe makes it in time", Mend("load-uvm"))
    return error(text, Mend("load-uvm"), GPU)


def gpus(gpus: Gpus) -> Findings:
    """Each card by name, with its compute capability and memory."""
    if gpus.host.driver is None:
        return ok("none")
    if not gpus.cards:
        return error(f"the driver names no card: {describe(gpus.host)}", Mend("ask-driver"), GPU)
    return [_describe_card(card, gpus) for card in gpus.cards]


def _describe_card(card: Card, gpus: Gpus) -> Finding:
    total = next((f", {one.total_mib} MiB" for one in gpus.memory if one.number == card.number), "")
    text = f"GPU {card.number}: {card.name}"
    if card.capability is None:
        look_up = "look it up at https://developer.nvidia.com/cuda-gpus and compare it with `variants` below"
        return unknown(f"{text}{total}: its compute capability could not be found out", look_up)
    return ok(f"{text}, compute capability {card.capability}{compat.generation(card.capability)}{total}")


def gpu_memory(gpus: Gpus) -> Findings:
    """Enough memory of each card is free, and who holds the rest (P25, P30)."""
    if gpus.host.driver is None or not gpus.cards or gpus.problem is not None:
        return ok("no card to ask")
    if gpus.host.is_simulated and not gpus.memory:
        return ok("simulated: there is none")
    if gpus.memory_problem is not None or not gpus.memory:
        reason = gpus.memory_problem or "the driver lists none"
        return unknown(f"how much is free could not be found out: {reason}", "nvidia-smi")
    return [_judge_memory(memory, gpus) for memory in gpus.memory]


def _judge_memory(memory: Memory, gpus: Gpus) -> Finding:
    free_mib = memory.total_mib - memory.used_mib
    text = f"GPU {memory.number}: {free_mib} of {memory.total_mib} MiB free"
    holders = [f"{name} (process {pid})" for pid, name in memory.holders]
    held = f", held by {', '.join(holders)}" if holders else ""
    if free_mib >= FREE_SHARE_MIN * memory.total_mib:
        return ok(f"{text}{held}")
    others = [str(one.number) for one in gpus.memory if one.number != memory.number]
    first = f"make gpu-shell GPUS={','.join(others)}" if others else "end these processes (nvidia-smi lists them)"
    return warning(f"{text}{held}", f"{first}; or set TF_FORCE_GPU_ALLOW_GROWTH=true (TensorFlow 1.14 and newer)")
