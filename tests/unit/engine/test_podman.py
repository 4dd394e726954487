"""A container as Podman's own API wants it."""

from __future__ import annotations

import json
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fakes.engine import serving
from gpuenv.engine import container as containers
from gpuenv.engine import podman
from gpuenv.engine.container import Mount, Spec
from gpuenv.engine.model import Engine
from gpuenv.host import gpu
from gpuenv.host.gpu import HostGpus

TWO = HostGpus("470.256.02", ("Tesla V100", "Tesla T4"), ("GPU-a", "GPU-b"))


def body(**changes: Any) -> dict[str, Any]:
    spec = Spec(**{"name": "n", "image": "i", "command": ("true",), "user": "7:7", "network": "bridge", **changes})
    host = containers.create_body(spec, has_init=True, has_selinux=False)["HostConfig"]
    return podman.create_body(spec, host)


def test_gpus_are_named_by_cdi() -> None:
    assert podman.cdi_devices(gpu.device_requests("all", TWO)) == ["nvidia.com/gpu=all"]
    assert podman.cdi_devices(gpu.device_requests("0,1", TWO)) == ["nvidia.com/gpu=0", "nvidia.com/gpu=1"]
    assert body(device_requests=gpu.device_requests("1", TWO))["devices"] == [{"path": "nvidia.com/gpu=1"}]


def test_it_may_do_no_more_than_in_docker() -> None:
    made = body(user="0:0", read_only=True)
    assert (made["cap_drop"], made["cap_add"]) == (["ALL"], list(containers.ROOT_CAPABILITIES))
    assert made["no_new_privileges"]
    assert made["read_only_filesystem"]
    assert [mount["destination"] for mount in made["mounts"]] == ["/dev/shm", "/tmp"]
    assert body()["cap_add"] == []


def test_the_number_of_processes_is_limited() -> None:
    assert body(tasks=4096)["resource_limits"] == {"pids": {"limit": 4096}}
    assert "resource_limits" not in body(tasks=None)


def test_the_network_and_its_ports() -> None:
    (port,) = body(port=8888)["portmappings"]
    assert port == {"host_ip": "127.0.0.1", "host_port": 8888, "container_port": 8888, "protocol": "tcp"}
    assert "netns" not in body()
    assert body(network="none")["netns"] == {"nsmode": "none"}
    assert body(network="host", port=8888)["netns"] == {"nsmode": "host"}
    assert body(network="host", port=8888)["portmappings"] == []


def test_a_folder_in_memory_and_its_owner() -> None:
    _, home, other = body(tmpfs={"/home/user": "mode=700,uid=7,gid=7,exec", "/x": "mode=1777"})["mounts"]
    assert (home["destination"], home["options"]) == ("/home/user", ["mode=700", "exec", "U"])
    assert other["options"] == ["mode=1777"]


def test_a_comma_in_a_path_and_a_volume_of_the_project(tmp_path: Path) -> None:
    mounts = (Mount("/딥러닝 1, a:b", "/work"), Mount("gpuenv-keras-7", "/home/user/.keras", is_volume=True))
    asked: list[Any] = []

    def answer(_: str, content: bytes) -> tuple[int, object]:
        asked.append(json.loads(content))
        return HTTPStatus.CREATED, {"Id": "abc"}

    with serving(tmp_path) as fake:
        fake.answers = {"POST /volumes/create": answer, f"POST {podman.CREATE_PATH}": answer}
        api = Engine("podman", fake.url, "", api_version="1.41")
        spec = Spec("n", "i", ("true",), "7:7", "bridge", mounts=mounts, log={"Type": "k8s-file"})
        assert containers.create(api, spec) == "abc"
    volume, made = asked
    assert volume == {"Name": "gpuenv-keras-7", "Labels": {"gpuenv.project": "gpuenv"}}
    assert made["mounts"][0]["source"] == "/딥러닝 1, a:b"
    assert made["volumes"] == [{"Name": "gpuenv-keras-7", "Dest": "/home/user/.keras"}]
    assert made["log_configuration"] == {"driver": "k8s-file", "size": podman.LOG_BYTES}
