"""The container around an image target: no network, a read-only root, the caller's user id."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from gpuenv.core import paths, scratch
from gpuenv.core.errors import EngineError
from gpuenv.engine import container as containers
from gpuenv.engine.container import Mount
from gpuenv.engine.model import Engine
from gpuenv.engine.shared_folder import marked, unseen
from gpuenv.harness.targets import remote as target_host
from gpuenv.harness.targets.connection import REFERENCE_IN_IMAGE, Connection
from gpuenv.harness.targets.model import Plan, Target
from gpuenv.host import gpu
from gpuenv.variants.kinds import TITLES

#: Every container of one run carries this label, so that none outlives the run.
RUN_LABEL = "gpuenv.harness"


def container_user(engine: Engine) -> str:
    """The ``uid:gid`` inside: the caller's, or the image's own for root, so that "not root" is tested."""
    return containers.IMAGE_USER if os.getuid() == 0 else containers.user_inside(engine)


def container_options(target: Target, plan: Plan, work_dir: Path, user: str) -> dict[str, Any]:
    """What the container of one target is, as arguments of :func:`gpuenv.engine.container.running`."""
    uid, gid = user.split(":")
    has_gpu = target.flavor == "gpu" and target.driver is not None and plan.require_gpu is not False
    return {
        "image": target.image,
        "user": user,
        "network": "none",
        "read_only": True,
        # The home folder is writable in a shell too; nothing else is, except /tmp and /work.
        "tmpfs": {containers.HOME: f"mode=700,uid={uid},gid={gid},exec"},
        "mounts": (
            Mount(str(paths.reference_dir()), REFERENCE_IN_IMAGE, read_only=True),
            Mount(str(work_dir), "/work"),
        ),
        "device_requests": gpu.device_requests("all", gpu.host_gpus()) if has_gpu else (),
        "labels": {RUN_LABEL: plan.run},
    }


def host_of(engine: Engine, container: str) -> Any:
    """testinfra's connection to a container that runs, through the engine's own client."""
    import testinfra

    return target_host.bounded(testinfra.get_host(f"{'podman' if engine.kind == 'podman' else 'docker'}://{container}"))


@contextmanager
def connect(target: Target, plan: Plan, mounts: Sequence[Mount] = (), *, is_bare: bool = False) -> Iterator[Connection]:
    """A connection to ``target``; its container, which gets ``mounts`` too, is removed at the end.

    ``is_bare``: the container is the image as it is, with nothing over its home and work folders, and can be written.
    """
    import testinfra

    if target.kind in TITLES:
        yield Connection(
            target, target_host.bounded(testinfra.get_host("local://")), str(paths.reference_dir()), cores=plan.cores
        )
        return
    if target.kind == "host":
        with target_host.connect(target) as connection:
            yield connection
        return
    engine = plan.engine
    assert engine is not None, "an image target needs an engine"  # noqa: S101 - the plan is our own file
    user = container_user(engine)
    # Not in the cache folder, which may be on a network where the engine has no rights.
    with scratch.folder("work", is_local=True) as temporary:
        # The outer one stays ours: where this process is killed, the next one removes only its own user's.
        folder = temporary / "work"
        folder.mkdir()
        if os.getuid() == 0:
            os.chown(folder, *map(int, user.split(":")))
        options = container_options(target, plan, folder, user)
        options["mounts"] = (*options["mounts"], *mounts)
        if is_bare:
            options.update(mounts=options["mounts"][:1], tmpfs={}, read_only=False, device_requests=())
        with ExitStack() as stack:
            refused = None
            try:
                container = stack.enter_context(containers.running(engine, **options))
            except EngineError as error:
                if not options["device_requests"]:
                    raise
                # Only the group gpu is about devices: the others are tested without.
                refused = error
                container = stack.enter_context(containers.running(engine, **{**options, "device_requests": ()}))
            host = host_of(engine, container)
            with marked(folder) as mark:
                if not is_bare and not host.file(f"/work/{mark.name}").exists:
                    raise unseen(folder, "TMPDIR")
            yield Connection(
                target, host, REFERENCE_IN_IMAGE,
                user=user, work_dir=folder, refused=refused, cores=plan.cores,
            )  # fmt: skip


def remove_leftovers(engine: Engine, run: str) -> None:
    """Remove the containers of one run that are still there (after Ctrl-C)."""
    for container in engine.listed("containers", f"{RUN_LABEL}={run}"):
        engine.remove_container(container["Id"])
