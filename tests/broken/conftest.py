"""The engine of these tests: the one that `make test-env` would use, which has the good images."""

from __future__ import annotations

import os

import pytest

from gpuenv.engine.find import find_engine
from gpuenv.engine.model import Engine


@pytest.fixture(scope="session")
def engine() -> Engine:
    found = find_engine(os.environ.get("GPUENV_ENGINE"))
    assert found is not None, "these tests need a container engine: `make engine` starts one"
    return found
