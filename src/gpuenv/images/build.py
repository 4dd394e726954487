"""Builds one image.

It gets its name only after it was built whole and its labels were read back, so whatever interrupts a
build leaves the image that was there before, or none.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gpuenv.base_image.base import config_of, ensure_base
from gpuenv.base_image.local import Base
from gpuenv.core import paths, scratch, ui
from gpuenv.core.errors import BuildError, HostError
from gpuenv.core.settings import Settings
from gpuenv.engine.model import Engine, RefusedError, inspect, labels_in
from gpuenv.host import processor
from gpuenv.images import context as build_context
from gpuenv.images import log as build_log
from gpuenv.images import recipe
from gpuenv.images import run as build_run
from gpuenv.images.context import Built, Inputs, content_key
from gpuenv.net import build_settings as network
from gpuenv.variants.environment import Environment

#: The stage of the Dockerfile that is the image.
TARGET = "image"


def build(engine: Engine, inputs: Inputs, settings: Settings) -> Built:
    """Build and name an image, whose lock the caller holds. Raises HostError, SourceError, BuildError, EngineError."""
    processor.check_host()
    environment = inputs.environment
    check_disk(engine, environment)
    began = time.monotonic()
    base = ensure_base(engine, environment, settings.base)
    context = build_context.assemble(inputs, settings.sources_dir)
    ui.say(f"building {environment.tag} on {base.image}")
    labels = labels_on(inputs, base, config_of(engine, environment, base))
    with scratch.folder("build") as folder:
        job = Job(context, arguments_on(inputs, base), labels, inputs.file_name)
        image_id = run(engine, job, folder, f"{environment.tag} could not be built")
    give_name(engine, environment.tag, image_id, labels)
    seconds = time.monotonic() - began
    ui.say(f"built {environment.tag} in {seconds:.0f} s")
    return Built(environment, image_id, labels, seconds)


def check_disk(engine: Engine, environment: Environment) -> None:
    """Refuse to begin a build that the engine's disk cannot hold, as far as that can be seen. Raises HostError."""
    info = engine.call("GET", "/info")
    free, needed_gb = free_bytes(engine, info), environment.variant.disk.needed_gb(environment.flavor)
    if free is not None and free < needed_gb * 10**9:
        raise HostError(
            f"there is too little disk space to build {environment.name}",
            f"it takes {needed_gb} GB, and {info['DockerRootDir']} has {free / 1e9:.1f} GB free",
            "make room (`docker system df` shows what an engine holds), or use an engine with another data folder",
        )


def free_bytes(engine: Engine, info: Mapping[str, Any]) -> int | None:
    """What is free where an engine keeps its data, by its ``/info``; None if this user cannot see that from here.

    An engine may run elsewhere, in a virtual machine, or have its data where only root may look.
    """
    root = str(info.get("DockerRootDir") or "")
    if not root or urlsplit(engine.url).scheme != "unix" or "Docker Desktop" in (info.get("OperatingSystem") or ""):
        return None
    try:
        return shutil.disk_usage(root).free
    except OSError:
        return None


@dataclass(frozen=True)
class Job:
    """What the engine's client is given: a folder with a Dockerfile, arguments, labels; and the name of the log.

    ``secrets`` are given beside those of the network.
    """

    context: Path
    arguments: Mapping[str, str]
    labels: Mapping[str, str]
    log_name: str
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


def run(engine: Engine, job: Job, folder: Path, failure: str) -> str:
    """Run the engine's client in ``folder``; the id of an image without a name. Raises BuildError, EngineError.

    ``failure`` says what failed, if it does.
    """
    host_network = network.load_network()
    secrets = network.write_secrets(host_network, folder / "secrets", job.secrets)
    arguments = {**proxy_arguments(engine, host_network.proxies), **job.arguments}
    prefix, environment = engine.build_prefix()
    log = paths.state_dir() / "logs" / f"{job.log_name}.log"
    argv = build_argv(prefix, arguments, job.labels, sorted(secrets), job.context)
    status, last = build_run.run_client(argv, environment, folder, log)
    if status == 0:
        return (folder / "iid").read_text().strip()
    if not engine.is_alive():
        raise engine.connection_lost(f"while {job.log_name} was built")
    cause = build_log.find_cause(last, host_network)
    raise BuildError(failure, cause.cause, f"{cause.remedy or 'see the log'} (the whole log: {log})")


