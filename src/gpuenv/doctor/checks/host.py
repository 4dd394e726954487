"""Can this machine run TensorFlow 1 at all: processor, kernel, C library, memory, disk. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gpuenv.doctor.facts import Engines, Machine, Storage, Wish
from gpuenv.doctor.findings import Finding, error, ok, unknown, warning
from gpuenv.doctor.remedies import find_remedy
from gpuenv.host.processor import X86_64
from gpuenv.variants.compat import numbers

#: The oldest that container engines run on; the first of WSL2 that has GPUs.
KERNEL_MIN = (3, 10)
WSL2_KERNEL_MIN = (5, 10, 43)
#: What the wheels were made for (manylinux2010 is glibc 2.12), with what the pinned packages add.
GLIBC_MIN = (2, 17)
#: Compiling the packages without wheels, and TensorFlow's own import and a small training.
MEMORY_BUILD_BYTES = 2 * 10**9
MEMORY_RUN_BYTES = 10**9


def check_architecture(machine: Machine) -> list[Finding]:
    """TensorFlow 1 was published for x86-64 only (P10)."""
    if machine.architecture in X86_64:
        return ok("architecture", machine.architecture)
    return error(
        "architecture",
        f"this machine is {machine.architecture}: TensorFlow 1 was published for x86-64 only, and an emulated x86-64 "
        "has no AVX",
        "use another machine (over ssh: make test-env HOSTS=ssh://name shows whether one will do)",
    )


def check_avx(machine: Machine) -> list[Finding]:
    """Every wheel from 1.6 on executes AVX at import (P11)."""
    if machine.flags is None:
        return unknown(
            "avx", "the system does not say whether the processor has AVX", find_remedy("ask-avx", machine.system)
        )
    if "avx" in machine.flags:
        return ok("avx", "the processor has AVX")
    if "hypervisor" in machine.flags:
        return error(
            "avx",
            "no AVX: TensorFlow dies with `Illegal instruction` at import (this virtual machine may hide it)",
            "pass the host's processor through (QEMU: -cpu host; Proxmox: type host)",
        )
    return error(
        "avx",
        "no AVX: TensorFlow dies with `Illegal instruction` at import",
        "use a machine with a processor of 2011 or later",
    )


def check_kernel(machine: Machine) -> list[Finding]:
    """The kernel runs engines; WSL has a second generation for a reason."""
    found = re.match(r"\d+(\.\d+)+", machine.kernel)
    version = numbers(found[0]) if found else ()
    if machine.system == "windows":
        return error("kernel", "this is Windows itself: gpuenv needs a Linux", find_remedy("install-engine", "windows"))
    if machine.system == "macos":
        return ok("kernel", f"Darwin {machine.kernel}; containers run in the engine's virtual machine")
    if machine.system == "wsl2" and version < (5,):
        return error(
            "kernel", f"{machine.kernel}: this is WSL 1, which runs no containers", "wsl.exe --set-version <name> 2"
        )
    if machine.system == "wsl2" and version < WSL2_KERNEL_MIN:
        return warning(
            "kernel",
            f"WSL2 with kernel {machine.kernel}: GPUs need 5.10.43 or newer",
            find_remedy("update-kernel", "wsl2"),
        )
    if version < KERNEL_MIN:
        return error(
            "kernel",
            f"kernel {machine.kernel}: container engines need 3.10 or newer",
            find_remedy("update-kernel", machine.system),
        )
    return ok("kernel", f"{machine.kernel}{' (WSL2)' if machine.system == 'wsl2' else ''}")


def check_libc(machine: Machine) -> list[Finding]:
    """The C library matters where there is no container (P48)."""
    name, _, version = machine.libc.partition(" ")
    if machine.system in ("windows", "macos"):
        return ok("libc", "containers bring their own")
    if name != "glibc" or not re.fullmatch(r"\d+(\.\d+)*", version):
        return warning(
            "libc",
            f"the C library is {machine.libc or 'not glibc'}: the wheels do not run on this system itself",
            "use a container engine (see the check `engine`)",
        )
    if numbers(version) < GLIBC_MIN:
        return warning(
            "libc",
            f"glibc {version} is older than 2.17: the wheels do not run on this system itself",
            "use a container engine (see the check `engine`)",
        )
    return ok("libc", machine.libc)


def check_memory(machine: Machine) -> list[Finding]:
    """A build compiles, and training needs memory for TensorFlow itself."""
    if machine.memory_bytes is None:
        remedy = find_remedy("ask-memory", machine.system)
        return unknown("memory", "the system does not say how much memory is available", remedy)
    text = f"{machine.memory_bytes / 1e9:.1f} GB available"
    remedy = find_remedy("more-memory", machine.system)
    if machine.memory_bytes < MEMORY_RUN_BYTES:
        return error("memory", f"{text}: TensorFlow itself needs {MEMORY_RUN_BYTES / 1e9:.0f} GB", remedy)
    if machine.memory_bytes < MEMORY_BUILD_BYTES:
        return warning("memory", f"{text}: a build needs {MEMORY_BUILD_BYTES / 1e9:.0f} GB", remedy)
    return ok("memory", text)


def check_disk(wish: Wish, engines: Engines, storage: Storage) -> list[Finding]:
    """Room for what is not built yet, where it would be built."""
    return list(_disk(wish, engines, storage))


def _disk(wish: Wish, engines: Engines, storage: Storage) -> Iterator[Finding]:
    variant, running = wish.default, engines.running
    if running is None:
        is_private = engines.private_obstacle is None
        place = storage.private if is_private else storage.cache
        remedy = "make-room-private" if is_private else "make-room-here"
        yield from _judge_room(wish, place.path, place.free_bytes, remedy, has_gpu=is_private)
    elif {(variant.name, "gpu"), (variant.name, "cpu")} <= running.images:
        yield from ok("disk", f"{variant.name} is built already")
    elif running.free_bytes is None:
        where = running.root or running.url
        yield from unknown("disk", f"what is free in {where} cannot be seen from here", "docker system df")
    else:
        yield from _judge_room(wish, running.root, running.free_bytes, "make-room", has_gpu=True)


def _judge_room(wish: Wish, path: str, free_bytes: int, remedy: str, *, has_gpu: bool) -> list[Finding]:
    variant = wish.default
    free = f"{free_bytes / 1e9:.1f} GB free in {path}"
    if free_bytes < variant.disk.cpu_gb * 10**9:
        return error("disk", f"{free}: {variant.name} needs {variant.disk.cpu_gb} GB", find_remedy(remedy, "*"))
    if has_gpu and free_bytes < variant.disk.gpu_gb * 10**9:
        text = f"{free}: enough for {variant.name}-cpu, while {variant.name}-gpu needs {variant.disk.gpu_gb} GB"
        return warning("disk", text, find_remedy(remedy, "*"))
    return ok("disk", free)
