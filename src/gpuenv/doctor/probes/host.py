"""Reads what this machine is: processor, kernel, C library, disk, variables, Pythons, clock. Starts nothing.

Imports what only POSIX systems have where it is needed: Windows gets an answer, too.
"""

from __future__ import annotations

import itertools
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from gpuenv.core import paths
from gpuenv.core.errors import HostError
from gpuenv.core.settings import Settings
from gpuenv.doctor.facts import Clock, Machine, Place, Pythons, Storage, Variables, Wish
from gpuenv.doctor.findings import OPENRC, SYSTEMD, SYSV
from gpuenv.host import processor, systems
from gpuenv.host.pythons import find_python
from gpuenv.variants.cuda_lock import load_cuda_lock
from gpuenv.variants.environment import Environment
from gpuenv.variants.kinds import FLAVORS
from gpuenv.variants.model import Variant

MEMINFO = Path("/proc/meminfo")
#: Only there while systemd runs (sd_booted(3)); its programs alone may be installed anywhere.
SYSTEMD_RUNS = Path("/run/systemd/system")
INIT_SCRIPT = Path("/etc/init.d/docker")
#: Libraries of which exactly one may be found: the driver's, CUDA's, the compiler's.
_SHADOWING = ("libcud*.so*", "libcublas*.so*", "libnvidia-ml.so*", "libstdc++.so*")


def machine(cpuinfo: Path = processor.CPUINFO, meminfo: Path = MEMINFO) -> Machine:
    """Processor, kernel, C library, memory."""
    flags = processor.parse_flags(cpuinfo.read_text(errors="replace")) if cpuinfo.is_file() else None
    return Machine(
        system=systems.detect(),
        architecture=platform.machine(),
        kernel=platform.release(),
        libc=" ".join(platform.libc_ver()).strip(),
        flags=frozenset(flags) if flags is not None else None,
        memory_bytes=available_memory(meminfo, cgroup_folders()),
        is_root=getattr(os, "getuid", lambda: None)() == 0,
        init=find_init(),
    )


def available_memory(meminfo: Path, cgroups: Iterable[Path]) -> int | None:
    """The available memory of this machine, or what a container or a cluster's job leaves of it, in bytes."""
    free_kib = _number(meminfo, r"^MemAvailable:\s*(\d+)")
    if free_kib is None:
        return None
    return max(0, min([free_kib * 1024, *map(_cgroup_room, cgroups)]))


def cgroup_folders(own: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> list[Path]:
    """The groups that this process is in, as far as they can be seen: the limit of each holds (cgroups(7), v2)."""
    try:
        line = next(line for line in own.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return []
    folder = root / line.removeprefix("0::").strip("/")
    return [one for one in (folder, *folder.parents) if one == root or root in one.parents]


def _cgroup_room(folder: Path) -> int:
    limit, used = (_number(folder / f"memory.{name}", r"^(\d+)$") for name in ("max", "current"))
    # What it keeps of files is given up when memory is needed.
    cached = _number(folder / "memory.stat", r"^inactive_file (\d+)$")
    return sys.maxsize if limit is None or used is None else limit - used + (cached or 0)


def _number(file: Path, pattern: str) -> int | None:
    """The number of a line of a file of the kernel's."""
    try:
        match = re.search(pattern, file.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(match[1]) if match else None


def find_init(systemd: Path = SYSTEMD_RUNS, script: Path = INIT_SCRIPT) -> str:
    """What would start Docker here; "" where nothing would."""
    if systemd.is_dir():
        return SYSTEMD
    if script.exists():
        return OPENRC if shutil.which("rc-service") else SYSV
    return ""


def storage() -> Storage:
    """What is free where environments are made."""
    from gpuenv.engine import private_daemon

    return Storage(_place(paths.cache_dir()), _place(private_daemon.folders().data))


def _place(path: Path) -> Place:
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    return Place(str(path), shutil.disk_usage(there).free)


def variables(environ: Mapping[str, str] = os.environ) -> Variables:
    """The variables of NVIDIA and CUDA, and what LD_LIBRARY_PATH puts before the right libraries."""
    shadows = {}
    for folder in filter(None, environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)):
        names = {path.name for pattern in _SHADOWING for path in Path(folder).glob(pattern)}
        if names:
            shadows[folder] = tuple(sorted(names))
    return Variables({name: value for name, value in environ.items() if name.startswith(("NVIDIA_", "CUDA_"))}, shadows)


def pythons(wish: Wish) -> Pythons:
    """The interpreters that the fallbacks use, asked as the fallbacks ask, and what was made with them already."""
    from gpuenv.cuda import choice

    return Pythons(
        found={one.python_minor: find_python(one.python_minor, one.python) for one in wish.variants},
        made=frozenset(made for one in wish.variants for made in _list_made(one)),
        cuda=frozenset(
            one.name for one in wish.variants if choice.find_installed(one, load_cuda_lock(one.cuda_lock_path))
        ),
        base_obstacles={one.name: base_obstacle(one) for one in wish.variants},
    )


def _list_made(variant: Variant) -> Iterator[tuple[str, str, str]]:
    from gpuenv.prefix import conda_env, folder, virtual_env

    settings = Settings()
    plans = {"venv": virtual_env.plan, **({"conda": conda_env.plan} if variant.conda else {})}
    for (kind, plan), flavor in itertools.product(plans.items(), FLAVORS):
        # A CUDA from the package index is an environment of its own; from conda's channels there is one.
        environments = Environment.of(variant, flavor).alternatives
        if kind == "conda":
            environments = (Environment(variant, flavor), *environments[1:])
        if any(folder.is_complete(plan(one, settings)[0]) for one in environments):
            yield variant.name, flavor, kind


def base_obstacle(variant: Variant) -> str | None:
    """Why no base image can be made here where the registry does not answer; None if one can, given apt's mirrors."""
    from gpuenv.base_image import local, root_system

    try:
        local.plan(variant)
    except HostError as error:
        return error.why
    obstacle = root_system.program_obstacle()
    return f"a base image cannot be made without mmdebstrap: {obstacle}" if obstacle else None


def clock() -> Clock:
    """The time, and the newest date among the files that came with the project: it cannot be earlier than that."""
    root = paths.project_root()
    files = (path for folder in ("src", "envs", "docker") for path in (root / folder).rglob("*.*"))
    return Clock(time.time(), max((path.stat().st_mtime for path in files if path.is_file()), default=0.0))
