"""Which engine `gpu-shell` would take, and what that engine has: asked as the engine's modules ask. Starts nothing."""

from __future__ import annotations

import grp
import itertools
import os
import pwd
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpuenv.base_image import base, registry
from gpuenv.core.errors import EngineError
from gpuenv.doctor.facts import Clients, Engines, Place, Running, Toolkit, Wish
from gpuenv.engine import build_client, find
from gpuenv.engine.endpoints import DENIED
from gpuenv.engine.model import Engine
from gpuenv.host import packages
from gpuenv.images import build, image
from gpuenv.images.context import load_inputs
from gpuenv.variants.environment import Environment
from gpuenv.variants.kinds import FLAVORS

#: An engine that answered a ping answers this at once, or is in trouble.
INFO_TIMEOUT_S = 4.0
HOOKS = ("nvidia-container-runtime-hook", "nvidia-container-toolkit")
CDI_FOLDERS = (Path("/etc/cdi"), Path("/var/run/cdi"))
_CLIENT_TIMEOUT_S = 2.0
_NOWHERE = "unix:///dev/null/none"


def engines(wish: Wish) -> Engines:
    """The engine that `gpu-shell` would take, without starting or installing anything."""
    found = Engines()
    for one in find.candidates():
        if isinstance(one, Engine):
            found = replace(found, running=describe(one, wish))
            break
        found = replace(found, refusals=(*found.refusals, one))
    denied = found.refused(DENIED)
    if denied is not None:
        group, is_member = look_at_group(denied.endpoint.url)
        found = replace(found, group=group, is_member=is_member)
    if found.running is not None:
        return found
    return replace(found, private_obstacle=find.private_obstacle(), missing=tuple(packages.missing()))


def look_at_group(url: str) -> tuple[str | None, bool]:
    """The group that may open a socket, and whether this user was added to it since logging in."""
    try:
        info = Path(url.removeprefix("unix://")).stat()
        group = grp.getgrgid(info.st_gid)
        user = pwd.getpwuid(os.getuid()).pw_name
    except (OSError, KeyError):
        return None, False
    # A group of root's own is joined by nobody.
    if info.st_gid == 0 or info.st_mode & 0o060 != 0o060:
        return "", False
    return group.gr_name, user in group.gr_mem


def describe(engine: Engine, wish: Wish) -> Running:
    """What an engine says of itself, which of our images it has, and what would build for it."""
    try:
        info = engine.call("GET", "/info", timeout_s=INFO_TIMEOUT_S)
    except EngineError as error:
        return Running(engine, problem=error.why)
    if not isinstance(info, Mapping):
        return Running(engine, problem="what it says of itself is not what an engine says")
    builder, builder_problem = None, None
    try:
        builder = engine.build_prefix()[0][0]
    except EngineError as error:
        builder_problem = error.why
    images, bases = set(), set()
    for variant, flavor in itertools.product(wish.variants, FLAVORS):
        environment = Environment.of(variant, flavor)
        if any(image.find_image(engine, load_inputs(one), None) for one in environment.alternatives):
            images.add((variant.name, flavor))
        if base.find_base(engine, environment) is not None:
            bases.add((variant.name, flavor))
    return replace(
        read_info(engine, info),
        builder=builder,
        builder_problem=builder_problem,
        images=frozenset(images),
        bases=frozenset(bases),
    )


def read_info(engine: Engine, info: Mapping[str, Any]) -> Running:
    """The parts of ``/info`` that decide something."""
    root = info.get("DockerRootDir") or ""
    return Running(
        engine,
        version=info.get("ServerVersion") or "",
        system=info.get("OperatingSystem") or "",
        storage=info.get("Driver") or "",
        data=Place(root, build.free_bytes(engine, info)),
        memory_bytes=info.get("MemTotal") or None,
        runtimes=tuple(sorted(info.get("Runtimes") or {})),
        has_detour=registry.has_detour(engine, info),
    )


def clients() -> Clients:
    """Every client program, run once or twice to learn what it is."""
    # Asked of the client alone, and without its engine: with one that hangs it would wait for that first.
    environ = build_client.docker_environment(os.environ, _NOWHERE, None)
    paths = build_client.client_paths(os.environ.get("PATH", os.defpath))
    found = (build_client.ask_client(path, environ, _CLIENT_TIMEOUT_S) for path in paths)
    return Clients(tuple(client for client in found if client.version), shutil.which("podman"))


def toolkit(cdi_folders: Iterable[Path] = CDI_FOLDERS) -> Toolkit:
    """NVIDIA's container toolkit, as an engine of this machine would find it."""
    search_path = packages.search_path()
    files = (path for folder in cdi_folders for path in sorted(folder.glob("*")) if path.suffix in (".yaml", ".json"))
    return Toolkit(
        hook=next((found for name in HOOKS if (found := shutil.which(name, path=search_path))), None),
        ctk=shutil.which("nvidia-ctk", path=search_path),
        cdi=tuple(str(path) for path in files if "nvidia.com/" in path.read_text(encoding="utf-8", errors="replace")),
    )
