"""Translates an engine's refusal to run a container into cause and next command."""

from __future__ import annotations

from gpuenv.core.errors import EngineError
from gpuenv.engine.model import RefusedError

#: What NVIDIA's container toolkit says, and what mends it.
GPU_REMEDIES = (
    (
        "driver/library version mismatch",
        "restart the machine: its driver was upgraded, and the old kernel module still runs",
    ),
    ("unsatisfied condition", "install a newer NVIDIA driver, or use a VARIANT with an older CUDA"),
    ("load library failed: libnvidia-ml", "install NVIDIA's driver: the toolkit is there, the driver is not"),
)


def _gpu_remedy(message: str) -> str:
    found = [remedy for said, remedy in GPU_REMEDIES if said in message]
    return "; ".join([*(found or _in_catalog(message)), "set GPUS=none to use the CPU"])


def _in_catalog(message: str) -> list[str]:
    """What the catalog of `make explain` says of it: the cause and what to do, as far as it knows them."""
    from gpuenv.explain import command as explain

    known = explain.diagnose(message)
    return [text for text in (known.cause, known.remedy) if text] if known else []


def is_missing_init(message: str) -> bool:
    """Whether an engine's refusal to start means that its init program is not installed."""
    names = ("docker-init", "catatonit", "container-init", "init binary")
    return any(name in message for name in names) and ("not found" in message or "no such file" in message.lower())


def is_missing_gpu_driver(message: str) -> bool:
    """Whether Docker cannot hand GPUs over in the way that it was asked for."""
    return "could not select device driver" in message


def explain_refusal(image: str, port: int | None, refusal: RefusedError) -> EngineError:
    """An engine's refusal in words, for the causes that are known."""
    message = refusal.why
    words = "its own words are above" if refusal.is_told else message
    what = f"the engine cannot run {image}"
    if "unresolvable CDI devices" in message:
        return EngineError(
            f"{what} with a GPU",
            f"no such device is described in /etc/cdi or /run/cdi ({words})",
            "install nvidia-container-toolkit and run `nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`; "
            "or set GPUS=none",
        )
    if is_missing_gpu_driver(message):
        return EngineError(
            f"{what} with a GPU",
            f"it does not know NVIDIA's container toolkit ({words})",
            "install nvidia-container-toolkit, run `nvidia-ctk runtime configure --runtime=docker`, restart Docker; "
            "or set GPUS=none",
        )
    if "nvidia-container-cli" in message or "nvidia-container-runtime" in message:
        return EngineError(f"{what} with a GPU", f"NVIDIA's container toolkit refuses: {words}", _gpu_remedy(message))
    if "port is already allocated" in message or "address already in use" in message:
        return EngineError(f"port {port} is taken", words, "set PORT to another one")
    if "bind source path does not exist" in message or "mount source path" in message:
        return EngineError(
            f"{what}: the engine cannot see a folder of this machine",
            f"{words}; it runs elsewhere, or may not read that folder (NFS without root access)",
            "set WORK to a folder on a disk of this machine",
        )
    known = " ".join(_in_catalog(message))
    return EngineError(
        what, words, known or "run it again with GPUENV_DEBUG=1; `make engine` says which engine this is"
    )
