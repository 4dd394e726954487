"""The engine of these tests: the one that `make test-env` would use, which has the good images."""

from __future__ import annotations

import os

import pytest

import suites
from gpuenv.engine.find import find_engine
from gpuenv.engine.model import Engine

#: Seconds for one test. The first one builds all images and runs all checks on them (about 300 s on two cores).
TIMEOUT_S = 3600


def pytest_configure(config: pytest.Config) -> None:
    suites.prepare(config)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Limit the time of every test of this folder that sets no limit itself."""
    if item.get_closest_marker("timeout") is None:
        item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.fixture(scope="session")
def engine() -> Engine:
    found = find_engine(os.environ.get("GPUENV_ENGINE"))
    assert found is not None, "these tests need a container engine: `make engine` starts one"
    return found
