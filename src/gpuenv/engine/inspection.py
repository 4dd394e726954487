"""Inspects an image of an engine. Part of every warm start: no SDK."""

from __future__ import annotations

import http
from collections.abc import Mapping
from typing import Any

from gpuenv.core.errors import EngineError
from gpuenv.engine.api import Api, RefusedError
from gpuenv.engine.model import Engine


def inspect(engine: Engine, reference: str) -> dict[str, Any] | None:
    """What the engine knows of an image; None if it has none of that name. Raises EngineError."""
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
