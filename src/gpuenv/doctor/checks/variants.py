"""Which variants the GPUs can serve, and what of the environment would keep programs from them. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from gpuenv.doctor.facts import Environment, Gpus, Wish
from gpuenv.doctor.findings import Finding, error, ok, warning
from gpuenv.host.gpu import HostGpus
from gpuenv.variants import compat
from gpuenv.variants.compat import Serving

#: Values of the two variables that are meant to leave no device.
_NONE = {"NVIDIA_VISIBLE_DEVICES": ("none", "void", ""), "CUDA_VISIBLE_DEVICES": ("", "-1", "NoDevFiles")}


def judge_variants(wish: Wish, gpus: Gpus) -> list[Serving]:
    """Each variant against driver and cards; empty without a driver."""
    if gpus.host.driver is None:
        return []
    return [compat.judge(variant, gpus.host.driver, gpus.cards, gpus.system) for variant in wish.variants]


def check_variants(wish: Wish, gpus: Gpus) -> list[Finding]:
    """Which variants the GPUs serve, and why not the others: told before anything is downloaded (P12, P26, P32)."""
    servings = judge_variants(wish, gpus)
    if not servings:
        names = ", ".join(variant.name for variant in wish.variants)
        return ok("variants", f"no GPU: {names} with FLAVOR=cpu")
    return [finding for serving in servings for finding in _judge_serving(serving, servings, wish)]


def _judge_serving(serving: Serving, servings: list[Serving], wish: Wish) -> Iterator[Finding]:
    name = serving.variant.name
    reasons = "; ".join(serving.reasons)
    served = [one.variant.name for one in servings if one.is_served and one is not serving]
    if serving.is_served and not serving.reasons:
        yield from ok("variants", f"{name} can use the GPU")
    elif serving.is_served:
        remedy = f"make gpu-shell VARIANT={name} GPUS={','.join(map(str, serving.cards))}"
        yield from warning("variants", f"{name} can use some of the GPUs only: {reasons}", remedy)
    elif served and serving.variant != wish.asked:
        yield from warning("variants", f"{name} cannot use the GPU: {reasons}", f"make gpu-shell VARIANT={served[-1]}")
    else:
        remedy = f"make gpu-shell VARIANT={served[-1]}" if served else f"make gpu-shell VARIANT={name} FLAVOR=cpu"
        yield from error("variants", f"{name} cannot use the GPU: {reasons}", remedy)


def check_hidden(environment: Environment, gpus: Gpus) -> list[Finding]:
    """Variables that hide devices, or switch checks off (P28)."""
    return list(_hidden(environment, gpus)) or ok("variables", "none hides a GPU")


def _hidden(environment: Environment, gpus: Gpus) -> Iterator[Finding]:
    values = environment.variables
    for name in ("NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"):
        value = values.get(name)
        if value is None or value == "all":
            continue
        text = f"{name}={value or '(empty)'}"
        judge = warning if gpus.host.driver is not None else _harmless
        chosen, wrong = choose_devices(name, value, gpus.host)
        if not chosen:
            why = f" ({wrong} is none of this machine)" if wrong and value not in _NONE[name] else ""
            yield from judge("variables", f"{text} hides every GPU{why}", f"unset {name}")
        elif wrong:
            reason = f"{wrong} is no GPU of this machine, and what follows it is passed over"
            yield from judge("variables", f"{text}: {reason}", f"export {name}={','.join(chosen)}")
        else:
            yield from ok("variables", f"{text} chooses devices")
    if values.get("NVIDIA_DISABLE_REQUIRE"):
        text = "NVIDIA_DISABLE_REQUIRE switches off the toolkit's check of the driver"
        yield from warning("variables", text, "unset NVIDIA_DISABLE_REQUIRE")
    capabilities = values.get("NVIDIA_DRIVER_CAPABILITIES", "all")
    if not {"all", "compute"} & set(capabilities.split(",")):
        text = f"NVIDIA_DRIVER_CAPABILITIES={capabilities} leaves CUDA out"
        yield from warning("variables", text, "export NVIDIA_DRIVER_CAPABILITIES=compute,utility")


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


def hiding_variable(environment: Environment, host: HostGpus, *, is_container: bool) -> str | None:
    """The setting that leaves no GPU: a site's for containers; what CUDA is told, for programs of this machine."""
    name = "NVIDIA_VISIBLE_DEVICES" if is_container else "CUDA_VISIBLE_DEVICES"
    value = environment.variables.get(name, "all")
    return name if value != "all" and not choose_devices(name, value, host)[0] else None


def _harmless(check: str, message: str, _remedy: str) -> list[Finding]:
    return ok(check, f"{message} (there is none)")


def check_library_path(environment: Environment) -> list[Finding]:
    """LD_LIBRARY_PATH comes before everything else that the loader knows (P19, P48)."""
    if not environment.shadows:
        return ok("library-path", "LD_LIBRARY_PATH shadows nothing")
    return [
        warning(
            "library-path",
            f"LD_LIBRARY_PATH puts {', '.join(shadow.libraries[:4])} of {shadow.folder} before the right ones",
            "unset LD_LIBRARY_PATH  (containers do not see it; conda, virtual environments and nvidia-smi do)",
        )[0]
        for shadow in environment.shadows
    ]
