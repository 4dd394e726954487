"""What a container may do, and how it is asked for."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from fakes.engine import FakeEngine, serving
from gpuenv.core import processes
from gpuenv.core.errors import EngineError
from gpuenv.engine import container as containers
from gpuenv.engine import refusals
from gpuenv.engine.container import Mount, Spec, create_body
from gpuenv.engine.model import Engine, RefusedError
from gpuenv.host import gpu
from gpuenv.host.gpu import HostGpus

SPEC = Spec(name="gpuenv-x", image="image", command=("bash", "-c", "true"), user="1234:5678", network="bridge")


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeEngine]:
    with serving(tmp_path) as engine:
        yield engine


def body(spec: Spec = SPEC, *, has_init: bool = True, has_selinux: bool = False) -> dict[str, Any]:
    return create_body(spec, has_init=has_init, has_selinux=has_selinux)


def with_changes(**changes: Any) -> Spec:
    return Spec(**{**vars(SPEC), **changes})


def test_a_container_gets_no_privileges() -> None:
    host = body()["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert host["CapAdd"] == []
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["Init"] is True
    assert "Privileged" not in host
    assert body()["User"] == "1234:5678"


def test_root_may_write_what_root_may_write_outside() -> None:
    assert body(with_changes(user="0:0"))["HostConfig"]["CapAdd"] == ["CHOWN", "DAC_OVERRIDE", "FOWNER"]
    assert body(with_changes(user="05:0"))["HostConfig"]["CapAdd"] == []


def test_selinux_does_not_hide_the_work_folder() -> None:
    assert body(has_selinux=True)["HostConfig"]["SecurityOpt"] == ["no-new-privileges", "label=disable"]


def test_a_read_only_container_has_a_folder_for_temporary_files() -> None:
    host = body(with_changes(read_only=True, tmpfs={"/home/user": "mode=700"}))["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    shared = {"/dev/shm": "mode=1777"}
    assert host["Tmpfs"] == {**shared, "/tmp": "mode=1777,exec", "/home/user": "mode=700"}
    assert body()["HostConfig"]["Tmpfs"] == shared


def test_mounts() -> None:
    bind = Mount("/a:b, c/딥러닝", "/work").as_json()
    assert bind == {"Type": "bind", "Source": "/a:b, c/딥러닝", "Target": "/work", "ReadOnly": False}
    volume = containers.volumes(7)[0].as_json()
    assert (volume["Source"], volume["Target"]) == ("gpuenv-keras-7", "/home/user/.keras")
    assert volume["VolumeOptions"] == {"Labels": {"gpuenv.project": "gpuenv"}}


def test_a_port_is_open_to_this_machine_only() -> None:
    asked = body(with_changes(port=8888))
    assert asked["HostConfig"]["PortBindings"] == {"8888/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8888"}]}
    assert "ExposedPorts" not in body(with_changes(port=8888, network="host"))


def test_the_number_of_processes_is_limited() -> None:
    """Some thousands, and what the machine's cores need."""
    assert body()["HostConfig"]["PidsLimit"] == max(4096, 64 * (os.cpu_count() or 1))
    assert body(with_changes(tasks=None))["HostConfig"]["PidsLimit"] is None


def test_labels_name_this_process() -> None:
    labels = containers.own_labels()
    pid, began = labels["gpuenv.owner"].split(":")
    assert processes.is_same(int(pid), int(began))
    assert labels["gpuenv.project"] == "gpuenv"


def test_names_differ() -> None:
    assert containers.new_name("x") != containers.new_name("x")


