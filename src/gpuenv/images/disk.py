"""Refuses a build for which the engine's disk has no room."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import urlsplit

from gpuenv.core.errors import HostError
from gpuenv.engine.api import Api
from gpuenv.engine.model import Engine
from gpuenv.variants.environment import Environment


def check_disk(engine: Engine, environment: Environment) -> None:
    """Refuse to begin a build that the engine's disk cannot hold. Raises HostError.

    Only asked of an engine on this machine: what another one has cannot be seen from here.
    """
    if urlsplit(engine.url).scheme != "unix":
        return
    root = Path(Api(engine).call("GET", "/info").get("DockerRootDir") or "")
    # Docker Desktop's is inside its virtual machine.
    if root.is_dir() and root != Path():
        needed_gb = environment.variant.disk.needed_gb(environment.flavor)
        refuse_small_disk(root, shutil.disk_usage(root).free, needed_gb, environment.name)


def refuse_small_disk(root: Path, free_bytes: int, needed_gb: int, name: str) -> None:
    """Raises HostError when ``free_bytes`` below ``root`` are less than ``needed_gb`` (10**9 bytes)."""
    if free_bytes >= needed_gb * 10**9:
        return
    raise HostError(
        f"there is too little disk space to build {name}",
        f"it takes {needed_gb} GB, and {root} has {free_bytes / 1e9:.1f} GB free",
        "make room (`docker system df` shows what an engine holds), or use an engine with another data folder",
    )
