"""Finds one image that is current, or has it built (`build.py`)."""

from __future__ import annotations

from collections.abc import Sequence

from gpuenv.core import locking
from gpuenv.core.settings import Settings
from gpuenv.engine.model import Engine, inspect, labels_in
from gpuenv.images.context import Built, Inputs, content_key, load_inputs, lock_path
from gpuenv.variants.environment import Environment


def ensure_image(engine: Engine, environment: Environment, settings: Settings) -> Built:
    """Have the image in the engine; with nothing to do this is one request. Progress goes to standard error.

    Raises HostError (processor, disk), SourceError (CUDA, base), BuildError, EngineError. A local base that an
    image was built on stays good for it: only ``settings.base`` makes it change over. With ``settings.add`` it is
    the image with those packages; UsageError for a file that cannot be used.
    """
    if settings.add:
        from gpuenv.images import added
        from gpuenv.net import requirements

        wanted = requirements.load(settings.add)
        return added.ensure_added(engine, _ensure(engine, environment, settings), wanted)
    return _ensure(engine, environment, settings)


def _ensure(engine: Engine, environment: Environment, settings: Settings) -> Built:
    inputs = load_inputs(environment)
    built = find_image(engine, inputs, settings.base)
    if built:
        return built
    # Imported here, because a warm shell never gets so far (see `make bench`).
    from gpuenv.images import build

    with locking.held(lock_path(environment), f"another gpuenv builds {environment.tag}; waiting for it"):
        built = find_image(engine, inputs, settings.base)
        if built:
            return built
        return build.build(engine, inputs, settings)


def find_made(engine: Engine, settings: Settings, environments: Sequence[Environment]) -> Environment | None:
    """The first whose image is there and need not be built.

    One that is there and has to be built anew is not replaced by a later one.
    """
    for environment in environments:
        if inspect(engine, environment.tag) is not None:
            is_current = find_image(engine, load_inputs(environment), settings.base) is not None
            return environment if is_current else None
    return None


def find_image(engine: Engine, inputs: Inputs, base_choice: str | None) -> Built | None:
    """The image under its tag, if everything that decides it is still the same."""
    details = inspect(engine, inputs.environment.tag)
    if details is None:
        return None
    labels = labels_in(details)
    kind, identity = labels.get("gpuenv.base", ""), labels.get("gpuenv.base_identity", "")
    is_current = (
        base_choice in (None, "auto", kind)
        and (kind == "local" or (kind, identity) == ("registry", inputs.environment.base_identity))
        and labels.get("gpuenv.key") == content_key(inputs, kind, identity)
    )
    return Built(inputs.environment, details["Id"], labels) if is_current else None
