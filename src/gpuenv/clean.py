"""``gpuenv clean``: remove what the project made on this machine, and nothing else.

In an engine, images are known by name and label, containers by who owns them (a container that somebody
started by hand from one of our images inherits its labels), volumes by their label. On disk, only what is named here is
removed, from a folder that carries our mark and is no link: it was empty when the mark came there, but a user may have
put other things into it since.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from gpuenv.core import mounts, paths, processes, ui
from gpuenv.core.errors import EngineError, HostError, UsageError
from gpuenv.core.settings import Settings
from gpuenv.engine import container as containers
from gpuenv.engine import private, private_daemon, reaper
from gpuenv.engine.find import find_engine
from gpuenv.engine.model import Engine, RefusedError, is_own

#: What this project keeps in the cache folder and in the state folder.
CACHED = (
    "conda",
    "condas",
    "context",
    "libraries",
    "matplotlib",
    "pythons.json",
    # Of a time before CUDA came from the package index.
    "simulat*",
    "sources",
    "tmp-gpuenv-*",
    "upstream",
    "uv",
    "venvs",
)
KEPT = (
    "announced",
    "base.lock",
    "buildx",
    "engine",
    "environments",
    "images",
    "logs",
    "mmdebstrap.log",
    "reports",
    "venvs",
)


def run(settings: Settings) -> int:
    """Remove, and list what was removed. Raises HostError when another gpuenv is at work.

    Asks first on a terminal. Elsewhere it goes ahead with what only this checkout made; more needs ``YES=1``.
    """
    if not settings.yes:
        _ask(shared_with())
    state, cache = paths.state_dir(), paths.cache_dir()
    for folder in (state, cache):
        refuse_busy(folder)
    removed = [line for engine in _running_engines(settings.engine) for line in clean_engine(engine)]
    if private_daemon.folders().record.exists() and private.stop():
        removed.append("the private engine")
    removed += remove_known(cache, CACHED) + remove_known(state, KEPT)
    for line in removed:
        ui.say(f"removed {line}")
    if not removed:
        ui.say("there was nothing to remove")
    return 0


def _ask(shared: list[str]) -> None:
    """Raises UsageError on a no, and where nobody can be asked about what is shared."""
    deed = "remove gpuenv's containers, images, volumes (with Keras' data sets), downloads and private engine"
    if shared and not ui.is_interactive():
        raise UsageError(
            "nothing was removed",
            f"there is no terminal to ask on, and {'; '.join(shared)}",
            "repeat with YES=1 to remove it all the same (`make clean YES=1`)",
        )
    if not ui.confirm(f"{deed} ({'; '.join(shared)})" if shared else deed):
        raise UsageError("nothing was removed", "the answer was no", "run `make clean` to be asked again")


def shared_with() -> list[str]:
    """What :func:`run` would remove though this checkout did not make it, or not for itself alone."""
    others = paths.other_checkouts()
    shared = [f"the downloads and environments are used by {', '.join(map(str, others))}, too"] if others else []
    # What is called like something of ours may be that person's, too.
    folders = sorted({paths.cache_dir(), paths.state_dir()})
    found = {folder: paths.others_in(folder, CACHED + KEPT) for folder in folders}
    shared += [
        f"{folder} holds what gpuenv did not make: {', '.join(names)}" for folder, names in found.items() if names
    ]
    daemon = private.running()
    if daemon is not None:
        foreign = foreign_in(daemon.engine)
        shared += [f"the private engine holds what gpuenv did not make: {', '.join(foreign)}"] if foreign else []
    elif private_daemon.folders().data.exists():
        shared.append("the private engine does not run, so nobody knows what else is in it")
    return shared


def foreign_in(engine: Engine) -> list[str]:
    """The containers, named images and volumes in an engine that somebody made by hand."""
    boxes = [box for box in engine.listed("containers") if "gpuenv.owner" not in (box["Labels"] or {})]
    tags = [tag for image in engine.listed("images") for tag in _tags(image)]
    volumes = [volume for volume in engine.listed("volumes") if "gpuenv.project" not in (volume["Labels"] or {})]
    return [
        *(f"container {_name(box)}" for box in boxes),
        *(f"image {tag}" for tag in tags if not is_own(tag)),
        *(f"volume {volume['Name']}" for volume in volumes),
    ]


def _name(container: dict[str, Any]) -> str:
    return str(container["Names"][0]).lstrip("/")


def _tags(image: dict[str, Any]) -> list[str]:
    return [tag for tag in image["RepoTags"] or () if tag != "<none>:<none>"]


def _running_engines(request: str | None) -> Iterator[Engine]:
    """The engines that answer; cleaning starts none and installs none. The private one goes as a whole."""
    for kind in ("docker", "podman"):
        if request not in (None, "auto", kind):
            continue
        try:
            engine = find_engine(kind)
        except EngineError:
            continue
        if engine is not None and engine.url != private_daemon.folders().url:
            yield engine


def clean_engine(engine: Engine) -> list[str]:
    """Remove our containers, images and volumes from an engine; returns a line for each.

    Others may share the engine: containers of other machines stay, and so do other users' volumes. Raises HostError,
    and removes nothing, while one of our own shells is open.
    """
    ours = "gpuenv.project=gpuenv"
    removed = [f"container {name}" for name in reaper.sweep(engine, reaper.host_id())]
    left = engine.listed("containers", ours, "gpuenv.owner", f"gpuenv.host={reaper.host_id()}")
    refuse_open([container["Labels"]["gpuenv.owner"] for container in left])
    for container in left:
        _attempt(f"container {_name(container)}", partial(engine.remove_container, container["Id"]), removed)
    for image in engine.listed("images", ours):
        for name in own_names(_tags(image), image["Id"]):
            _attempt(f"image {name}", partial(engine.call, "DELETE", f"/images/{name}"), removed)
    own = {mount.source for mount in containers.volumes(os.getuid())}
    for name in (volume["Name"] for volume in engine.listed("volumes", ours)):
        if name in own:
            _attempt(f"volume {name}", partial(engine.call, "DELETE", f"/volumes/{name}"), removed)
        else:
            ui.say(f"volume {name} stays: it is another user's")
    if removed:
        ui.say(
            f"the build cache of {engine.url} stays: steps bear no label, so ours cannot be told from others "
            "(`docker builder prune` removes all that is unused)"
        )
    return removed


def refuse_open(owners: Iterable[str]) -> None:
    """Raises HostError while a process lives that an owner label (``pid:start time``) names."""
    for owner in owners:
        if processes.is_alive(owner):
            raise HostError(
                "nothing was removed from the engine",
                f"a gpuenv is at work there (process {owner.partition(':')[0]})",
                "end it, then repeat",
            )


def own_names(tags: list[str], image_id: str) -> list[str]:
    """What to remove of a labelled image: our names of it, or all of it if it has none.

    What somebody built on one of our images bears its labels, but a name of theirs.
    """
    if not tags:
        return [image_id]
    return [tag for tag in tags if is_own(tag)]


def _attempt(what: str, remove: Callable[[], object], removed: list[str]) -> None:
    """Remove one thing; what is in use stays, and a person is told."""
    try:
        # False: it was not there any more.
        if remove() is not False:
            removed.append(what)
    except RefusedError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            ui.warn(f"{what} stays: {error.why}")


def refuse_busy(folder: Path) -> None:
    """Raises HostError when another gpuenv holds one of the locks below the state or the cache folder."""
    for path in (found for pattern in ("*.lock", "*/*.lock", "*/lock", "*/*/lock") for found in folder.glob(pattern)):
        descriptor = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HostError(
                "nothing was removed", f"another gpuenv is at work ({path.name})", "wait for it, then repeat"
            ) from error
        finally:
            os.close(descriptor)


def remove_known(folder: Path, names: tuple[str, ...]) -> list[str]:
    """Remove what is ours in a folder, and the folder itself if nothing is left; returns a line for each.

    Says what stays, and why. No link is followed, and nothing is removed where our mark is not.
    """
    if folder.is_symlink():
        ui.warn(f"{folder} stays, and what is in it: it is a link (`rm` removes that), to {folder.resolve()}")
        return []
    if not paths.is_marked(folder):
        return []
    removed = []
    for path in sorted(path for name in names for path in folder.glob(name)):
        if mounts.find_below(path):
            ui.warn(f"{path} stays: something is mounted in it")
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
        removed.append(str(path))
    if others := paths.others_in(folder, CACHED + KEPT):
        ui.say(f"{folder} stays: it holds what gpuenv did not make ({', '.join(others)})")
    paths.forget_checkouts(folder)
    if not any(folder.iterdir()):
        folder.rmdir()
    return removed
