"""``gpuenv clean``: remove what the project made on this machine, and nothing else.

In an engine, images are known by name and label, containers by who owns them (a container that somebody
started by hand from one of our images inherits its labels), volumes by their label. On disk, only what
is named here is removed: a user may have pointed the state or cache folder at one with other things in it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.core import mounts, paths, processes, ui
from gpuenv.core.errors import EngineError, HostError, UsageError
from gpuenv.core.settings import Settings
from gpuenv.engine import container as containers
from gpuenv.engine import private, private_daemon, reaper
from gpuenv.engine.find import find_engine
from gpuenv.engine.model import Engine

if TYPE_CHECKING:
    from docker import DockerClient

REPOSITORIES = ("gpuenv", "gpuenv-base", "gpuenv-builder")
#: What this project keeps in the cache folder and in the state folder.
CACHED = (
    "conda",
    "condas",
    "context",
    "libraries",
    "matplotlib",
    "pythons.json",
    "simulated",
    "sources",
    "tmp-*",
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
    removed = [line for engine in _running_engines(settings.engine) for line in _clean_engine(engine)]
    if private_daemon.folders().record.exists() and private.stop():
        removed.append("the private engine")
    paths.forget_checkouts()
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
    daemon = private.running()
    if daemon is not None:
        foreign = foreign_in(daemon.engine.client())
        shared += [f"the private engine holds what gpuenv did not make: {', '.join(foreign)}"] if foreign else []
    elif private_daemon.folders().data.exists():
        shared.append("the private engine does not run, so nobody knows what else is in it")
    return shared


def foreign_in(client: DockerClient) -> list[str]:
    """The containers, named images and volumes in an engine that somebody made by hand."""
    boxes = [box.name for box in client.containers.list(all=True) if "gpuenv.owner" not in box.labels]
    tags = [tag for image in client.images.list() for tag in image.tags]
    volumes = [
        volume.name for volume in client.volumes.list() if "gpuenv.project" not in (volume.attrs["Labels"] or {})
    ]
    foreign = [f"container {name}" for name in boxes]
    foreign += [f"image {tag}" for tag in tags if tag not in own_names(tags, "")]
    return foreign + [f"volume {name}" for name in volumes]


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


def _clean_engine(engine: Engine) -> list[str]:
    """Remove our containers, images and volumes from an engine; returns a line for each.

    Others may share the engine: containers of other machines stay, and so do other users' volumes. Raises HostError,
    and removes nothing, while one of our own shells is open.
    """
    client, ours = engine.client(), "gpuenv.project=gpuenv"
    removed: list[str] = []
    labels = [ours, "gpuenv.owner", f"gpuenv.host={reaper.host_id()}"]
    left = client.containers.list(all=True, filters={"label": labels})
    refuse_open([container.labels["gpuenv.owner"] for container in left])
    for container in left:
        _attempt(f"container {container.name}", partial(container.remove, force=True, v=True), removed)
    for image in client.images.list(filters={"label": ours}):
        for name in own_names(image.tags, str(image.id)):
            _attempt(f"image {name}", partial(client.images.remove, name), removed)
    own = {mount.source for mount in containers.volumes(os.getuid())}
    for volume in client.volumes.list(filters={"label": ours}):
        if volume.name not in own:
            ui.say(f"volume {volume.name} stays: it is another user's")
            continue
        _attempt(f"volume {volume.name}", volume.remove, removed)
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
    return [tag for tag in tags if tag.rpartition(":")[0].removeprefix("localhost/") in REPOSITORIES]


def _attempt(what: str, remove: Callable[[], object], removed: list[str]) -> None:
    """Remove one thing; what is in use stays, and a person is told."""
    from docker.errors import APIError, NotFound

    try:
        remove()
    except NotFound:
        return
    except APIError as error:
        ui.warn(f"{what} stays: {error.explanation or error}")
        return
    removed.append(what)


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
    """Remove what is ours in a folder, and the folder itself if nothing is left; returns a line for each."""
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
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    return removed
