"""Finds one image that is current, or has it built (`build.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gpuenv.core import locking, paths
from gpuenv.engine.inspection import inspect, labels_in
from gpuenv.engine.model import Engine
from gpuenv.images.context import Inputs, content_key, load_inputs
from gpuenv.variants.model import CudaLock, Variant


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
    from gpuenv.images import build

    lock = paths.state_dir() / "images" / f"{inputs.file_name}.lock"
    with locking.held(lock, f"another gpuenv builds {inputs.tag}; waiting for it"):
        built = find_image(engine, inputs, base_choice)
        if built:
            return built
        image_id, labels, seconds = build.build(engine, inputs, base_choice, sources_dir)
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
