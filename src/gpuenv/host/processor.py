"""Refuses a processor on which TensorFlow 1 cannot run."""

from __future__ import annotations

import platform
import re
from collections.abc import Collection
from pathlib import Path

from gpuenv.core.errors import HostError

#: How the systems spell it (Linux and macOS, Windows).
X86_64 = ("x86_64", "AMD64")
CPUINFO = Path("/proc/cpuinfo")


def check_host(machine: str | None = None, cpuinfo: Path = CPUINFO) -> None:
    """Refuse a processor on which the wheels cannot run. Raises HostError.

    Where there is no ``cpuinfo`` (macOS) AVX is not checked.
    """
    flags = parse_flags(cpuinfo.read_text()) if cpuinfo.is_file() else None
    error = architecture_problem(machine or platform.machine()) or avx_problem(flags)
    if error is not None:
        raise error


def architecture_problem(machine: str) -> HostError | None:
    """Why no wheel runs on ``machine``: TensorFlow 1 was published for x86-64 only; what emulates it has no AVX."""
    if machine in X86_64:
        return None
    return HostError(
        f"this machine is {machine}, not x86-64",
        "TensorFlow 1 was published for x86-64 processors only, and an emulated one has no AVX",
        "use another machine (over ssh: make test-env HOSTS=ssh://name shows whether one will do)",
    )


def avx_problem(flags: Collection[str] | None) -> HostError | None:
    """Why no wheel runs on a processor with these features, if they are known: TensorFlow from 1.6 on executes AVX."""
    if flags is None or "avx" in flags:
        return None
    is_virtual = "hypervisor" in flags
    return HostError(
        "this processor has no AVX",
        "TensorFlow 1 needs it and would die with `Illegal instruction` at import"
        + (" (this is a virtual machine: its processor model may hide AVX)" if is_virtual else ""),
        "pass the host's processor through (QEMU: -cpu host; Proxmox: type host)"
        if is_virtual
        else "use a machine with a processor of 2011 or later",
    )


def parse_flags(cpuinfo: str) -> set[str] | None:
    """The features of the first processor in ``/proc/cpuinfo``; None if it lists none."""
    match = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    return set(match[1].split()) if match else None
