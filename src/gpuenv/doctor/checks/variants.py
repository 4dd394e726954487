"""Which variants the GPUs can serve, and what of the environment would keep programs from them."""

from __future__ import annotations

from collections.abc import Iterator

from gpuenv.doctor.facts import Engines, Gpus, Running, Toolkit, Variables, Wish
from gpuenv.doctor.findings import CONTAINER_GPU, PREFIX_GPU, Finding, Findings, Mend, error, ok, unknown, warning
from gpuenv.host import gpu
from gpuenv.variants.compat import Serving

#: Whom each hides devices from: a site's setting for containers; what CUDA is told, for programs of this machine.
_HIDES = {"NVIDIA_VISIBLE_DEVICES": CONTAINER_GPU, "CUDA_VISIBLE_DEVICES": PREFIX_GPU}


def variants(wish: Wish, gpus: Gpus) -> Findings:
    """Which variants the GPUs serve, and why not the others: told before anything is downloaded (P12, P26, P32)."""
    servings = gpus.judge(wish.variants)
    if not servings:
        return ok(f"no GPU: {', '.join(variant.name for variant in wish.variants)} with FLAVOR=cpu")
    return [_judge_serving(serving, servings, wish) for serving in servings]


def _judge_serving(serving: Serving, servings: list[Serving], wish: Wish) -> Finding:
    name = serving.variant.name
    reasons = "; ".join(serving.reasons)
    served = [one.variant.name for one in servings if one.is_served and one is not serving]
    if serving.is_served and not serving.reasons:
        return ok(f"{name} can use the GPU")
    if serving.is_served:
        mend = f"make gpu-shell VARIANT={name} GPUS={','.join(map(str, serving.cards))}"
        return warning(f"{name} can use some of the GPUs only: {reasons}", mend)
    text = f"{name} cannot use the GPU: {reasons}"
    mend = f"make gpu-shell VARIANT={served[-1]}" if served else f"make gpu-shell VARIANT={name} FLAVOR=cpu"
    return warning(text, mend) if served and serving.variant != wish.asked else error(text, mend)


def toolkit(toolkit: Toolkit, gpus: Gpus, engines: Engines) -> Finding:
    """NVIDIA's container toolkit, which hands GPUs to containers (P01)."""
    running = engines.running
    if gpus.host.driver is None:
        return ok("not needed: there is no NVIDIA driver")
    if running is None and engines.private_obstacle is not None:
        return ok("not needed: there is no engine")
    if running is not None and not running.is_here:
        text = f"the engine runs elsewhere ({running.system or running.engine.url})"
        mend = "docker run --rm --gpus all ubuntu nvidia-smi"
        return unknown(f"{text}, and what it has cannot be seen from here", mend)
    if running is not None and running.engine.kind == "podman":
        return _judge_cdi(toolkit)
    return _judge_hook(toolkit, running)


def _judge_hook(toolkit: Toolkit, running: Running | None) -> Finding:
    """Docker looks for the hook on its PATH when it starts."""
    if toolkit.hook is not None:
        return ok(toolkit.hook)
    mend = Mend("install-toolkit")
    if toolkit.cdi or (running is not None and "nvidia" in running.runtimes):
        there = f"{toolkit.cdi[0]} describes the GPUs" if toolkit.cdi else "the engine has a runtime `nvidia`"
        return warning(f"{there}, but the nvidia-container-runtime-hook of --gpus is not found", mend)
    text = "NVIDIA's container toolkit is missing: the engine cannot select a device driver for --gpus"
    return error(text, mend, CONTAINER_GPU)


def _judge_cdi(toolkit: Toolkit) -> Finding:
    if toolkit.cdi:
        return ok(f"{toolkit.cdi[0]} describes the GPUs")
    if toolkit.ctk is not None:
        text = "Podman finds GPUs by a CDI specification, and there is none"
        return error(text, Mend("make-cdi"), CONTAINER_GPU)
    text = "NVIDIA's container toolkit is missing, and Podman has no CDI specification of the GPUs"
    return error(text, Mend("install-toolkit-and-make-cdi"), CONTAINER_GPU)


def runtime(engines: Engines, toolkit: Toolkit, gpus: Gpus) -> Finding:
    """The runtime `nvidia`, for those who say --runtime=nvidia or compose files that do (P02)."""
    running = engines.running
    if gpus.host.driver is None or running is None or running.engine.kind == "podman":
        return ok("not needed")
    if "nvidia" in running.runtimes:
        return ok("the engine has the runtime `nvidia`")
    if toolkit.hook is None:
        return ok("see the check `toolkit`")
    return ok("--gpus works with the hook; --runtime=nvidia would need `nvidia-ctk runtime configure`")


def variables(variables: Variables, gpus: Gpus) -> Findings:
    """Variables that hide devices, or switch checks off (P28)."""
    return [*_hidden(variables, gpus), *_switched_off(variables)] or ok("none hides a GPU")


def _hidden(variables: Variables, gpus: Gpus) -> Iterator[Finding]:
    for name, use in _HIDES.items():
        value = variables.values.get(name, "all")
        if value == "all":
            continue
        text = f"{name}={value or '(empty)'}"
        chosen, wrong = gpu.choose_devices(name, value, gpus.host)
        if chosen and not wrong:
            yield ok(f"{text} chooses devices")
        elif gpus.host.driver is None:
            yield ok(f"{text} hides every GPU (there is none)")
        elif chosen:
            reason = f"{wrong} is no GPU of this machine, and what follows it is passed over"
            yield warning(f"{text}: {reason}", f"export {name}={','.join(chosen)}")
        else:
            why = f" ({wrong} is none of this machine)" if wrong else ""
            yield warning(f"{text} hides every GPU{why}", f"unset {name}", use)


def _switched_off(variables: Variables) -> Iterator[Finding]:
    if variables.values.get("NVIDIA_DISABLE_REQUIRE"):
        text = "NVIDIA_DISABLE_REQUIRE switches off the toolkit's check of the driver"
        yield warning(text, "unset NVIDIA_DISABLE_REQUIRE")
    capabilities = variables.values.get("NVIDIA_DRIVER_CAPABILITIES", "all")
    if not {"all", "compute"} & set(capabilities.split(",")):
        text = f"NVIDIA_DRIVER_CAPABILITIES={capabilities} leaves CUDA out"
        yield warning(text, "export NVIDIA_DRIVER_CAPABILITIES=compute,utility")


def library_path(variables: Variables) -> Findings:
    """LD_LIBRARY_PATH comes before everything else that the loader knows (P19, P48)."""
    mend = "unset LD_LIBRARY_PATH  (containers do not see it; conda, virtual environments and nvidia-smi do)"
    return [
        warning(f"LD_LIBRARY_PATH puts {', '.join(libraries[:4])} of {folder} before the right ones", mend)
        for folder, libraries in variables.shadows.items()
    ] or ok("LD_LIBRARY_PATH shadows nothing")
