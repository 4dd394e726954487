"""An engine for the session: the one that ``DOCKER_HOST`` names, or a private one that is started for it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from fakes.engine import sdk
from gpuenv.engine.find import find_engine
from gpuenv.engine.model import Engine


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """State and cache of the session, as the variables that name them."""
    return {
        f"GPUENV_{name}_DIR": str(tmp_path_factory.mktemp(f"session-{name.lower()}")) for name in ("STATE", "CACHE")
    }


@pytest.fixture(scope="session")
def engine(folders: dict[str, str]) -> Iterator[Engine]:
    """A real engine, of any kind but a virtual environment."""
    if os.environ.get("DOCKER_HOST"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GPUENV_INSTALL_ENGINE", "0")
            # Of either kind: Podman's service has Docker's API (see `tests/podman.sh`).
            found = find_engine("auto")
        assert found is not None
        assert found.url == os.environ["DOCKER_HOST"]
        yield found
        return
    with pytest.MonkeyPatch.context() as patch:
        for name, value in folders.items():
            patch.setenv(name, value)
        from gpuenv.engine import private

        started = find_engine("private")
        assert started is not None
        try:
            yield started
        finally:
            sdk(started).close()
            private.stop()
