"""What a simulated host has: devices, a driver, and what is wrong with it. Read from ``scenarios/*.toml``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, field, structs

from gpuenv.core.errors import UsageError
from gpuenv.core.schema import Count, Data, Text, Version, load

FOLDER = Path(__file__).resolve().parent / "scenarios"
#: ``none`` also where versions differ or devices are hidden: those are facts, not faults of the simulation's parts.
Fault = Literal["none", "no-hook", "no-ldconfig", "no-uvm"]
#: NVML's names of product lines, which NVIDIA_REQUIRE_CUDA may ask for.
Brand = Literal["geforce", "quadro", "tesla", "titan"]
SUFFIX = " (simulated)"
#: The programs in C have room for so much (scenario.h).
Product = Annotated[str, Meta(pattern=r"^[\w /-]{1,60}\Z", description="a product's name of at most 60 letters")]
_MAX_DEVICES = 16

Uuid = Annotated[
    str, Meta(pattern=r"^GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", description="GPU- and a UUID in lower case")
]
CudaVersion = Annotated[str, Meta(pattern=r"^\d+\.\d\Z", description='a CUDA version such as "11.0"')]
Capability = Annotated[str, Meta(pattern=r"^\d+\.\d\Z", description='a capability such as "7.5"')]


class Device(Data, frozen=True):
    """One GPU. ``number`` is that of its node, ``/dev/nvidia0``, told by its place; ``memory_mib`` in MiB."""

    name: Product
    uuid: Uuid
    brand: Brand
    compute_capability: Capability
    memory_mib: Count
    multiprocessors: Count
    number: Annotated[int, Meta(le=-1, description="its place to say it")] = -1

    @property
    def shown_name(self) -> str:
        """The name that every program shows, so that nobody takes a report for that of a real GPU."""
        return self.name + SUFFIX

    @property
    def bus_id(self) -> str:
        """The PCI address, as NVML writes it."""
        return f"00000000:00:{4 + self.number:02X}.0"


class Scenario(Data, frozen=True):
    """One simulated host. ``driver`` is the kernel module's version, ``library`` that of libcuda and NVML.

    ``cuda`` is the newest CUDA that the driver serves; ``visible_devices`` is what the site sets
    NVIDIA_VISIBLE_DEVICES to (``all``: what the container asks for).
    """

    name: Text
    summary: Text
    driver: Version
    library: Version
    cuda: CudaVersion
    visible_devices: Literal["all", "none"]
    fault: Fault
    devices: Annotated[tuple[Device, ...], Meta(min_length=1, max_length=_MAX_DEVICES)] = field(name="device")

    def __post_init__(self) -> None:
        """No two devices are one."""
        if len({device.uuid for device in self.devices}) != len(self.devices):
            raise ValueError("device: expected a uuid of its own for each")

    @property
    def has_hook(self) -> bool:
        """Whether the engine knows ``--gpus``."""
        return self.fault != "no-hook"

    @property
    def cuda_number(self) -> int:
        """What cuDriverGetVersion says: 11000 for 11.0."""
        major, minor = self.cuda.split(".")
        return int(major) * 1000 + int(minor) * 10

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of the device nodes in ``/dev``."""
        common = ("nvidiactl",) if self.fault == "no-uvm" else ("nvidiactl", "nvidia-uvm")
        return (*common, *(f"nvidia{device.number}" for device in self.devices))


def list_names() -> list[str]:
    """The names of all scenarios."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def find_scenario(name: str) -> Scenario:
    """The scenario called ``name``. Raises UsageError for an unknown one."""
    if name not in list_names():
        raise UsageError(f"there is no scenario {name!r}", f"known: {', '.join(list_names())}", f"look into {FOLDER}")
    return load_scenario(FOLDER / f"{name}.toml")


def load_scenario(path: Path) -> Scenario:
    """Read and validate one file. Raises DataError naming file, key and expectation."""
    scenario = load(path, Scenario, name=path.stem)
    numbered = (structs.replace(device, number=number) for number, device in enumerate(scenario.devices))
    return structs.replace(scenario, devices=tuple(numbered))


def render_text(scenario: Scenario) -> str:
    """The form that the programs in C and the hook read: fields separated by tabs, in the order of scenario.c."""
    lines: list[tuple[str, ...]] = [
        ("driver", scenario.driver),
        ("library", scenario.library),
        ("cuda", str(scenario.cuda_number)),
        ("visible_devices", scenario.visible_devices),
        ("fault", scenario.fault),
    ]
    lines += [_device_line(device) for device in scenario.devices]
    return "".join("\t".join(fields) + "\n" for fields in lines)


def render_proc(scenario: Scenario) -> dict[str, str]:
    """The files of ``/proc/driver/nvidia``: path below it -> text."""
    files = {
        "version": f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {scenario.driver}  SIMULATED by the tests of "
        "gpuenv\nGCC version:  none: there is no kernel module\n"
    }
    for device in scenario.devices:
        # The kernel's address has a shorter domain than NVML's: 0000:00:04.0.
        address = device.bus_id[4:].lower()
        files[f"gpus/{address}/information"] = (
            f"Model: \t\t {device.shown_name}\nGPU UUID: \t {device.uuid}\nBus Type: \t PCIe\n"
            f"Bus Location: \t {address}\nDevice Minor: \t {device.number}\n"
        )
    return files


def _device_line(device: Device) -> tuple[str, ...]:
    major, minor = device.compute_capability.split(".")
    numbers = (major, minor, str(device.memory_mib), str(device.multiprocessors))
    return ("device", str(device.number), device.uuid, device.bus_id, *numbers, device.brand, device.shown_name)
