"""Each check of `gpuenv.doctor.checks.engine` is seen giving every severity that it has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fakes.doctor import (
    GB,
    NO_ENGINE,
    RUNNING,
    Case,
    all_images,
    assert_says,
    assert_seen,
    machine,
    make_facts,
    running,
)
from gpuenv.doctor import command as doctor
from gpuenv.doctor import findings
from gpuenv.doctor.checks import engine as checks
from gpuenv.doctor.facts import (
    Clients,
    Engines,
    Place,
    Storage,
)
from gpuenv.engine.build_client import DockerClient
from gpuenv.engine.endpoints import Endpoint, UnreachableError
from gpuenv.engine.find import Refused
from gpuenv.engine.model import Engine


def room(free_gb: int) -> Storage:
    place = Place("/cache", free_gb * GB)
    return Storage(place, place)


PODMAN = Engine("podman", "unix:///run/podman/podman.sock", "Podman's socket of the system", "1.41")
OLD_ENGINE = replace(RUNNING.engine, api_version="1.38")
REMOTE = replace(RUNNING.engine, url="tcp://10.0.0.1:2375")
SOCKET = Endpoint("unix:///var/run/docker.sock", "its usual socket")
NAMED = Endpoint("garbage", "DOCKER_HOST", undo="unset DOCKER_HOST")
CONTEXT = Endpoint("garbage", "context 'lab'", undo="docker context use default")


def refused(reason: str, kind: str = "", endpoint: Endpoint = SOCKET) -> Refused:
    return Refused(endpoint, UnreachableError(reason, kind))


def without_engine(*refusals: Refused, **known: Any) -> Engines:
    return replace(NO_ENGINE, refusals=refusals, **known)


DENIED = refused("permission denied on /var/run/docker.sock", "denied")
ABSENT = refused("/var/run/docker.sock is not there")
STOPPED = refused("nothing listens on /var/run/docker.sock", "stopped")
SILENT = refused("/var/run/docker.sock did not answer within 2 s", "silent")
CHOSEN = refused("garbage: expected unix:///path or tcp://host:port", endpoint=NAMED)
OLD_CLIENT = Clients((DockerClient("/usr/bin/docker", (18, 9, 1), has_buildx=False),))


#: Check, severity, a part of the message, a part of the remedy, and what is changed of the good machine.
CASES: list[Case] = [
    Case("memory", "ok", "16.0 GB", "", []),
    Case("memory", "unknown", "does not say", "free --human", [machine(memory_bytes=None)]),
    Case("memory", "unknown", "does not say", "vm_stat", [machine(system="macos", memory_bytes=None)]),
    Case("memory", "warning", "a build needs 2 GB", "free", [machine(memory_bytes=3 * GB // 2)]),
    Case("memory", "error", "0.5 GB", ".wslconfig", [machine(system="wsl2", memory_bytes=GB // 2)]),
    Case("engine", "ok", "Docker at its usual socket", "", []),
    Case(
        "engine", "warning", "install docker.io and start a private", "apt-get", [Engines(None, missing=("docker.io",))]
    ),
    Case("engine", "warning", "would start a private", "systemctl start docker", [Engines(None)]),
    Case("engine", "warning", "needs root", "dnf install moby", [NO_ENGINE, machine(system="fedora")]),
    Case("engine", "warning", "nothing listens", "systemctl start docker", [without_engine(STOPPED)]),
    Case("engine", "warning", "is not there", "pacman", [without_engine(ABSENT), machine(system="arch")]),
    Case(
        "engine",
        "warning",
        "DOCKER_HOST names an engine that does not answer (garbage",
        "unset DOCKER_HOST",
        [Engines(RUNNING, (CHOSEN,))],
    ),
    Case("engine", "warning", "none answers (garbage", "unset DOCKER_HOST", [without_engine(CHOSEN)]),
    Case(
        "engine",
        "warning",
        "none answers",
        "docker context use default",
        [without_engine(replace(CHOSEN, endpoint=CONTEXT))],
    ),
    Case("engine", "warning", "permission denied", "check `socket`", [without_engine(DENIED)]),
    Case("engine", "warning", "did not answer", "restart docker", [without_engine(SILENT)]),
    Case("engine", "warning", "would start a private", "make engine", [Engines(None), machine(init="")]),
    Case("socket", "ok", "no engine refuses", "", []),
    Case(
        "socket",
        "error",
        "added to the group docker after logging in",
        "newgrp docker",
        [without_engine(DENIED, group="docker", is_member=True)],
    ),
    Case(
        "socket",
        "error",
        "permission denied",
        "usermod -aG staff $USER && newgrp staff",
        [without_engine(DENIED, group="staff")],
    ),
    Case(
        "socket",
        "error",
        "no group but root's",
        "chgrp docker /var/run/docker.sock",
        [without_engine(DENIED, group="")],
    ),
    Case(
        "socket",
        "warning",
        "Podman's own engine of this user",
        "systemctl --user enable --now podman.socket",
        [without_engine(replace(DENIED, endpoint=replace(SOCKET, is_podman=True)))],
    ),
    Case("socket", "warning", "another engine is used", "usermod", [Engines(RUNNING, (DENIED,))]),
    Case("socket", "error", "permission denied", "usermod -aG docker", [without_engine(DENIED)]),
    Case("engine-version", "ok", "API 1.43", "", []),
    Case("engine-version", "ok", "no engine", "", [NO_ENGINE]),
    Case("engine-version", "error", "too old", "docker", [running(version="18.06", engine=OLD_ENGINE)]),
    Case("builder", "ok", "/usr/bin/docker builds", "", []),
    Case("builder", "ok", "BuildKit", "", [NO_ENGINE]),
    Case("builder", "ok", "comes with the engine", "", [NO_ENGINE, Clients()]),
    Case(
        "builder",
        "warning",
        "has no buildx plugin",
        "docker-buildx",
        [NO_ENGINE, Clients((DockerClient("/usr/bin/docker", (26, 1), has_buildx=False),))],
    ),
    Case(
        "builder",
        "warning",
        "built already",
        "docker-buildx",
        [running(builder=None, builder_problem="no buildx plugin", images=all_images())],
    ),
    Case("builder", "error", "no buildx plugin", "buildx", [running(builder=None, builder_problem="no buildx plugin")]),
    Case("client", "ok", "24.0.7", "", []),
    Case("client", "ok", "podman is there", "", [Clients(podman="/usr/bin/podman"), running(engine=PODMAN)]),
    Case("client", "ok", "no docker program", "", [Clients(), NO_ENGINE]),
    Case("client", "error", "no client program", "docker-cli", [Clients()]),
    Case("client", "error", "no client program", "docker-cli", [Clients(podman="/usr/bin/podman")]),
    Case("client", "error", "no client program", "docker-cli", [Clients(), running(engine=PODMAN)]),
    Case(
        "client",
        "warning",
        "--gpus",
        "docker",
        [OLD_CLIENT],
    ),
    Case("storage", "ok", "overlay2", "", []),
    Case("storage", "ok", "no engine", "", [NO_ENGINE]),
    Case("storage", "warning", "whole copy", "overlay2", [running(storage="vfs")]),
    Case("engine", "error", "is in trouble: it crashed", "systemctl restart docker", [running(problem="it crashed")]),
    Case("engine", "error", "in trouble", "where it runs", [running(problem="it crashed", engine=REMOTE)]),
    Case("builder", "unknown", "does not say", "docker info", [running(problem="it crashed", builder=None)]),
    Case("storage", "unknown", "does not say", "docker info", [running(problem="it crashed")]),
    Case("engine-memory", "unknown", "does not say", "docker info", [running(problem="it crashed")]),
    Case("engine-memory", "ok", "no engine", "", [NO_ENGINE]),
    Case("engine-memory", "ok", "not told", "", []),
    Case("engine-memory", "ok", "8.0 GB", "", [running(memory_bytes=8 * GB)]),
    Case("engine-memory", "warning", "a build needs", "Settings", [running(memory_bytes=3 * GB // 2)]),
    Case(
        "engine-memory",
        "error",
        "0.5 GB",
        ".wslconfig",
        [running(memory_bytes=GB // 2), machine(system="wsl2")],
    ),
    Case("disk", "ok", "100.0 GB free in /var/lib/docker", "", []),
    Case("disk", "ok", "built already", "", [running(images=all_images(), data=Place("/data", 0))]),
    Case("disk", "ok", "100.0 GB free in /private", "", [Engines(None)]),
    Case("disk", "unknown", "cannot be seen", "docker system df", [running(data=Place())]),
    Case("disk", "warning", "cuda10.0-gpu needs 9 GB", "prune", [running(data=Place("/data", 5 * GB))]),
    Case("disk", "error", "needs 4 GB", "prune", [running(data=Place("/data", GB))]),
    Case("disk", "error", "1.0 GB free in /cache", "GPUENV_CACHE_DIR", [NO_ENGINE, room(1)]),
    Case("disk", "error", "1.0 GB free in /cache", "GPUENV_STATE_DIR", [Engines(None), room(1)]),
]


@pytest.mark.parametrize(Case._fields, CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_check_says_what_it_sees(name: str, severity: str, message: str, remedy: str, changes: list[object]) -> None:
    assert_says(Case(name, severity, message, remedy, changes))


def test_every_check_is_seen_to_pass_and_to_fail() -> None:
    assert_seen(checks, CASES)


@pytest.mark.parametrize(
    ("is_root", "init", "system", "remedy"),
    [
        (False, findings.SYSTEMD, "debian", "sudo systemctl start docker"),
        (True, findings.SYSTEMD, "debian", "systemctl start docker"),
        (False, findings.SYSV, "debian", "sudo service docker start"),
        (True, findings.SYSV, "debian", "service docker start"),
        (True, findings.OPENRC, "linux", "rc-service docker start"),
        (False, "", "fedora", "sudo sh -c 'dockerd >/var/log/dockerd.log 2>&1 &'"),
    ],
)
def test_an_engine_is_started_by_what_this_user_and_this_system_have(
    is_root: bool, init: str, system: str, remedy: str
) -> None:
    here = machine(is_root=is_root, init=init, system=system)
    found = doctor.examine(make_facts(without_engine(STOPPED), here))
    assert next(one.remedy for one in found if one.check == "engine") == remedy
