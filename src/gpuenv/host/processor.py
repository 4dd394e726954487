"""What this machine must have before a build is worth starting: the processor, and room on the engine's disk."""

from __future__ import annotations

import platform
import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from gpuenv.core.errors import HostError
from gpuenv.engine.api import Api
from gpuenv.engine.model import Engine
from gpuenv.variants.model import Variant

#: How the systems spell it (Linux and macOS, Windows).
X86_64 = ("x86_64", "AMD64")
CPUINFO = Path("/proc/cpuinfo")
#: Free space (10**9 bytes) that making an environment without a container takes, by its flavor. docs/measured.md: what
#: a cpu image holds has 1.3 GB, a gpu image with the genuine CUDA libraries 4.5 GB; and the largest wheel beside it.
PREFIX_GB = {"cpu": 2, "gpu": 6}


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


def check_disk(engine: Engine, variant: Variant, flavor: str) -> None:
    """Refuse to begin a build that the engine's disk cannot hold. Raises HostError.

    Only asked of an engine on this machine: what another one has cannot be seen from here.
    """
    if urlsplit(engine.url).scheme != "unix":
        return
    root = Path(Api(engine).call("GET", "/info").get("DockerRootDir") or "")
    # Docker Desktop's is inside its virtual machine.
    if root.is_dir() and root != Path():
        refuse_small_disk(
            root, shutil.disk_usage(root).free, variant.disk.needed_gb(flavor), f"{variant.name}-{flavor}"
        )


def refuse_small_disk(root: Path, free_bytes: int, needed_gb: int, name: str) -> None:
    """Raises HostError when ``free_bytes`` below ``root`` are less than ``needed_gb`` (10**9 bytes)."""
    if free_bytes >= needed_gb * 10**9:
        return
    raise HostError(
        f"there is too little disk space to build {name}",
        f"it takes {needed_gb} GB, and {root} has {free_bytes / 1e9:.1f} GB free",
        "make room (`docker system df` shows what an engine holds), or use an engine with another data folder",
    )
