"""The probes of the engine, its clients and NVIDIA's toolkit."""

from __future__ import annotations

import grp
import os
import pwd
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fakes.doctor import make_wish, write_script
from fakes.engine import serving
from gpuenv.base_image import base
from gpuenv.doctor.facts import Place
from gpuenv.doctor.probes import engine as doctor_probe_engine
from gpuenv.engine import build_client, find, private
from gpuenv.engine.build_client import DockerClient
from gpuenv.engine.endpoints import Endpoint
from gpuenv.engine.model import Engine


def test_what_an_engine_says_of_itself(tmp_path: Path) -> None:
    engine = Engine("docker", f"unix://{tmp_path}/docker.sock", "a socket", "1.41")
    info: dict[str, Any] = {
        "ServerVersion": "20.10.24",
        "Driver": "vfs",
        "DockerRootDir": str(tmp_path),
        "Runtimes": {"runc": {}, "nvidia": {}},
        "RegistryConfig": {"Mirrors": ["https://mirror.example"]},
    }
    found = doctor_probe_engine.read_info(engine, info)
    assert (found.version, found.storage, found.runtimes) == ("20.10.24", "vfs", ("nvidia", "runc"))
    assert found.data.free_bytes
    assert found.has_detour
    desktop = doctor_probe_engine.read_info(engine, {**info, "OperatingSystem": "Docker Desktop"})
    assert not desktop.is_here
    assert desktop.data.free_bytes is None
    assert doctor_probe_engine.read_info(engine, {}).data == Place()
    # For root, who may enter every folder, a file in the way stands for one that is closed.
    (tmp_path / "file").touch()
    closed = doctor_probe_engine.read_info(engine, {**info, "DockerRootDir": f"{tmp_path}/file/data"})
    assert closed.data == Place(f"{tmp_path}/file/data", None)


def test_images_that_are_there_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "find_base", lambda *_, **__: None)
    monkeypatch.setattr(Engine, "build_prefix", lambda _: (["/usr/bin/docker", "build"], {}))
    with serving(tmp_path) as fake:
        fake.answers["GET /info"] = lambda *_: (HTTPStatus.OK, {"ServerVersion": "24"})
        found = doctor_probe_engine.describe(fake.engine, make_wish())
        assert "GET /images/gpuenv%3Acuda9.0-gpu/json" in fake.asked
    assert (found.version, found.builder, found.images) == ("24", "/usr/bin/docker", frozenset())


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ((HTTPStatus.INTERNAL_SERVER_ERROR, {"message": "no disk"}), "no disk"),
        ((HTTPStatus.OK, ["x"]), "not what an engine says"),
    ],
)
def test_an_engine_that_answers_and_is_in_trouble(tmp_path: Path, answer: Any, problem: str) -> None:
    with serving(tmp_path) as fake:
        fake.answers["GET /info"] = lambda *_: answer
        found = doctor_probe_engine.describe(fake.engine, make_wish())
    assert problem in (found.problem or "")
    assert found.builder is None


def test_clients_are_asked_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = write_script(tmp_path / "a/docker", 'test "$1" != --version || echo "Docker version 18.09.1, build x"')
    bare = write_script(tmp_path / "b/docker", 'test "$1" = --version && echo "Docker version 26.1.5+dfsg1, build y"')
    other = write_script(tmp_path / "c/docker", "echo a window manager's dock")
    monkeypatch.setenv("PATH", os.pathsep.join(str(path.parent) for path in (good, bare, other)))
    monkeypatch.setattr(build_client, "client_paths", lambda search: [f"{one}/docker" for one in search.split(":")])
    assert doctor_probe_engine.clients().docker == (
        DockerClient(str(good), (18, 9, 1), has_buildx=True),
        DockerClient(str(bare), (26, 1, 5), has_buildx=False),
    )


def test_the_toolkit_and_its_specifications_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = write_script(tmp_path / "bin/nvidia-container-runtime-hook", "")
    monkeypatch.setenv("PATH", str(hook.parent))
    (tmp_path / "nvidia.yaml").write_text("kind: nvidia.com/gpu\n")
    (tmp_path / "other.json").write_text('{"kind": "vendor.com/device"}')
    found = doctor_probe_engine.toolkit([tmp_path, tmp_path / "none"])
    assert found.hook == str(hook)
    assert found.cdi == (str(tmp_path / "nvidia.yaml"),)


def test_an_address_of_an_engine_that_cannot_be_read_stops_neither_us_nor_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong = Endpoint("tcp://127.0.0.1:port", "DOCKER_HOST", undo="unset DOCKER_HOST")
    monkeypatch.setattr(find, "docker_endpoints", lambda: iter([wrong]))
    monkeypatch.setattr(find, "podman_endpoints", lambda: iter(()))
    monkeypatch.setattr(private, "running", lambda: None)
    monkeypatch.setattr(private, "obstacle", lambda: None)
    found = doctor_probe_engine.engines(make_wish())
    assert found.refusals[0].endpoint == wrong
    assert "expected unix:///path or tcp://host:port" in str(found.refusals[0].error)
    assert found.private_obstacle is None


def test_who_may_open_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "docker.sock"
    path.touch()
    monkeypatch.setattr(pwd, "getpwuid", lambda _: SimpleNamespace(pw_name="me"))
    members = ["me"]
    monkeypatch.setattr(grp, "getgrgid", lambda _: SimpleNamespace(gr_name="docker", gr_mem=members))
    info = SimpleNamespace(st_gid=998, st_mode=0o140660)
    monkeypatch.setattr(Path, "stat", lambda *_, **__: info)
    assert doctor_probe_engine.look_at_group(f"unix://{path}") == ("docker", True)
    members.clear()
    assert doctor_probe_engine.look_at_group(f"unix://{path}") == ("docker", False)
    info.st_mode = 0o140600
    assert doctor_probe_engine.look_at_group(f"unix://{path}") == ("", False)


def test_a_client_is_asked_without_its_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///an/engine/that/hangs")
    monkeypatch.setenv("DOCKER_CONTEXT", "lab")
    refuse = 'case "$DOCKER_HOST$DOCKER_CONTEXT" in *hangs*|*lab*) exit 1;; esac'
    path = write_script(tmp_path / "docker", f"{refuse}; echo Docker version 9.1.")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor_probe_engine.clients().docker[0] == DockerClient(str(path), (9, 1), has_buildx=True)


def test_a_remote_engine_is_not_here_and_reaches_registries_on_its_own_way() -> None:
    found = doctor_probe_engine.read_info(Engine("docker", "tcp://10.0.0.1:2375", "x"), {"DockerRootDir": "/"})
    assert not found.is_here
    assert found.has_detour
