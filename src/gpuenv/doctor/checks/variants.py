"""Which variants the GPUs can serve, and what of the environment would keep programs from them."""

from __future__ import annotations

from collections.abc import Iterator

from gpuenv.doctor.facts import Gpus, Variables, Wish
from gpuenv.doctor.findings import CONTAINER_GPU, PREFIX_GPU, Verdict, Verdicts, error, ok, warning
from gpuenv.host.gpu import HostGpus
from gpuenv.variants import compat
from gpuenv.variants.compat import Serving

#: Values of the two variables that are meant to leave no device.
_NONE = {"NVIDIA_VISIBLE_DEVICES": ("none", "void", ""), "CUDA_VISIBLE_DEVICES": ("", "-1", "NoDevFiles")}
#: Whom each hides devices from: a site's setting for containers; what CUDA is told, for programs of this machine.
_HIDES = {"NVIDIA_VISIBLE_DEVICES": CONTAINER_GPU, "CUDA_VISIBLE_DEVICES": PREFIX_GPU}


def judge_variants(wish: Wish, gpus: Gpus) -> list[Serving]:
    """Each variant against driver and cards; empty without a driver."""
    if gpus.host.driver is None:
        return []
    return [compat.judge(variant, gpus.host.driver, gpus.cards, gpus.system) for variant in wish.variants]


def variants(wish: Wish, gpus: Gpus) -> Verdicts:
    """Which variants the GPUs serve, and why not the others: told before anything is downloaded (P12, P26, P32)."""
    servings = judge_variants(wish, gpus)
    if not servings:
        return ok(f"no GPU: {', '.join(variant.name for variant in wish.variants)} with FLAVOR=cpu")
    return [_judge_serving(serving, servings, wish) for serving in servings]


def _judge_serving(serving: Serving, servings: list[Serving], wish: Wish) -> Verdict:
    name = serving.variant.name
    reasons = "; ".join(serving.reasons)
    served = [one.variant.name for one in servings if one.is_served and one is not serving]
    if serving.is_served and not serving.reasons:
        return ok(f"{name} can use the GPU")
    if serving.is_served:
        remedy = f"make gpu-shell VARIANT={name} GPUS={','.join(map(str, serving.cards))}"
        return warning(f"{name} can use some of the GPUs only: {reasons}", remedy)
    text = f"{name} cannot use the GPU: {reasons}"
    remedy = f"make gpu-shell VARIANT={served[-1]}" if served else f"make gpu-shell VARIANT={name} FLAVOR=cpu"
    return warning(text, remedy) if served and serving.variant != wish.asked else error(text, remedy)


def variables(variables: Variables, gpus: Gpus) -> Verdicts:
    """Variables that hide devices, or switch checks off (P28)."""
    return [*_hidden(variables, gpus), *_switched_off(variables)] or ok("none hides a GPU")


def _hidden(variables: Variables, gpus: Gpus) -> Iterator[Verdict]:
    for name, none in _NONE.items():
        value = variables.values.get(name, "all")
        if value == "all":
            continue
        text = f"{name}={value or '(empty)'}"
        chosen, wrong = choose_devices(name, value, gpus.host)
        if chosen and not wrong:
            yield ok(f"{text} chooses devices")
        elif gpus.host.driver is None:
            yield ok(f"{text} hides every GPU (there is none)")
        elif chosen:
            reason = f"{wrong} is no GPU of this machine, and what follows it is passed over"
            yield warning(f"{text}: {reason}", f"export {name}={','.join(chosen)}")
        else:
            why = f" ({wrong} is none of this machine)" if wrong and value not in none else ""
            yield warning(f"{text} hides every GPU{why}", f"unset {name}", _HIDES[name])


def _switched_off(variables: Variables) -> Iterator[Verdict]:
    if variables.values.get("NVIDIA_DISABLE_REQUIRE"):
        text = "NVIDIA_DISABLE_REQUIRE switches off the toolkit's check of the driver"
        yield warning(text, "unset NVIDIA_DISABLE_REQUIRE")
    capabilities = variables.values.get("NVIDIA_DRIVER_CAPABILITIES", "all")
    if not {"all", "compute"} & set(capabilities.split(",")):
        text = f"NVIDIA_DRIVER_CAPABILITIES={capabilities} leaves CUDA out"
        yield warning(text, "export NVIDIA_DRIVER_CAPABILITIES=compute,utility")


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


def library_path(variables: Variables) -> Verdicts:
    """LD_LIBRARY_PATH comes before everything else that the loader knows (P19, P48)."""
    remedy = "unset LD_LIBRARY_PATH  (containers do not see it; conda, virtual environments and nvidia-smi do)"
    return [
        warning(f"LD_LIBRARY_PATH puts {', '.join(libraries[:4])} of {folder} before the right ones", remedy)
        for folder, libraries in variables.shadows.items()
    ] or ok("LD_LIBRARY_PATH shadows nothing")
