"""One image: there already and current, or built now. What it is made of stands in `build_context.py`.

An image gets its name only after it was built whole and its labels were read back, so whatever
interrupts a build leaves either the old image or none.
"""

from __future__ import annotations

import http
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpuenv import filelock, paths, ui
from gpuenv.build_context import Inputs, content_key, load_inputs, tag_of
from gpuenv.engine import Engine
from gpuenv.engine_api import Api, RefusedError
from gpuenv.errors import BuildError
from gpuenv.variants import CudaLock, Variant

if TYPE_CHECKING:
    from gpuenv.base import Base

__all__ = ["Built", "build_argv", "content_key", "ensure_image", "find_image", "tag_of"]


@dataclass(frozen=True)
class Built:
    """An image that is current. ``seconds`` is how long it took to build, None if it was there."""

    tag: str
    id: str
    labels: dict[str, str]
    variant: Variant
    flavor: str
    seconds: float | None = None


def ensure_image(
    engine: Engine,
    variant: Variant,
    flavor: str,
    *,
    base_choice: str | None,
    cuda_lock: CudaLock,
    sources_dir: Path | None,
) -> Built:
    """Have the image in the engine; with nothing to do this is one request. Progress goes to standard error.

    Raises HostError (processor, disk), SourceError (CUDA, base), BuildError, EngineError. A local base that an
    image was built on stays good for it: only ``base_choice`` makes it change over.
    """
    inputs = load_inputs(variant, flavor, cuda_lock)
    built = find_image(engine, inputs, base_choice)
    if built:
        return built
    from gpuenv import host

    host.check_host()
    lock = paths.state_dir() / "images" / f"{inputs.tag.replace(':', '-')}.lock"
    with filelock.held(lock, f"another gpuenv builds {inputs.tag}; waiting for it"):
        return find_image(engine, inputs, base_choice) or _build(engine, inputs, base_choice, cuda_lock, sources_dir)


def find_image(engine: Engine, inputs: Inputs, base_choice: str | None) -> Built | None:
    """The image under its tag, if everything that decides it is still the same."""
    details = _inspect(engine, inputs.tag)
    if details is None:
        return None
    labels = _labels(details)
    kind, identity = labels.get("gpuenv.base", ""), labels.get("gpuenv.base_identity", "")
    if base_choice not in (None, "auto", kind) or not _is_current_base(inputs, kind, identity):
        return None
    if labels.get("gpuenv.key") != content_key(inputs, kind, identity):
        return None
    return Built(inputs.tag, details["Id"], labels, inputs.variant, inputs.flavor)


def _is_current_base(inputs: Inputs, kind: str, identity: str) -> bool:
    pinned = inputs.variant.base.digest
    if inputs.flavor == "gpu":
        pinned += f"+{inputs.variant.builder.digest}"
    return kind == "local" or (kind == "registry" and identity == pinned)


def _build(
    engine: Engine, inputs: Inputs, base_choice: str | None, cuda_lock: CudaLock, sources_dir: Path | None
) -> Built:
    from gpuenv import build_context, host, scratch
    from gpuenv.base import ensure_base

    host.check_disk(engine, inputs.variant, inputs.flavor)
    began = time.monotonic()
    base = ensure_base(engine, inputs.variant, base_choice, need_builder=inputs.flavor == "gpu")
    context = build_context.assemble(inputs, cuda_lock, sources_dir)
    labels = {
        **inputs.labels,
        "gpuenv.base": base.kind,
        "gpuenv.base_identity": base.identity,
        "gpuenv.key": content_key(inputs, base.kind, base.identity),
    }
    ui.say(f"building {inputs.tag} on {base.image}")
    scratch.sweep()
    with scratch.folder("build") as folder:
        image_id = _run_build(engine, inputs, base, labels, context, folder)
    _name(engine, inputs.tag, image_id, labels)
    seconds = time.monotonic() - began
    ui.say(f"built {inputs.tag} in {seconds:.0f} s")
    return Built(inputs.tag, image_id, labels, inputs.variant, inputs.flavor, seconds)


