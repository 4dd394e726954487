"""What a container asks NVIDIA's runtime hook for, from its environment; pure. Standard library only.

Names, defaults and texts are those of NVIDIA's nvidia-container-toolkit (cmd/nvidia-container-runtime-hook) and of
libnvidia-container (src/cli/common.c).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from . import requirements

#: What a driver's capabilities bring into the container; the rest (video, graphics, ...) is not simulated.
DEFAULT_CAPABILITIES = ("compute", "utility")
SUPPORTED = ("compat32", "compute", "display", "graphics", "ngx", "utility", "video")


class HookError(Exception):
    """What makes the hook fail; its text is what the real one prints, and Docker shows to the user."""


@dataclass(frozen=True)
class HookDevice:
    """A device as the hook knows it; ``address`` is its folder in /proc/driver/nvidia/gpus."""

    number: int
    uuid: str
    address: str
    arch: str
    brand: str


@dataclass(frozen=True)
class Facts:
    """What the hook reads from scenario.txt (written by scenario.py)."""

    driver: str
    library: str
    cuda: str
    visible_devices: str
    fault: str
    devices: tuple[HookDevice, ...]


@dataclass(frozen=True)
class Request:
    """What is mounted into one container."""

    devices: tuple[HookDevice, ...]
    capabilities: tuple[str, ...]


def parse_facts(text: str) -> Facts:
    """Read scenario.txt."""
    rows = [line.split("\t") for line in text.splitlines()]
    single = {row[0]: row[1] for row in rows if len(row) == 2}
    cuda = int(single["cuda"])
    devices = tuple(
        HookDevice(int(row[1]), row[2], row[3][4:].lower(), arch=f"{row[4]}.{row[5]}", brand=row[8])
        for row in rows
        if row[0] == "device"
    )
    return Facts(
        driver=single["driver"],
        library=single["library"],
        cuda=f"{cuda // 1000}.{cuda % 1000 // 10}",
        visible_devices=single["visible_devices"],
        fault=single["fault"],
        devices=devices,
    )


def parse_environment(entries: Sequence[str]) -> dict[str, str]:
    """``NAME=value`` entries; the last one of a name counts, so Docker's own wins over the image's."""
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def decide(facts: Facts, environment: Mapping[str, str]) -> Request | None:
    """What the container gets; None if it asks for no GPU at all. Raises HookError in the order of the real tool."""
    wanted = environment.get("NVIDIA_VISIBLE_DEVICES", "")
    if wanted in ("", "void"):
        return None
    if facts.driver != facts.library:
        raise HookError("initialization error: nvml error: driver/library version mismatch")
    if facts.visible_devices != "all":
        wanted = facts.visible_devices
    devices = select_devices(wanted, facts.devices)
    capabilities = select_capabilities(environment)
    check_requirements(facts, devices, environment)
    return Request(devices, capabilities)


def select_devices(wanted: str, devices: Sequence[HookDevice]) -> tuple[HookDevice, ...]:
    """``all``, ``none``, or numbers and UUIDs separated by commas. Raises HookError for an unknown one."""
    if wanted == "none":
        return ()
    chosen: list[HookDevice] = []
    for entry in filter(None, wanted.split(",")):
        if entry == "all":
            return tuple(devices)
        matches = [device for device in devices if entry.lower() in (str(device.number), device.uuid.lower())]
        if not matches:
            raise HookError(f"device error: {entry}: unknown device")
        chosen += [device for device in matches if device not in chosen]
    return tuple(chosen)


def select_capabilities(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The sorted capabilities of ``NVIDIA_DRIVER_CAPABILITIES``. Raises HookError for an unknown one."""
    names = {name for name in environment.get("NVIDIA_DRIVER_CAPABILITIES", "").split(",") if name}
    if not names:
        return DEFAULT_CAPABILITIES
    if "all" in names:
        return SUPPORTED
    if not names.issubset(SUPPORTED):
        asked, allowed = ",".join(sorted(names)), ",".join(sorted(names.intersection(SUPPORTED)))
        raise HookError(f"unsupported capabilities found in '{asked}' (allowed '{allowed}')")
    return tuple(sorted(names))


def check_requirements(facts: Facts, devices: Sequence[HookDevice], environment: Mapping[str, str]) -> None:
    """Every ``NVIDIA_REQUIRE_*`` holds for every visible device, or at large without one. Raises HookError."""
    if environment.get("NVIDIA_DISABLE_REQUIRE", "").lower() in ("1", "true"):
        return
    common = {"cuda": facts.cuda, "driver": facts.driver}
    each = [{**common, "arch": device.arch, "brand": device.brand} for device in devices] or [common]
    conditions = [value for name, value in sorted(environment.items()) if name.startswith("NVIDIA_REQUIRE_")]
    for known in each:
        for condition in conditions:
            try:
                problem = requirements.find_problem(condition, known)
            except requirements.InvalidExpressionError:
                problem = "invalid expression"
            if problem is not None:
                raise HookError(f"requirement error: {problem}")
