"""Provides the image that everything is built on: pulled by digest, or made on the spot.

``auto`` takes, in this order: the pinned image if the engine has it, a local base that was made
before, the pinned image from the registry, a local base made now. So a machine keeps what it has, and
only ``BASE=registry`` or ``BASE=local`` makes it change over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpuenv.base_image import local as local_base
from gpuenv.base_image import registry
from gpuenv.base_image.local import Base
from gpuenv.base_image.registry import RegistryUnreachableError
from gpuenv.core import ui
from gpuenv.core.errors import EngineError, SourceError
from gpuenv.engine.model import Engine, inspect
from gpuenv.variants.environment import Environment
from gpuenv.variants.model import BaseImage


def ensure_base(engine: Engine, environment: Environment, choice: str | None) -> Base:
    """Have a base in the engine. ``choice``: ``registry``, ``local``, or auto.

    Raises SourceError if the registry refuses, or has to be reached and cannot; HostError if no base can be made.
    """
    if choice == "local":
        return _local(engine, environment)
    there = None if choice == "registry" else find_base(engine, environment)
    if there is not None:
        return there
    try:
        for image in environment.bases:
            _pull_missing(engine, image)
    except RegistryUnreachableError as error:
        if choice != "registry":
            return _local(engine, environment, f"the registry cannot be reached ({error})")
        raise SourceError(
            f"{environment.variant.base.pinned} could not be pulled",
            str(error),
            "set BASE=local to make a base on this machine, or check network and proxy of the engine",
        ) from error
    return _registry_base(environment)


def find_base(engine: Engine, environment: Environment) -> Base | None:
    """The base that the engine has already: the pinned one, or one that was made here."""
    if all(registry.has_pinned(engine, image) for image in environment.bases):
        return _registry_base(environment)
    return local_base.find_made(engine, environment)


def config_of(engine: Engine, environment: Environment, base: Base) -> Mapping[str, Any]:
    """The settings of a base that the engine was just found to have. Raises EngineError if it is gone."""
    is_pinned = base.kind == "registry"
    details = registry.inspect_pinned(engine, environment.variant.base) if is_pinned else inspect(engine, base.image)
    if details is None:
        raise EngineError(f"the engine has lost {base.image}", "somebody removed it a moment ago", "try again")
    config: Mapping[str, Any] = details["Config"]
    return config


def _pull_missing(engine: Engine, image: BaseImage) -> None:
    """Raises RegistryUnreachableError quickly where the engine would try for a long time."""
    if registry.has_pinned(engine, image):
        return
    if not registry.has_detour(engine, engine.call("GET", "/info")):
        reason = registry.probe(registry.split_name(image.reference)[0])
        if reason:
            raise RegistryUnreachableError(reason)
    registry.pull(engine, image)


def _registry_base(environment: Environment) -> Base:
    variant = environment.variant
    return Base(variant.base.pinned, variant.builder.pinned, "registry", environment.base_identity)


def _local(engine: Engine, environment: Environment, why: str | None = None) -> Base:
    made = local_base.find_made(engine, environment)
    if made is not None:
        return made
    plan = local_base.plan(environment.variant)
    remedy = "; for the published one make the registry reachable and set BASE=registry" if why else ""
    ui.say(f"{why or 'BASE=local'}: making a base from {plan.summary}{remedy}")
    return local_base.make(engine, plan, environment.flavor)