def _run_build(
    engine: Engine, inputs: Inputs, base: Base, labels: Mapping[str, str], context: Path, folder: Path
) -> str:
    """Run the engine's client; returns the id of the image, which has no name yet. Raises BuildError."""
    from gpuenv import build_log, build_run, network

    settings = network.load_network()
    network.write_secrets(settings, folder / "secrets")
    prefix, environment = engine.build_prefix()
    arguments = {
        "BASE_IMAGE": base.image,
        "BUILDER_IMAGE": base.builder,
        "FLAVOR": inputs.flavor,
        "CUDA_VERSION": inputs.variant.cuda.version,
    }
    argv = build_argv(prefix, arguments, labels, settings.proxies, has_ca=settings.ca_pem is not None, context=context)
    log = paths.state_dir() / "logs" / f"{inputs.tag.replace(':', '-')}.log"
    status, last = build_run.run_client(argv, environment, folder, log)
    if status == 0:
        return (folder / "iid").read_text().strip()
    api = Api(engine)
    if not api.is_alive():
        raise api.gone(f"while it built {inputs.tag}")
    cause = build_log.find_cause(last, settings)
    raise BuildError(f"{inputs.tag} could not be built", cause.why, f"{cause.next_step} (whole log: {log})")


def build_argv(
    prefix: Sequence[str],
    arguments: Mapping[str, str],
    labels: Mapping[str, str],
    proxies: Sequence[str],
    *,
    has_ca: bool,
    context: Path,
) -> list[str]:
    """The client's command line. Files of the build stand in its working folder, so no path needs quoting.

    Always the host's network: an index or a proxy may listen on this machine's loopback address, names may be
    resolved there (systemd-resolved, VPNs), and a private engine may have no bridge at all. Nothing listens
    during a build, and what is fetched is verified, so a network of its own would protect nothing.
    """
    argv = [*prefix, "--network", "host", "--iidfile", "iid", "--target", "image"]
    if "podman" not in Path(prefix[0]).name:
        argv += ["--progress", "plain"]
    for name in (*(["ca"] if has_ca else []), "pip"):
        argv += ["--secret", f"id={name},src=secrets/{name}"]
    # Without a value: the client takes it from its environment, and no password shows in a list of processes.
    for name in proxies:
        argv += ["--build-arg", name]
    for name, value in arguments.items():
        argv += ["--build-arg", f"{name}={value}"]
    for name, value in labels.items():
        argv += ["--label", f"{name}={value}"]
    return [*argv, "--file", str(context / "Dockerfile"), str(context)]


def _name(engine: Engine, tag: str, image_id: str, labels: Mapping[str, str]) -> None:
    """Read an image's labels back, give it its name, and remove the one that had it."""
    details = _inspect(engine, image_id)
    if details is None or not labels.items() <= _labels(details).items():
        raise BuildError(
            f"{tag} was built, but is not what was asked for", f"{image_id} has other labels", "run it again"
        )
    before = _inspect(engine, tag)
    repository, name = tag.split(":")
    _call(engine, "POST", f"/images/{image_id}/tag", {"repo": repository, "tag": name})
    if before is not None and before["Id"] != details["Id"]:
        try:
            Api(engine).call("DELETE", f"/images/{before['Id']}")
        except RefusedError as error:
            # Used by a container that runs, or known by a name that somebody else gave it.
            ui.say(f"the former {tag} stays: {error.message}")


def _inspect(engine: Engine, reference: str) -> dict[str, Any] | None:
    try:
        details: dict[str, Any] = Api(engine).call("GET", f"/images/{reference}/json")
    except RefusedError as error:
        if error.status == http.HTTPStatus.NOT_FOUND:
            return None
        raise BuildError(f"{reference} cannot be looked at", error.message, "look at the engine's log") from error
    return details


def _call(engine: Engine, method: str, path: str, query: Mapping[str, object]) -> None:
    try:
        Api(engine).call(method, path, query=query)
    except RefusedError as error:
        raise BuildError(
            f"the engine refused {method} {path}", error.message, "look at the engine's log, then run it again"
        ) from error


def _labels(details: Mapping[str, Any]) -> dict[str, str]:
    return (details.get("Config") or {}).get("Labels") or {}
