"""An engine for the session, and a variant that builds in seconds.

The engine is the one that ``DOCKER_HOST`` names. Without it a private one is started for the session, in
a folder of its own, and stopped and removed at the end (that needs root, as `make engine` does).
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import suites
from fakes.engine import sdk
from gpuenv.engine.model import Engine
from gpuenv.variants.locks import Pin
from tiny import engines
from tiny.command import Gpuenv, OwnEngine, copy_bases, plain_environment
from tiny.index import Index, served
from tiny.variant import Tiny, fetch_tools, make_tiny

#: Seconds for one test. The first one may install and start an engine and make a base image.
TIMEOUT_S = 900

folders, engine = engines.folders, engines.engine


def pytest_configure(config: pytest.Config) -> None:
    suites.prepare(config)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Limit the time of every test of this folder that sets no limit itself."""
    if item.get_closest_marker("timeout") is None:
        item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Pin, ...]]:
    """The real pip, setuptools and wheel, fetched once."""
    folder = tmp_path_factory.mktemp("tools")
    return folder, fetch_tools(folder)


@pytest.fixture
def authority(tmp_path: Path) -> tuple[Path, tuple[Path, Path]]:
    """A certificate authority that nobody knows, and a certificate of it for the loopback address, with its key."""
    folder = tmp_path / "tls"
    folder.mkdir()
    (folder / "extensions").write_text("subjectAltName=IP:127.0.0.1\n")
    commands = (
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=gpuenv-test-ca",
        "req -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -subj /CN=127.0.0.1",
        "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 2 -extfile extensions",
    )
    for command in commands:
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    return folder / "ca.pem", (folder / "cert.pem", folder / "key.pem")


def remove_image(engine: Engine, tag: str) -> None:
    from docker.errors import NotFound

    try:
        sdk(engine).images.remove(tag)
    except NotFound:
        return


@pytest.fixture
def tiny(tmp_path: Path, tools: tuple[Path, tuple[Pin, ...]], engine: Engine) -> Iterator[Tiny]:
    """A tiny variant of this test's own; its images are removed at the end."""
    made = make_tiny(tmp_path, f"tiny-{secrets.token_hex(4)}", *tools)
    yield made
    for image in engine.listed("images", f"gpuenv.variant={made.name}"):
        for tag in image["RepoTags"]:
            remove_image(engine, tag)


@pytest.fixture
def index(tiny: Tiny) -> Iterator[Index]:
    """The index that has the tiny variant's packages."""
    with served(tiny.packages) as index:
        yield index


@pytest.fixture
def gpuenv(engine: Engine, tiny: Tiny, index: Index, folders: dict[str, str], tmp_path: Path) -> Iterator[Gpuenv]:
    """The command, set up for the session's engine, the tiny variant and the loopback index."""
    settings = {
        "DOCKER_HOST": engine.url,
        "GPUENV_ENVS_DIR": str(tiny.envs),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": index.url,
        "HOME": str(tmp_path),
    }
    made = Gpuenv({**plain_environment(), **folders, **settings}, tiny)
    yield made
    for process in made.running:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def own_engine(engine: Engine, gpuenv: Gpuenv, tmp_path: Path) -> Iterator[OwnEngine]:
    """A private engine that a test may kill or empty; it has the session's base. Needs root."""
    state = tmp_path / "state"
    own = {"GPUENV_STATE_DIR": str(state)}
    started = gpuenv.run("engine", "--engine", "private", **own)
    assert started.returncode == 0, started.stderr
    url = started.stdout.strip().partition("=")[2]
    try:
        copy_bases(sdk(engine), url)
        yield OwnEngine(url, int(json.loads((state / "engine/daemon.json").read_text())["pid"]), state)
    finally:
        stopped = gpuenv.run("engine-stop", **own)
        for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
            # What an engine mounted for a build outlives it when it is killed.
            if line.split()[4].startswith(str(tmp_path)):
                subprocess.run(["umount", "--lazy", line.split()[4]], check=True)
        assert stopped.returncode == 0, stopped.stderr