@pytest.mark.parametrize(
    ("information", "expected"),
    [
        ({"SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]}, True),
        ({"SecurityOptions": ["name=apparmor"]}, False),
        ({"SecurityOptions": None}, False),
        ({"SecurityOptions": ["name=seccomp,profile=default"], "Rootless": True}, True),
        ({"SecurityOptions": ["name=seccomp,profile=default"], "Rootless": False}, False),
    ],
)
def test_rootless_engines(information: dict[str, Any], expected: bool) -> None:
    assert containers.is_rootless(information) is expected


def test_root_is_the_caller_in_a_rootless_engine(fake: FakeEngine) -> None:
    caller = f"{os.getuid()}:{os.getgid()}"
    os.chown(fake.path, 1, -1) if os.getuid() == 0 else None
    fake.answers["GET /info"] = lambda *_: (HTTPStatus.OK, {"SecurityOptions": ["name=rootless"]})
    assert containers.user_inside(fake.engine) == "0:0"
    fake.answers["GET /info"] = lambda *_: (HTTPStatus.OK, {"SecurityOptions": []})
    assert containers.user_inside(fake.engine) == caller


@pytest.mark.skipif(os.getuid() != 0, reason="the engine of root has a socket of root")
def test_the_engine_of_root_is_not_asked(fake: FakeEngine) -> None:
    assert containers.user_inside(fake.engine) == "0:0"
    assert fake.asked == []


def test_only_groups_that_help_are_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = tmp_path.stat().st_gid
    monkeypatch.setattr(os, "getgroups", lambda: [0, group, 4242])
    monkeypatch.setattr(os, "getgid", lambda: 4242)
    expected = (group,) if group else ()
    assert containers.shared_groups(tmp_path, tmp_path / "missing") == expected


def test_an_engine_without_init_gets_another_chance(fake: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    inits: list[bool] = []

    def create(_: str, content: bytes) -> tuple[int, object]:
        inits.append(json.loads(content)["HostConfig"]["Init"])
        return HTTPStatus.CREATED, {"Id": "abc"}

    def start(_: str, __: bytes) -> tuple[int, object]:
        if inits[-1]:
            message = 'exec: "docker-init": executable file not found in $PATH'
            return HTTPStatus.BAD_REQUEST, {"message": message}
        return HTTPStatus.NO_CONTENT, None

    fake.answers = {"POST /containers/create": create, "POST /containers/abc/start": start}
    api = fake.engine

    def launch(container_id: str) -> str:
        api.call("POST", f"/containers/{container_id}/start")
        return f"{container_id} runs"

    assert containers.start(api, SPEC, launch) == "abc runs"
    assert inits == [True, False]
    assert "no init program" in capsys.readouterr().err


#: Of crun, runc, Podman and Docker.
NO_LIMIT = (
    "crun: the requested cgroup controller `pids` is not available: OCI runtime error",
    "runc create failed: unable to apply cgroup configuration: cannot set pids limit: container could not join cgroup",
    "Your kernel does not support pids limit capabilities or the cgroup is not mounted",
)


@pytest.mark.parametrize("when", ["made", "started"])
@pytest.mark.parametrize("message", NO_LIMIT)
def test_an_engine_that_cannot_limit_processes_gets_another_chance(
    fake: FakeEngine, capsys: pytest.CaptureFixture[str], when: str, message: str
) -> None:
    limits: list[Any] = []

    def create(_: str, content: bytes) -> tuple[int, object]:
        limits.append(json.loads(content)["HostConfig"]["PidsLimit"])
        if when == "made" and limits[-1]:
            return HTTPStatus.INTERNAL_SERVER_ERROR, {"message": message}
        return HTTPStatus.CREATED, {"Id": "abc"}

    def launch(_: str) -> str:
        if limits[-1]:
            raise RefusedError(500, message)
        return "started"

    fake.answers = {"POST /containers/create": create, "DELETE": lambda *_: (HTTPStatus.NO_CONTENT, None)}
    assert containers.start(fake.engine, SPEC, launch) == "started"
    assert limits == [SPEC.tasks, None]
    assert "cannot limit the processes" in capsys.readouterr().err


@pytest.mark.parametrize("has_cdi", [True, False])
def test_docker_is_asked_for_gpus_by_cdi_where_it_has_nothing_else(
    fake: FakeEngine, capsys: pytest.CaptureFixture[str], has_cdi: bool
) -> None:
    asked: list[dict[str, Any]] = []

    def create(_: str, content: bytes) -> tuple[int, object]:
        asked.extend(json.loads(content)["HostConfig"]["DeviceRequests"])
        return HTTPStatus.CREATED, {"Id": "abc"}

    def launch(_: str) -> str:
        if asked[-1]["Driver"] != "cdi" or not has_cdi:
            name = asked[-1]["Driver"]
            raise RefusedError(500, f'could not select device driver "{name}" with capabilities: [[gpu]]')
        return "started"

    fake.answers = {"POST /containers/create": create, "DELETE": lambda *_: (HTTPStatus.NO_CONTENT, None)}
    host = HostGpus("470.256.02", ("Tesla V100", "Tesla T4"), ("GPU-a", "GPU-b"))
    spec = dataclasses.replace(SPEC, device_requests=gpu.device_requests("1", host))
    if has_cdi:
        assert containers.start(fake.engine, spec, launch) == "started"
    else:
        with pytest.raises(EngineError, match="with a GPU"):
            containers.start(fake.engine, spec, launch)
    assert [request["Driver"] for request in asked] == ["", "cdi"]
    assert asked[-1]["DeviceIDs"] == ["nvidia.com/gpu=1"]
    assert "Container Device Interface" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("setting up CDI devices: unresolvable CDI devices nvidia.com/gpu=all", "nvidia-ctk cdi generate"),
        ('could not select device driver "" with capabilities: [[gpu]]', "nvidia-ctk runtime configure"),
        ("nvidia-container-cli: requirement error: unsatisfied condition: cuda>=10.0", "GPUS=none"),
        ("Bind for 127.0.0.1:8888 failed: port is already allocated", "set PORT to another"),
        ("invalid mount config: bind source path does not exist: /w", "set WORK"),
        ("something else", "make engine"),
    ],
)
def test_refusals_say_what_to_do(fake: FakeEngine, message: str, expected: str) -> None:
    fake.answers["POST /containers/create"] = lambda *_: (HTTPStatus.INTERNAL_SERVER_ERROR, {"message": message})
    spec = dataclasses.replace(SPEC, device_requests=[{"Driver": "", "DeviceIDs": []}])
    with pytest.raises(EngineError) as caught:
        containers.start(fake.engine, spec, str)
    assert expected in caught.value.next_step
    assert message in caught.value.why
    told = refusals.explain_refusal(spec, RefusedError(500, message, is_told=True))
    assert (told.what, told.next_step) == (caught.value.what, caught.value.next_step)
    assert "above" in told.why
    assert message not in str(told)


def test_missing_init_is_told_from_a_missing_program() -> None:
    assert not refusals.is_missing_init('exec: "bash": executable file not found in $PATH')
    assert refusals.is_missing_init("container-init binary not found on the host")


def test_an_engine_that_is_gone(tmp_path: Path) -> None:
    gone = Engine("docker", f"unix://{tmp_path}/none.sock", "", api_version="1.41")
    with pytest.raises(EngineError, match="stopped answering"):
        containers.start(gone, SPEC, str)
