"""Refuses a processor on which TensorFlow 1 cannot run."""

from __future__ import annotations

import platform
import re
from pathlib import Path

from gpuenv.core.errors import HostError

#: How the systems spell it (Linux and macOS, Windows).
X86_64 = ("x86_64", "AMD64")
CPUINFO = Path("/proc/cpuinfo")


def check_host(machine: str | None = None, cpuinfo: Path = CPUINFO) -> None:
    """Refuse a processor on which the wheels cannot run. Raises HostError.

    All of them exist for x86-64 only, and every TensorFlow from 1.6 on executes AVX instructions at import:
    without them Python dies with "Illegal instruction". Where there is no ``cpuinfo`` (macOS) AVX is not checked.
    """
    machine = machine or platform.machine()
    if machine not in X86_64:
        raise HostError(
            f"this machine is {machine}, not x86-64",
            "TensorFlow 1 was published for x86-64 processors only",
            "use another machine",
        )
    flags = parse_flags(cpuinfo.read_text()) if cpuinfo.is_file() else None
    if flags is not None and "avx" not in flags:
        raise HostError(
            "this processor has no AVX",
            "TensorFlow 1 needs it and would die with `Illegal instruction` at import"
            + (" (this is a virtual machine: its processor model may hide AVX)" if "hypervisor" in flags else ""),
            "let the virtual machine pass the host's processor through (QEMU: `-cpu host`)"
            if "hypervisor" in flags
            else "use a machine with a processor of 2011 or later",
        )


def parse_flags(cpuinfo: str) -> set[str] | None:
    """The features of the first processor in ``/proc/cpuinfo``; None if it lists none."""
    match = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    return set(match[1].split()) if match else None
