"""One image: there already and current, or built now (`image_build.py`)."""

from __future__ import annotations

import http
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpuenv.core import locking as filelock
from gpuenv.core import paths
from gpuenv.core.errors import EngineError
from gpuenv.engine.api import Api, RefusedError
from gpuenv.engine.model import Engine
from gpuenv.images.context import Inputs, content_key, load_inputs, tag_of
from gpuenv.variants.model import CudaLock, Variant

__all__ = ["Built", "content_key", "ensure_image", "find_image", "tag_of"]


@dataclass(frozen=True)
class Built:
    """An image that is current. ``seconds`` is how long it took to build, None if it was there."""

    tag: str
    id: str
    labels: dict[str, str]
    variant: Variant
    flavor: str
    seconds: float | None = None


def ensure_image(  # noqa: PLR0913 (what a user can choose, all by keyword)
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
    # Imported here, because a warm shell never gets so far (see `make bench`).
    from gpuenv.images import build as image_build

    lock = paths.state_dir() / "images" / f"{inputs.file_name}.lock"
    with filelock.held(lock, f"another gpuenv builds {inputs.tag}; waiting for it"):
        built = find_image(engine, inputs, base_choice)
        if built:
            return built
        image_id, labels, seconds = image_build.build(engine, inputs, base_choice, sources_dir)
        return Built(inputs.tag, image_id, labels, variant, flavor, seconds)


def find_image(engine: Engine, inputs: Inputs, base_choice: str | None) -> Built | None:
    """The image under its tag, if everything that decides it is still the same."""
    details = inspect(engine, inputs.tag)
    if details is None:
        return None
    labels = labels_in(details)
    kind, identity = labels.get("gpuenv.base", ""), labels.get("gpuenv.base_identity", "")
    if base_choice not in (None, "auto", kind) or not _is_current_base(inputs, kind, identity):
        return None
    if labels.get("gpuenv.key") != content_key(inputs, kind, identity):
        return None
    return Built(inputs.tag, details["Id"], labels, inputs.variant, inputs.flavor)


def _is_current_base(inputs: Inputs, kind: str, identity: str) -> bool:
    pinned = inputs.variant.base.digest
    if inputs.needs_builder:
        pinned += f"+{inputs.variant.builder.digest}"
    return kind == "local" or (kind == "registry" and identity == pinned)


def inspect(engine: Engine, reference: str) -> dict[str, Any] | None:
    """What the engine knows of an image, or None if it has none of that name. Raises EngineError."""
    try:
        details: dict[str, Any] = Api(engine).call("GET", f"/images/{reference}/json")
    except RefusedError as error:
        if error.status == http.HTTPStatus.NOT_FOUND:
            return None
        raise EngineError(f"{reference} cannot be looked at", error.message, "look at the engine's log") from error
    return details


def labels_in(details: Mapping[str, Any]) -> dict[str, str]:
    """The labels of an inspected image."""
    return (details.get("Config") or {}).get("Labels") or {}