def proxy_arguments(engine: Engine, names: Iterable[str]) -> dict[str, None]:
    """The proxy variables of ours that a build is told.

    Without a value: the client takes it from its environment, and no password shows in a list of processes. What it is
    configured to pass by itself is meant for containers, where ours may name this machine.
    """
    configured = engine.container_proxies()
    return dict.fromkeys(name for name in names if name not in configured)


def arguments_on(inputs: Inputs, base: Base) -> dict[str, str]:
    """The arguments of a build on ``base``."""
    return {
        "BASE_IMAGE": base.image,
        "BUILDER_IMAGE": base.builder,
        "FLAVOR": inputs.environment.flavor,
        "CUDA_VERSION": inputs.environment.variant.cuda.version,
    }


def labels_on(inputs: Inputs, base: Base, config: Mapping[str, Any]) -> dict[str, str]:
    """The labels of an image on ``base``, whose settings are ``config``."""
    dockerfile, below = inputs.files["Dockerfile"].decode(), recipe.settings_in(config)
    settings = recipe.render(dockerfile, TARGET, arguments_on(inputs, base), below)
    return {
        **inputs.labels,
        "gpuenv.base": base.kind,
        "gpuenv.base_identity": base.identity,
        "gpuenv.key": content_key(inputs, base.kind, base.identity),
        recipe.LABEL: json.dumps(settings, sort_keys=True),
    }


def build_argv(
    prefix: Sequence[str],
    arguments: Mapping[str, str | None],
    labels: Mapping[str, str],
    secrets: Sequence[str],
    context: Path,
) -> list[str]:
    """The client's command line. Its own files stand in its working folder, so that no path needs quoting.

    Always the host's network: an index or a proxy may listen on this machine's loopback address, names may be
    resolved there (systemd-resolved, VPNs), and a private engine may have no bridge at all. Nothing listens
    during a build and what it fetches is verified, so a network of its own would protect nothing.
    """
    argv = [*prefix, "--network", "host", "--iidfile", "iid", "--target", TARGET]
    # Podman's builder tells steps apart by their text alone: with layers kept, an image would get the packages of
    # another lock, or variant, whose steps read the same.
    argv += ["--layers=false"] if Path(prefix[0]).name == "podman" else ["--progress", "plain"]
    for name in secrets:
        argv += ["--secret", f"id={name},src=secrets/{name}"]
    for option, values in (("--build-arg", arguments), ("--label", labels)):
        for name, value in values.items():
            argv += [option, name if value is None else f"{name}={value}"]
    return [*argv, "--file", str(context / "Dockerfile"), str(context)]


def give_name(engine: Engine, tag: str, image_id: str, labels: Mapping[str, str]) -> None:
    """Read an image's labels back, give it its name, and remove the one that had it before.

    One that cannot have it is removed; raises BuildError then.
    """
    details = inspect(engine, image_id)
    if details is None or not labels.items() <= labels_in(details).items():
        _remove_unnamed(engine, details)
        raise BuildError(f"{tag} was built, but is not what was asked for", f"{image_id} has other labels", "try again")
    before = inspect(engine, tag)
    repository, name = tag.split(":")
    try:
        engine.call("POST", f"/images/{image_id}/tag", query={"repo": repository, "tag": name})
    except RefusedError as error:
        _remove_unnamed(engine, details)
        raise BuildError(f"{tag} was built, but the engine refuses the name", error.why, "try again") from error
    if before is not None and before["Id"] != details["Id"]:
        try:
            engine.call("DELETE", f"/images/{before['Id']}")
        except RefusedError as error:
            # A container uses it, or it has another name that somebody gave it.
            ui.say(f"the former {tag} stays: {error.why}")


def _remove_unnamed(engine: Engine, details: Mapping[str, Any] | None) -> None:
    if details and not details.get("RepoTags"):
        with suppress(RefusedError):  # another is built on it
            engine.call("DELETE", f"/images/{details['Id']}")
