"""A machine on which nothing is wrong, as facts of `make doctor`; tests change what they are about."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from gpuenv.doctor import command as doctor
from gpuenv.doctor import routes as doctor_routes
from gpuenv.doctor.facts import (
    Clients,
    Clock,
    Conda,
    Engines,
    Gpus,
    Machine,
    Memory,
    Network,
    Place,
    Pythons,
    Running,
    Storage,
    Toolkit,
    Variables,
    Wish,
)
from gpuenv.doctor.findings import Finding
from gpuenv.doctor.gather import Facts, Unanswered
from gpuenv.doctor.probes import engine as doctor_probe_engine
from gpuenv.doctor.probes import gpu as doctor_probe_gpu
from gpuenv.doctor.probes import host as doctor_probe_host
from gpuenv.engine.build_client import DockerClient
from gpuenv.engine.model import Engine
from gpuenv.host import systems
from gpuenv.host.gpu import HostGpus
from gpuenv.host.pythons import LocalPython
from gpuenv.net.questions import Answer
from gpuenv.variants import model as variants
from gpuenv.variants.compat import Card
from gpuenv.variants.kinds import FLAVORS
from simulated.host.build import HOOK_NAME
from simulated.host.scenario import Scenario

NOW = 1_700_000_000.0
GB = 10**9
HOST = HostGpus("450.51.06", ("Tesla V100",), ("GPU-1",))

MACHINE = Machine("debian", "x86_64", "6.1.0-18-amd64", "glibc 2.36", frozenset({"sse4_2", "avx"}), 16 * GB)
STORAGE = Storage(Place("/cache", 100 * GB), Place("/private", 100 * GB))
RUNNING = Running(
    Engine("docker", "unix:///var/run/docker.sock", "Docker at its usual socket", "1.43"),
    version="24.0.7",
    storage="overlay2",
    data=Place("/var/lib/docker", 100 * GB),
    builder="/usr/bin/docker",
)
ENGINES = Engines(RUNNING)
NO_ENGINE = Engines(None, private_obstacle="a private engine needs root", missing=("docker.io", "iptables"))
CLIENTS = Clients((DockerClient("/usr/bin/docker", (24, 0, 7), has_buildx=True),))
TOOLKIT = Toolkit(hook="/usr/bin/nvidia-container-runtime-hook", ctk="/usr/bin/nvidia-ctk")
CPU_ONLY = Gpus(HostGpus())
GPUS = Gpus(HOST, "debian", (Card(0, "Tesla V100", "7.0"),), (Memory(0, 16160, 10),), libraries=("450.51.06",))
NETWORK = Network(
    (
        Answer("index", "index.example", date=NOW),
        Answer("registry", "registry.example", date=NOW),
        Answer("archive", "https://archive.example/cuda", date=NOW),
        Answer("apt", "mirror.example", date=NOW),
    ),
    bundle="/etc/ssl/certs/ca-certificates.crt",
    bundle_origin="the system",
)
OFFLINE = Network(
    tuple(Answer(one.kind, one.name, "no connection") for one in NETWORK.answers),
    bundle="/bundle",
    archive_obstacles={name: f"no source of CUDA for {name} can be reached" for name in variants.list_names()},
)
CLOCK = Clock(NOW, NOW - 1000)


@cache
def _all_variants() -> tuple[variants.Variant, ...]:
    return tuple(variants.load_all())


def make_wish(asked: str | None = None) -> Wish:
    known = _all_variants()
    return Wish(known, next((one for one in known if one.name == asked), None))


def make_pythons(*, is_found: bool = True) -> Pythons:
    wish = make_wish()
    found = {
        one.python_minor: LocalPython(Path("/opt/python"), one.python, Path("/opt")) if is_found else None
        for one in wish.variants
    }
    obstacle = None if is_found else "there is no Python"
    return Pythons(found, base_obstacles={one.name: obstacle for one in wish.variants})


def make_facts(*changes: object, asked: str | None = None) -> Facts:
    """Facts of the good machine, but for those that are given."""
    good: tuple[Any, ...] = (
        make_wish(asked),
        MACHINE,
        STORAGE,
        ENGINES,
        CLIENTS,
        TOOLKIT,
        GPUS,
        Variables(),
        Conda(obstacle="there is no program to make a conda environment with"),
        make_pythons(),
        NETWORK,
        CLOCK,
    )
    # Each field has the name of its type, in lower case.
    return Facts(**{type(one).__name__.lower(): one for one in (*good, *changes)})


class Case(NamedTuple):
    """What a check says of the good machine with some changes: parts of its message and of its remedy."""

    name: str
    severity: str
    message: str
    remedy: str
    changes: list[object]


def judge(name: str, *changes: object, asked: str | None = None) -> list[Finding]:
    return doctor.apply(name, make_facts(*changes, asked=asked))


def assert_says(case: Case) -> None:
    given = judge(case.name, *case.changes)
    found = [finding for finding in given if finding.severity == case.severity]
    assert found, given
    assert found[0].check == case.name
    assert case.message in found[0].message
    assert case.remedy in str(found[0].remedy or "")
    assert (found[0].remedy is None) == (case.severity == "ok")


def assert_seen(checks: ModuleType, cases: list[Case], informing: frozenset[str] = frozenset()) -> None:
    """Each check of a module is seen to pass, and each but the informing ones to fail."""
    names = {name for name, check in doctor.CHECKS.items() if check.__module__ == checks.__name__}
    assert names
    assert {one.name for one in cases if one.severity == "ok"} == names
    assert {one.name for one in cases if one.severity in ("warning", "error")} == names - informing


def machine(**changes: Any) -> Machine:
    return replace(MACHINE, **changes)


def running(**changes: Any) -> Engines:
    return Engines(replace(RUNNING, **changes))


def gpus(**changes: Any) -> Gpus:
    return replace(GPUS, **changes)


def all_images() -> frozenset[tuple[str, str]]:
    return frozenset((name, flavor) for name in variants.list_names() for flavor in FLAVORS)


#: What has to be said of each simulated host (docs/simulated-host.md): check, severity, what it says, what its remedy
#: names; and the command that then works. Whatever is not listed is no warning and no error.
HOSTS: dict[str, tuple[list[tuple[str, str, str, str]], str]] = {
    "v100": ([], "make gpu-shell"),
    "no-ldconfig": ([], "make gpu-shell"),
    "two-t4": (
        [
            (
                "variants",
                "warning",
                r"^cuda9\.0 .*Tesla T4 \(simulated\) has .* 7\.5 \(Turing\), cuda9\.0 serves 3\.5 to 7\.0",
                r"VARIANT=cuda10\.0",
            )
        ],
        "make gpu-shell",
    ),
    "driver-375": (
        [
            ("variants", "error", r"^cuda9\.0 .*driver 375\.66 is older than 384\.81", "FLAVOR=cpu"),
            ("variants", "error", r"^cuda10\.0 .*driver 375\.66 is older than 410\.48", "FLAVOR=cpu"),
        ],
        "make gpu-shell FLAVOR=cpu",
    ),
    "rtx3080": (
        [
            ("variants", "error", r"^cuda9\.0 .*RTX 3080 .*8\.6 \(Ampere\)", "FLAVOR=cpu"),
            ("variants", "error", r"^cuda10\.0 .*RTX 3080 .*8\.6 \(Ampere\)", "FLAVOR=cpu"),
        ],
        "make gpu-shell FLAVOR=cpu",
    ),
    "hidden-gtx1080": (
        [("variables", "warning", "NVIDIA_VISIBLE_DEVICES=none hides every GPU", "unset NVIDIA_VISIBLE_DEVICES")],
        "make gpu-shell FLAVOR=cpu",
    ),
    "mismatch": (
        [("driver-match", "error", r"version mismatch \(kernel module 450\.51\.06", "reboot")],
        "make gpu-shell FLAVOR=cpu",
    ),
    "no-uvm": ([("uvm", "error", "/dev/nvidia-uvm is missing", "nvidia-modprobe -u")], "make gpu-shell FLAVOR=cpu"),
    "no-hook": (
        [("toolkit", "error", "container toolkit is missing", "nvidia-ctk runtime configure")],
        "make gpu-shell FLAVOR=cpu",
    ),
}


def write_smi(folder: Path, scenario: Scenario) -> None:
    """What stands for `nvidia-smi` where no compiler makes the simulated one: the one question that gpu.py asks."""
    rows = [f"{one.number}, {one.uuid}, {scenario.driver}, {one.shown_name}" for one in scenario.devices]
    known = f"printf '%s\\n' {' '.join(map(shlex.quote, rows))}; exit 0"
    mismatch = "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18"
    script = mismatch if scenario.library != scenario.driver else f'case "$1" in *uuid,driver_version*) {known};; esac'
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{script}\necho 'Field is not a valid field to query.'; exit 2\n", encoding="utf-8")
    path.chmod(0o755)


def probe_host(monkeypatch: pytest.MonkeyPatch, scenario: Scenario, root: Path, hooks: Path) -> Facts:
    """The facts of a simulated host whose ``root`` is there, by the real probes as far as NVIDIA is concerned."""
    monkeypatch.setattr(systems, "detect", lambda: "debian")
    monkeypatch.setenv("GPUENV_NVIDIA_PROC", str(root / "proc/driver/nvidia"))
    monkeypatch.setenv("GPUENV_SIMULATED_ROOT", str(root))
    folders = [str(root / "path"), *([str(hooks)] if scenario.has_hook else []), "/usr/bin", "/bin"]
    monkeypatch.setenv("PATH", os.pathsep.join(folders))
    # The site's setting, as an administrator puts it into everybody's environment.
    monkeypatch.setenv("NVIDIA_VISIBLE_DEVICES", scenario.visible_devices)
    found: list[Callable[[], Any]] = [doctor_probe_gpu.gpus, doctor_probe_engine.toolkit, doctor_probe_host.variables]
    return make_facts(*(probe() for probe in found))


def check_host(facts: Facts, name: str) -> None:
    """Assert that the simulated host ``name`` gets its findings and no other, and the command that works there."""
    expected, command = HOSTS[name]
    examined = doctor.examine(facts)
    found = [finding for finding in examined if finding.severity != "ok"]
    assert [(finding.check, finding.severity) for finding in found] == [one[:2] for one in expected]
    for finding, (_, _, message, remedy) in zip(found, expected):
        assert re.search(message, finding.message)
        assert re.search(remedy, str(finding.remedy))
    best = doctor_routes.find_best(doctor_routes.list_routes(facts, examined), make_wish())
    assert best is not None
    assert doctor_routes.render_command(best, facts) == command


def write_hook(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / HOOK_NAME).write_text("#!/bin/sh\n", encoding="utf-8")
    (folder / HOOK_NAME).chmod(0o755)
    return folder


def write_script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def list_routes(facts: Facts) -> list[doctor_routes.Route]:
    return doctor_routes.list_routes(facts, doctor.examine(facts))


def best_command(facts: Facts, asked: str | None = None) -> str | None:
    best = doctor_routes.find_best(list_routes(facts), make_wish(asked))
    return doctor_routes.render_command(best, facts) if best else None


def without_fact(name: str, about: str) -> Facts:
    empty: dict[str, Any] = {name: getattr(Facts(make_wish()), name)}
    return replace(make_facts(), unanswered={name: Unanswered(about, "no answer within 5 s", "look by hand")}, **empty)
