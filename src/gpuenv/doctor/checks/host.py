"""Whether this machine can run TensorFlow 1 at all: processor, kernel, C library."""

from __future__ import annotations

import re

from gpuenv.doctor.facts import Machine
from gpuenv.doctor.findings import MACHINE, PREFIX, Finding, Mend, error, ok, refusal, unknown, warning
from gpuenv.host.processor import architecture_problem, avx_problem
from gpuenv.variants.model import numbers

#: The oldest that container engines run on; the first of WSL2 that has GPUs.
KERNEL_MIN = (3, 10)
WSL2_KERNEL_MIN = (5, 10, 43)
#: What the wheels were made for (manylinux2010 is glibc 2.12), with what the pinned packages add.
GLIBC_MIN = (2, 17)
_IN_A_CONTAINER = "use a container engine (see the check `engine`)"


def architecture(machine: Machine) -> Finding:
    """TensorFlow 1 was published for x86-64 only (P10)."""
    problem = architecture_problem(machine.architecture)
    return refusal(problem, MACHINE) if problem else ok(machine.architecture)


def avx(machine: Machine) -> Finding:
    """Every wheel from 1.6 on executes AVX at import (P11)."""
    if machine.flags is None:
        return unknown("the system does not say whether the processor has AVX", Mend("ask-avx"))
    problem = avx_problem(machine.flags)
    return refusal(problem, MACHINE) if problem else ok("the processor has AVX")


def kernel(machine: Machine) -> Finding:
    """The kernel runs engines; WSL has a second generation for a reason."""
    found = re.match(r"\d+(\.\d+)+", machine.kernel)
    version = numbers(found[0]) if found else ()
    if machine.system == "windows":
        return error("this is Windows itself: gpuenv needs a Linux", Mend("install-engine"), MACHINE)
    if machine.system == "macos":
        return ok(f"Darwin {machine.kernel}; containers run in the engine's virtual machine")
    if machine.system == "wsl2" and version < (5,):
        text = f"{machine.kernel}: this is WSL 1, which runs no containers"
        return error(text, "wsl.exe --set-version <name> 2", MACHINE)
    if machine.system == "wsl2" and version < WSL2_KERNEL_MIN:
        return warning(f"WSL2 with kernel {machine.kernel}: GPUs need 5.10.43 or newer", Mend("update-kernel"))
    if version < KERNEL_MIN:
        text = f"kernel {machine.kernel}: container engines need 3.10 or newer"
        return error(text, Mend("update-kernel"), MACHINE)
    return ok(f"{machine.kernel}{' (WSL2)' if machine.system == 'wsl2' else ''}")


def libc(machine: Machine) -> Finding:
    """The C library matters where there is no container (P48)."""
    name, _, version = machine.libc.partition(" ")
    if machine.system in ("windows", "macos"):
        return ok("containers bring their own")
    is_glibc = name == "glibc" and re.fullmatch(r"\d+(\.\d+)*", version) is not None
    if is_glibc and numbers(version) >= GLIBC_MIN:
        return ok(machine.libc)
    what = f"glibc {version} is older than 2.17" if is_glibc else f"the C library is {machine.libc or 'not glibc'}"
    return warning(f"{what}: the wheels do not run on this system itself", _IN_A_CONTAINER, PREFIX)
