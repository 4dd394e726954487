"""Translates an engine's refusal to run a container into cause and next command."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpuenv.core.errors import EngineError
from gpuenv.engine.model import RefusedError

if TYPE_CHECKING:
    from gpuenv.engine.container import Spec
_UNKNOWN = "run it again with GPUENV_DEBUG=1; `make engine` says which engine this is"


def is_missing_init(message: str) -> bool:
    """Whether an engine's refusal to start means that its init program is not installed."""
    names = ("docker-init", "catatonit", "container-init", "init binary")
    return any(name in message for name in names) and ("not found" in message or "no such file" in message.lower())


def is_missing_limit(message: str) -> bool:
    """Whether an engine's refusal means that it may not limit processes (rootless, or without that control group)."""
    return re.search(r"\bpids\b", message) is not None and re.search(r"cgroup|limit", message) is not None


def is_missing_gpu_driver(message: str) -> bool:
    """Whether Docker cannot hand GPUs over in the way that it was asked for."""
    return "could not select device driver" in message


def explain_refusal(spec: Spec, refusal: RefusedError) -> EngineError:
    """An engine's refusal in words: two causes are settings of ours, the catalog of `make explain` knows the others."""
    from gpuenv.explain import command as explain

    message = refusal.why
    words = "its own words are above" if refusal.is_told else message
    if "port is already allocated" in message or "address already in use" in message:
        return EngineError(f"port {spec.port} is taken", words, "set PORT to another one")
    what = f"the engine cannot run {spec.image}"
    if "bind source path does not exist" in message or "mount source path" in message:
        return EngineError(
            f"{what}: it cannot see a folder of this machine",
            f"{words}; it runs elsewhere, or may not read that folder (NFS without root access)",
            "set WORK to a folder on a disk of this machine",
        )
    known = explain.diagnose(message)
    why = f"{known.cause} ({words})" if known else words
    remedy = known.remedy if known and known.remedy else _UNKNOWN
    if spec.device_requests:
        return EngineError(f"{what} with a GPU", why, f"{remedy}; or set GPUS=none to use the CPU")
    return EngineError(what, why, remedy)
