"""What a GPU target has to show; pure, each raises CheckError."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from gpuenv.core.errors import CheckError
from gpuenv.harness.judges.grounds import require
from gpuenv.variants import compat
from gpuenv.variants.model import Variant

#: Single precision over sums of 256 products: 1e-6 on a CPU (measured); the GPU sums in another order.
TOLERANCE = 1e-4
#: A session that takes all takes 95 % and more of what is free; context, cuBLAS and a small step some 100 MB.
SMALL_STEP_MAX = 0.5
#: What cuInit answers where it sees no device (CUDA_ERROR_NO_DEVICE).
NO_DEVICE = 100
#: What cuInit's codes mean (NVIDIA's driver API).
CAUSES = {
    NO_DEVICE: "it sees no device: NVIDIA_VISIBLE_DEVICES hides it, or the container was started without GPUs",
    803: "the driver's kernel module and its libraries differ in version: an upgrade without a restart",
    999: "/dev/nvidia-uvm is missing, so CUDA cannot start although nvidia-smi works",
}


def parse_listing(text: str) -> tuple[str, ...]:
    """The UUIDs in what `nvidia-smi -L` prints."""
    return tuple(re.findall(r"UUID: (GPU-[0-9a-f-]+)", text))


def judge_driver(found: Mapping[str, Any], outside: str) -> None:
    """The driver answers inside."""
    if found["init"] != 0:
        cause = CAUSES.get(found["init"], found["error"] or "the container got no GPU, or not all of its parts")
        raise CheckError(
            f"the driver does not answer inside: cuInit gives {found['init']} (the host has driver {outside})",
            cause,
            "run `nvidia-smi` on the host, then `sudo nvidia-modprobe -u -c=0`; check nvidia-container-toolkit",
        )


def judge_driver_floor(outside: str, floor: str) -> None:
    """The host's driver is not older than the variant's floor."""
    if not compat.is_driver_enough(outside, floor):
        raise CheckError(
            f"driver {outside} is older than {floor}, the lowest for this CUDA",
            "a driver does not know CUDA versions that came after it",
            f"install driver {floor} or newer on the host and restart it; until then use FLAVOR=cpu",
        )


def judge_devices(inside: Sequence[str | None], outside: Sequence[str]) -> None:
    """As many devices inside as outside, the same by UUID where each tells its own (None: it does not)."""
    require(outside, "device of the host")
    uuids = sorted(filter(None, inside))
    if len(inside) != len(outside) or (len(uuids) == len(inside) and uuids != sorted(outside)):
        raise CheckError(
            f"{len(inside)} devices inside ({', '.join(uuids)}), {len(outside)} outside ({', '.join(outside)})",
            "NVIDIA_VISIBLE_DEVICES or CUDA_VISIBLE_DEVICES hides some, or the runtime passes another set",
            "compare `nvidia-smi -L` on the host and inside",
        )


def judge_capability(devices: Sequence[Mapping[str, Any]], variant: Variant, known: Sequence[Variant]) -> None:
    """Every card is within what the variant's libraries serve; ``known`` are those that could be used instead."""
    require(devices, "device")
    for device in devices:
        capability = device["capability"]
        if not compat.serves(variant, capability):
            fitting = compat.serving_variants(capability, [one for one in known if one.name != variant.name])
            raise CheckError(
                compat.describe_refusal(variant, device["name"], capability),
                f"CUDA {variant.cuda.version} has no code for this card: it is listed, and then every product fails",
                f"use VARIANT={fitting[-1]}, which serves it; or FLAVOR=cpu"
                if fitting
                else "no variant serves such a card: use FLAVOR=cpu, or choose another card with GPUS=...",
            )


def judge_listed(listed: Sequence[str], devices: Sequence[object]) -> None:
    """TensorFlow lists as many GPUs as the driver."""
    require(devices, "device of the driver")
    if len(listed) != len(devices):
        raise CheckError(
            f"TensorFlow lists {len(listed)} GPUs, the driver {len(devices)}",
            "a CUDA library does not load (see the group linkage), or the card is too old for TensorFlow",
            "read TensorFlow's messages below",
        )


def judge_result(name: str, error: float) -> None:
    """The GPU computes what numpy computes. A difference that is no number fails too."""
    if not error <= TOLERANCE:
        raise CheckError(
            f"the {name} on the GPU differs from numpy's by {error:.2g} (at most {TOLERANCE:g}, relative)",
            "libraries without code for this card, or a broken card",
            "run it again; then try another card (GPUS=...)",
        )


def judge_ran(name: str, ran: Sequence[str]) -> None:
    """The run's own statistics count the operation on the GPU."""
    if name not in ran:
        raise CheckError(
            f"the {name} did not run on the GPU; what did: {', '.join(ran) or 'nothing'}",
            "TensorFlow fell back to the CPU without a word",
            "read TensorFlow's messages below",
        )


def judge_memory(found: Mapping[str, int]) -> None:
    """With ``allow_growth`` little is taken at first, and more when more is needed."""
    first = found["before"] - found["after_small"]
    grown = found["after_small"] - found["after_large"]
    if first > SMALL_STEP_MAX * found["before"]:
        raise CheckError(
            f"a small step takes {first >> 20} of {found['before'] >> 20} MiB that are free",
            "memory is taken whole although allow_growth is set (another process may have taken it at the same time)",
            "look at `nvidia-smi` on the host and run it again",
        )
    # Half: what the small step took beforehand serves for a part, and others may give memory back meanwhile.
    if grown < found["large"] // 2:
        raise CheckError(
            f"a step that needs {found['large'] >> 20} MiB takes {grown >> 20} MiB more",
            "the step did not run on this GPU, or memory had been taken before it was needed",
            "look at `nvidia-smi` on the host and run it again",
        )


def judge_none_seen(found: Mapping[str, Any]) -> None:
    """A container that asked for no device sees none."""
    if found["init"] == 0 and found["devices"]:
        raise CheckError(
            f"{len(found['devices'])} devices are seen though none was requested",
            "the engine's default runtime passes all GPUs to every container",
            "GPUS=none does not hide them; change the engine's default runtime",
        )
