"""`make clean` removes what the project made, and nothing else."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker import DockerClient

from gpuenv.core import paths, processes
from gpuenv.engine import reaper
from tiny.command import Gpuenv, OwnEngine

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="a private engine needs root")

OURS = {"gpuenv.project": "gpuenv"}


@pytest.fixture
def client(own_engine: OwnEngine) -> Iterator[DockerClient]:
    client = docker.DockerClient(base_url=own_engine.url)
    yield client
    client.close()


def make_image(client: DockerClient, name: str, labels: dict[str, str]) -> None:
    """An image of one file, which is its name, so that no two are the same."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        member = tarfile.TarInfo("name")
        member.size = len(name)
        archive.addfile(member, io.BytesIO(name.encode()))
    repository, tag = name.split(":")
    changes = [f"LABEL {key}={value}" for key, value in labels.items()] + ['CMD ["true"]']
    client.api.import_image_from_data(content.getvalue(), repository=repository, tag=tag, changes=changes)


def test_clean(gpuenv: Gpuenv, own_engine: OwnEngine, client: DockerClient, tmp_path: Path) -> None:
    for name, labels in (
        ("gpuenv:v-cpu", OURS),
        ("gpuenv-base:0123", OURS),
        ("built-on-ours:1", OURS),
        ("foreign:1", {}),
        ("gpuenv:by-somebody-else", {}),
    ):
        make_image(client, name, labels)
    here = {**OURS, "gpuenv.owner": "1:1", "gpuenv.host": reaper.host_id()}
    client.containers.create("gpuenv:v-cpu", name="of-ours", labels=here)
    # Killed after its container had been started: that still runs, and has a volume without a name.
    mounts = [*(f"{folder}:{folder}:ro" for folder in ("/bin", "/lib", "/lib64", "/usr")), "/anonymous"]
    client.containers.run("gpuenv:v-cpu", "sleep 600", name="runs", labels=here, volumes=mounts, detach=True)
    assert client.containers.get("runs").status == "running"
    assert len(client.volumes.list()) == 1
    # Others share the engine.
    client.containers.create("foreign:1", name="of-another-machine", labels={**here, "gpuenv.host": "elsewhere"})
    client.containers.create("built-on-ours:1", name="by-hand")
    client.volumes.create("gpuenv-keras-0", labels=OURS)
    client.volumes.create("gpuenv-keras-4711", labels=OURS)
    client.volumes.create("foreign")
    cache, state = tmp_path / "cache", tmp_path / "other-state"
    (cache / "sources").mkdir(parents=True)
    (cache / "checkouts").mkdir()
    # As a command that used it left it.
    paths._note(cache, paths.project_root())
    (cache / "thesis").mkdir()
    folders = {"GPUENV_CACHE_DIR": str(cache), "GPUENV_STATE_DIR": str(state)}

    # Somebody put a thesis beside what is ours.
    done = gpuenv.run("clean", DOCKER_HOST=own_engine.url, **folders)
    assert "thesis" in done.stderr
    assert (cache / "sources").exists()
    done = gpuenv.run("clean", "--yes", DOCKER_HOST=own_engine.url, **folders)
    assert done.returncode == 0, done.stderr
    assert "removed image gpuenv:v-cpu" in done.stderr
    tags = {tag for image in client.images.list() for tag in image.tags}
    assert tags == {"built-on-ours:1", "foreign:1", "gpuenv:by-somebody-else"}
    left = {container.name for container in client.containers.list(all=True)}
    assert left == {"by-hand", "of-another-machine"}
    assert sorted(volume.name for volume in client.volumes.list()) == ["foreign", "gpuenv-keras-4711"]
    assert sorted(path.name for path in cache.iterdir()) == ["checkouts", "thesis"]

    # With the state folder that the engine belongs to, the engine goes as a whole.
    folders["GPUENV_STATE_DIR"] = str(own_engine.state)
    done = gpuenv.run("clean", DOCKER_HOST=own_engine.url, **folders)
    assert done.returncode != 0
    for held in ("nothing was removed", "container by-hand", "image built-on-ours:1", "volume foreign", "YES=1"):
        assert held in done.stderr
    assert processes.start_time(own_engine.pid) is not None
    done = gpuenv.run("clean", "--yes", DOCKER_HOST=own_engine.url, **folders)
    assert done.returncode == 0, done.stderr
    assert "removed the private engine" in done.stderr
    assert not own_engine.state.exists()
    assert processes.start_time(own_engine.pid) is None
    again = gpuenv.run("clean", "--yes", "--engine", "venv", **folders)
    assert "nothing to remove" in again.stderr
