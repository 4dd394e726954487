"""A plugin for the harness' own pytest: on a broken target only the checks run that its row names.

``GPUENV_BROKEN`` holds JSON: the identity of each target, and the id of its image.
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from gpuenv.engine import container as containers
from gpuenv.engine.container import Spec

from .table import Fault, load_faults


def pytest_configure(config: pytest.Config) -> None:
    """Containers of an image whose fault is the container's get what the row says."""
    by_image = {image: load_faults()[name] for name, image in json.loads(os.environ["GPUENV_BROKEN"]).items()}
    create_body = containers.create_body

    def create_broken(spec: Spec, **settings: bool) -> dict[str, Any]:
        body = create_body(spec, **settings)
        return broken_body(body, by_image[spec.image]) if spec.image in by_image else body

    containers.create_body = create_broken


def broken_body(body: dict[str, Any], fault: Fault) -> dict[str, Any]:
    """The request for a container, with what the fault sets."""
    host = {name: value for name, value in fault.container.items() if name != "User"}
    return {**body, "User": fault.container.get("User", body["User"]), "HostConfig": {**body["HostConfig"], **host}}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what a fault's row does not name."""
    faults = {fault.identity: fault for fault in load_faults().values()}
    items[:] = [item for item in items if _is_selected(dict(item.user_properties), faults)]


def _is_selected(properties: dict[str, object], faults: dict[str, Fault]) -> bool:
    return "target" in properties and faults[str(properties["target"])].is_selected(str(properties["check"]))
