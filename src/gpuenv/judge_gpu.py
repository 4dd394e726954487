"""What a GPU target has to show; pure, each raises CheckError."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpuenv.errors import CheckError

#: Single precision over sums of 256 products: 1e-6 on a CPU (measured); the GPU sums in another order.
TOLERANCE = 1e-4
NO_DEVICE = 100


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def judge_driver(found: Mapping[str, Any], outside: str, floor: str) -> None:
    """The driver answers inside, and is not older than the variant's floor."""
    if found["init"] != 0:
        raise CheckError(
            f"the driver does not answer inside: cuInit gives {found['init']} {found['error'] or ''}".rstrip(),
            f"the host has driver {outside}, but the container got no GPU (100: no device; 999: nvidia-uvm is missing)",
            "run `nvidia-smi` on the host, then `sudo nvidia-modprobe -u -c=0`; check nvidia-container-toolkit",
        )
    if _numbers(outside) < _numbers(floor):
        raise CheckError(
            f"driver {outside} is older than {floor}, the lowest for this CUDA",
            "the driver does not know this CUDA version",
            "install a newer driver, or use a variant with an older CUDA",
        )


def judge_devices(inside: Sequence[Mapping[str, Any]], outside: Sequence[str]) -> None:
    """As many devices inside as outside, the same by UUID where the driver tells it."""
    uuids = sorted(str(device["uuid"]) for device in inside if device["uuid"])
    if len(inside) != len(outside) or (len(uuids) == len(inside) and uuids != sorted(outside)):
        raise CheckError(
            f"{len(inside)} devices inside ({', '.join(uuids)}), {len(outside)} outside ({', '.join(outside)})",
            "NVIDIA_VISIBLE_DEVICES or CUDA_VISIBLE_DEVICES hides some, or the runtime passes another set",
            "compare `nvidia-smi -L` on the host and inside",
        )


def judge_capability(devices: Sequence[Mapping[str, Any]], bounds: tuple[str, str]) -> None:
    """Every card is within what the variant's libraries serve."""
    for device in devices:
        if not _numbers(bounds[0]) <= _numbers(device["capability"]) <= _numbers(bounds[1]):
            raise CheckError(
                f"{device['name']} has compute capability {device['capability']}, the variant serves "
                f"{bounds[0]} to {bounds[1]}",
                "this CUDA has no code for this card: it is listed, and then every matrix product fails",
                "use another variant, another card (GPUS=...), or FLAVOR=cpu",
            )


def judge_listed(listed: Sequence[str], devices: Sequence[object]) -> None:
    """TensorFlow lists as many GPUs as the driver."""
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


def judge_none_seen(found: Mapping[str, Any]) -> None:
    """A container that asked for no device sees none."""
    if found["init"] == 0 and found["devices"]:
        raise CheckError(
            f"{len(found['devices'])} devices are seen though none was requested",
            "the engine's default runtime passes all GPUs to every container",
            "GPUS=none does not hide them; change the engine's default runtime",
        )
