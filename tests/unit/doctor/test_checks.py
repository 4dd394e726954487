"""Every check of `make doctor` is seen giving every severity that it has."""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes.doctor import (
    CPU_ONLY,
    GB,
    GPUS,
    MACHINE,
    NETWORK,
    NO_ENGINE,
    NOW,
    OFFLINE,
    RUNNING,
    TOOLKIT,
    all_images,
    make_facts,
    make_pythons,
)
from gpuenv.conda.condarc import Condarc
from gpuenv.core.errors import HostError, UsageError
from gpuenv.doctor import command as doctor
from gpuenv.doctor import findings
from gpuenv.doctor.facts import (
    Clients,
    Clock,
    Conda,
    Engines,
    Machine,
    Memory,
    Network,
    Place,
    Storage,
    Toolkit,
    Variables,
)
from gpuenv.doctor.findings import Finding
from gpuenv.doctor.gather import Facts
from gpuenv.engine.build_client import DockerClient
from gpuenv.engine.endpoints import Endpoint, UnreachableError
from gpuenv.engine.find import Refused
from gpuenv.engine.model import Engine
from gpuenv.host.gpu import HostGpus, choose_devices
from gpuenv.net.questions import Answer
from gpuenv.variants.compat import Card

DAY_S = 86400


def judge(name: str, *changes: object, asked: str | None = None) -> list[Finding]:
    return doctor.apply(name, make_facts(*changes, asked=asked))


def machine(**changes: Any) -> object:
    return replace(MACHINE, **changes)


def running(**changes: Any) -> Engines:
    return Engines(replace(RUNNING, **changes))


def gpus(**changes: Any) -> object:
    return replace(GPUS, **changes)


def variables(**values: str) -> Variables:
    return Variables(values)


def condarc(**changes: Any) -> Conda:
    return Conda("/opt/conda/bin/conda", (Condarc("/home/u/.condarc", **changes),))


def answer(kind: str, **changes: Any) -> Network:
    changed = tuple(replace(one, **changes) if one.kind == kind else one for one in NETWORK.answers)
    obstacles = {"cuda9.0": "no source of CUDA"} if kind == "archive" else {}
    return replace(NETWORK, answers=changed, archive_obstacles=obstacles)


def room(free_gb: int) -> Storage:
    place = Place("/cache", free_gb * GB)
    return Storage(place, place)


def proxied(**values: str) -> Network:
    return replace(NETWORK, proxies=tuple(values.items()))


def dated(days: float) -> Network:
    return replace(NETWORK, answers=tuple(replace(one, date=NOW + days * DAY_S) for one in NETWORK.answers))


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


BAD_BUNDLE = HostError("the CA bundle", "/x is missing", "unset SSL_CERT_FILE")
DENIED = refused("permission denied on /var/run/docker.sock", "denied")
ABSENT = refused("/var/run/docker.sock is not there")
STOPPED = refused("nothing listens on /var/run/docker.sock", "stopped")
SILENT = refused("/var/run/docker.sock did not answer within 2 s", "silent")
CHOSEN = refused("garbage: expected unix:///path or tcp://host:port", endpoint=NAMED)
CHANNEL_LOST = replace(NETWORK, answers=(*NETWORK.answers, Answer("channel", "conda-forge", "no connection")))
NO_FOLDER = Answer("index-folder", "/nope", "there is no such folder")
OLD_CLIENT = Clients((DockerClient("/usr/bin/docker", (18, 9, 1), has_buildx=False),))
NOUVEAU = ("nouveau",)
T4 = (Card(0, "Tesla T4", "7.5"),)
MIXED_CARDS = (Card(0, "Tesla V100", "7.0"), Card(1, "RTX 3080", "8.6"))
AMPERE = (Card(0, "RTX 3080", "8.6"),)
FULL = (Memory(0, 16160, 15000, ((4711, "python"),)),)
SIMULATED = HostGpus("450.51.06", ("Tesla V100 (simulated)",), ("GPU-1",))

#: Check, severity, a part of the message, a part of the remedy, and what is changed of the good machine.
CASES: list[tuple[str, str, str, str, list[object]]] = [
    ("architecture", "ok", "x86_64", "", []),
    ("architecture", "error", "aarch64", "another machine", [machine(architecture="aarch64")]),
    ("avx", "ok", "has AVX", "", []),
    ("avx", "unknown", "does not say", "cpuinfo", [machine(flags=None)]),
    ("avx", "unknown", "does not say", "sysctl", [machine(system="macos", flags=None)]),
    ("avx", "error", "no AVX", "2011", [machine(flags=frozenset({"avx2"}))]),
    ("avx", "error", "virtual machine", "-cpu host", [machine(flags=frozenset({"hypervisor"}))]),
    ("kernel", "ok", "6.1.0", "", []),
    ("kernel", "ok", "(WSL2)", "", [machine(system="wsl2", kernel="5.15.90.1-microsoft-standard-WSL2")]),
    ("kernel", "ok", "Darwin", "", [machine(system="macos", kernel="23.1.0")]),
    (
        "kernel",
        "warning",
        "WSL2",
        "wsl.exe --update",
        [machine(system="wsl2", kernel="5.4.72-microsoft-WSL2")],
    ),
    ("kernel", "error", "WSL 1", "set-version", [machine(system="wsl2", kernel="4.4.0-19041-Microsoft")]),
    ("kernel", "error", "3.10", "newer", [machine(kernel="2.6.32-754.el6")]),
    ("kernel", "error", "Windows itself", "wsl --install", [machine(system="windows", kernel="10")]),
    ("libc", "ok", "glibc 2.36", "", []),
    ("libc", "ok", "bring their own", "", [machine(system="macos", libc="")]),
    ("libc", "warning", "older than 2.17", "container", [machine(libc="glibc 2.12")]),
    ("libc", "warning", "not glibc", "container", [machine(libc="")]),
    ("memory", "ok", "16.0 GB", "", []),
    ("memory", "unknown", "does not say", "free --human", [machine(memory_bytes=None)]),
    ("memory", "unknown", "does not say", "vm_stat", [machine(system="macos", memory_bytes=None)]),
    ("memory", "warning", "a build needs 2 GB", "free", [machine(memory_bytes=3 * GB // 2)]),
    ("memory", "error", "0.5 GB", ".wslconfig", [machine(system="wsl2", memory_bytes=GB // 2)]),
    ("engine", "ok", "Docker at its usual socket", "", []),
    ("engine", "warning", "install docker.io and start a private", "apt-get", [Engines(None, missing=("docker.io",))]),
    ("engine", "warning", "would start a private", "systemctl start docker", [Engines(None)]),
    ("engine", "warning", "needs root", "dnf install moby", [NO_ENGINE, machine(system="fedora")]),
    ("engine", "warning", "nothing listens", "systemctl start docker", [without_engine(STOPPED)]),
    ("engine", "warning", "is not there", "pacman", [without_engine(ABSENT), machine(system="arch")]),
    (
        "engine",
        "warning",
        "DOCKER_HOST names an engine that does not answer (garbage",
        "unset DOCKER_HOST",
        [Engines(RUNNING, (CHOSEN,))],
    ),
    ("engine", "warning", "none answers (garbage", "unset DOCKER_HOST", [without_engine(CHOSEN)]),
    (
        "engine",
        "warning",
        "none answers",
        "docker context use default",
        [without_engine(replace(CHOSEN, endpoint=CONTEXT))],
    ),
    ("engine", "warning", "permission denied", "check `socket`", [without_engine(DENIED)]),
    ("engine", "warning", "did not answer", "restart docker", [without_engine(SILENT)]),
    ("engine", "warning", "would start a private", "make engine", [Engines(None), machine(init="")]),
    ("socket", "ok", "no engine refuses", "", []),
    (
        "socket",
        "error",
        "added to the group docker after logging in",
        "newgrp docker",
        [without_engine(DENIED, group="docker", is_member=True)],
    ),
    (
        "socket",
        "error",
        "permission denied",
        "usermod -aG staff $USER && newgrp staff",
        [without_engine(DENIED, group="staff")],
    ),
    (
        "socket",
        "error",
        "no group but root's",
        "chgrp docker /var/run/docker.sock",
        [without_engine(DENIED, group="")],
    ),
    (
        "socket",
        "warning",
        "Podman's own engine of this user",
        "systemctl --user enable --now podman.socket",
        [without_engine(replace(DENIED, endpoint=replace(SOCKET, is_podman=True)))],
    ),
    ("socket", "warning", "another engine is used", "usermod", [Engines(RUNNING, (DENIED,))]),
    ("socket", "error", "permission denied", "usermod -aG docker", [without_engine(DENIED)]),
    ("engine-version", "ok", "API 1.43", "", []),
    ("engine-version", "ok", "no engine", "", [NO_ENGINE]),
    ("engine-version", "error", "too old", "docker", [running(version="18.06", engine=OLD_ENGINE)]),
    ("builder", "ok", "/usr/bin/docker builds", "", []),
    ("builder", "ok", "BuildKit", "", [NO_ENGINE]),
    ("builder", "ok", "comes with the engine", "", [NO_ENGINE, Clients()]),
    (
        "builder",
        "warning",
        "has no buildx plugin",
        "docker-buildx",
        [NO_ENGINE, Clients((DockerClient("/usr/bin/docker", (26, 1), has_buildx=False),))],
    ),
    (
        "builder",
        "warning",
        "built already",
        "docker-buildx",
        [running(builder=None, builder_problem="no buildx plugin", images=all_images())],
    ),
    ("builder", "error", "no buildx plugin", "buildx", [running(builder=None, builder_problem="no buildx plugin")]),
    ("client", "ok", "24.0.7", "", []),
    ("client", "ok", "podman is there", "", [Clients(podman="/usr/bin/podman"), running(engine=PODMAN)]),
    ("client", "ok", "no docker program", "", [Clients(), NO_ENGINE]),
    ("client", "error", "no client program", "docker-cli", [Clients()]),
    ("client", "error", "no client program", "docker-cli", [Clients(podman="/usr/bin/podman")]),
    ("client", "error", "no client program", "docker-cli", [Clients(), running(engine=PODMAN)]),
    (
        "client",
        "warning",
        "--gpus",
        "docker",
        [OLD_CLIENT],
    ),
    ("storage", "ok", "overlay2", "", []),
    ("storage", "ok", "no engine", "", [NO_ENGINE]),
    ("storage", "warning", "whole copy", "overlay2", [running(storage="vfs")]),
    ("engine", "error", "is in trouble: it crashed", "systemctl restart docker", [running(problem="it crashed")]),
    ("engine", "error", "in trouble", "where it runs", [running(problem="it crashed", engine=REMOTE)]),
    ("builder", "unknown", "does not say", "docker info", [running(problem="it crashed", builder=None)]),
    ("storage", "unknown", "does not say", "docker info", [running(problem="it crashed")]),
    ("engine-memory", "unknown", "does not say", "docker info", [running(problem="it crashed")]),
    ("engine-memory", "ok", "no engine", "", [NO_ENGINE]),
    ("engine-memory", "ok", "not told", "", []),
    ("engine-memory", "ok", "8.0 GB", "", [running(memory_bytes=8 * GB)]),
    ("engine-memory", "warning", "a build needs", "Settings", [running(memory_bytes=3 * GB // 2)]),
    (
        "engine-memory",
        "error",
        "0.5 GB",
        ".wslconfig",
        [running(memory_bytes=GB // 2), machine(system="wsl2")],
    ),
    ("disk", "ok", "100.0 GB free in /var/lib/docker", "", []),
    ("disk", "ok", "built already", "", [running(images=all_images(), data=Place("/data", 0))]),
    ("disk", "ok", "100.0 GB free in /private", "", [Engines(None)]),
    ("disk", "unknown", "cannot be seen", "docker system df", [running(data=Place())]),
    ("disk", "warning", "cuda10.0-gpu needs 9 GB", "prune", [running(data=Place("/data", 5 * GB))]),
    ("disk", "error", "needs 4 GB", "prune", [running(data=Place("/data", GB))]),
    ("disk", "error", "1.0 GB free in /cache", "GPUENV_CACHE_DIR", [NO_ENGINE, room(1)]),
    ("disk", "error", "1.0 GB free in /cache", "GPUENV_STATE_DIR", [Engines(None), room(1)]),
    ("driver", "ok", "450.51.06", "", []),
    ("driver", "ok", "no NVIDIA card", "", [CPU_ONLY]),
    ("driver", "ok", "simulated by tests", "", [gpus(host=SIMULATED)]),
    (
        "driver",
        "warning",
        "held by nouveau",
        "nvidia-driver",
        [replace(CPU_ONLY, bus=NOUVEAU)],
    ),
    (
        "driver",
        "error",
        "fails",
        "on Windows",
        [replace(CPU_ONLY, host=HostGpus(problem="nvidia-smi fails")), machine(system="wsl2")],
    ),
    ("driver-match", "ok", "one version", "", []),
    ("driver-match", "ok", "no driver", "", [CPU_ONLY]),
    (
        "driver-match",
        "error",
        "450.51.06, libraries 450.80.02",
        "reboot",
        [gpus(libraries=("450.80.02",))],
    ),
    ("driver-match", "ok", "one version", "", [gpus(system="wsl2", libraries=())]),
    ("driver-match", "warning", "inside WSL2", "purge", [gpus(system="wsl2", libraries=("535.54.03",))]),
    ("driver-match", "error", "mismatch", "reboot", [gpus(problem="an error", is_mismatched=True)]),
    ("driver-match", "error", "did not answer", "dmesg", [gpus(problem="nvidia-smi did not answer within 20 s")]),
    ("device-nodes", "ok", "all there", "", []),
    ("device-nodes", "ok", "not needed", "", [gpus(system="wsl2", missing_nodes=("nvidia0",))]),
    ("device-nodes", "warning", "may not open /dev/nvidia0", "usermod", [gpus(closed_nodes=("nvidia0",))]),
    ("device-nodes", "error", "/dev/nvidiactl", "modprobe", [gpus(missing_nodes=("nvidiactl",))]),
    ("uvm", "ok", "there", "", []),
    ("uvm", "warning", "in time", "nvidia-modprobe", [gpus(missing_nodes=("nvidia-uvm",), has_modprobe=True)]),
    ("uvm", "error", "CUDA_ERROR_UNKNOWN", "nvidia-modprobe -u", [gpus(missing_nodes=("nvidia-uvm",))]),
    ("gpus", "ok", "7.0 (Volta), 16160 MiB", "", []),
    ("gpus", "ok", "none", "", [CPU_ONLY]),
    ("gpus", "unknown", "could not be found out", "cuda-gpus", [gpus(cards=(Card(0, "Odd", None),))]),
    ("gpus", "error", "names no card", "nvidia-smi", [gpus(host=HostGpus("450.51.06"), cards=())]),
    ("gpu-memory", "ok", "16150 of 16160 MiB free", "", []),
    ("gpu-memory", "ok", "no card", "", [CPU_ONLY]),
    ("gpu-memory", "ok", "simulated", "", [gpus(host=SIMULATED, memory=())]),
    ("gpu-memory", "unknown", "not a valid field", "nvidia-smi", [gpus(memory=(), memory_problem="not a valid field")]),
    ("gpu-memory", "warning", "python (process 4711)", "end these", [gpus(memory=FULL)]),
    ("gpu-memory", "warning", "1160 of", "GPUS=1", [gpus(memory=(*FULL, Memory(1, 16160, 10)))]),
    ("variants", "ok", "cuda9.0 can use the GPU", "", []),
    ("variants", "ok", "FLAVOR=cpu", "", [CPU_ONLY]),
    ("variants", "warning", "cuda9.0 cannot use the GPU: Tesla T4", "VARIANT=cuda10.0", [gpus(cards=T4)]),
    ("variants", "warning", "some of the GPUs only", "GPUS=0", [gpus(cards=MIXED_CARDS)]),
    ("variants", "error", "cuda9.0 cannot use the GPU: RTX 3080", "FLAVOR=cpu", [gpus(cards=AMPERE)]),
    ("toolkit", "ok", "/usr/bin/nvidia-container-runtime-hook", "", []),
    ("toolkit", "ok", "no NVIDIA driver", "", [CPU_ONLY, Toolkit()]),
    ("toolkit", "ok", "no engine", "", [NO_ENGINE, Toolkit()]),
    ("toolkit", "ok", "nvidia.yaml", "", [running(engine=PODMAN), Toolkit(cdi=("/etc/cdi/nvidia.yaml",))]),
    ("toolkit", "unknown", "Docker Desktop", "docker run", [running(system="Docker Desktop"), Toolkit()]),
    ("toolkit", "warning", "describes the GPUs, but", "nvidia-ctk", [Toolkit(cdi=("/etc/cdi/nvidia.yaml",))]),
    ("toolkit", "error", "is missing", "apt-get install nvidia-container-toolkit", [Toolkit()]),
    ("toolkit", "error", "is missing", "pacman -S nvidia-container-toolkit", [Toolkit(), machine(system="arch")]),
    ("toolkit", "error", "CDI specification, and", "nvidia-ctk cdi generate", [running(engine=PODMAN), TOOLKIT]),
    ("toolkit", "error", "Podman has no CDI", "nvidia-ctk cdi generate", [running(engine=PODMAN), Toolkit()]),
    ("runtime", "ok", "--gpus works", "", []),
    ("runtime", "ok", "has the runtime", "", [running(runtimes=("nvidia", "runc"))]),
    ("runtime", "ok", "not needed", "", [CPU_ONLY]),
    ("variables", "ok", "none hides", "", []),
    ("variables", "ok", "chooses devices", "", [variables(CUDA_VISIBLE_DEVICES="0")]),
    ("variables", "ok", "there is none", "", [CPU_ONLY, variables(CUDA_VISIBLE_DEVICES="")]),
    ("variables", "ok", "chooses devices", "", [variables(NVIDIA_VISIBLE_DEVICES="GPU-1")]),
    ("variables", "ok", "chooses devices", "", [variables(CUDA_VISIBLE_DEVICES="MIG-GPU-1/1/0")]),
    ("variables", "warning", "=7 hides every GPU (7 is none", "unset CUDA", [variables(CUDA_VISIBLE_DEVICES="7")]),
    ("variables", "warning", "=-1 hides every GPU (-1", "unset NVIDIA", [variables(NVIDIA_VISIBLE_DEVICES="-1")]),
    ("variables", "warning", "=-1 hides", "unset CUDA", [variables(CUDA_VISIBLE_DEVICES="-1")]),
    (
        "variables",
        "warning",
        "7 is no GPU of this machine",
        "export CUDA_VISIBLE_DEVICES=0",
        [variables(CUDA_VISIBLE_DEVICES="0,7")],
    ),
    ("variables", "warning", "(empty) hides", "unset CUDA", [variables(CUDA_VISIBLE_DEVICES="")]),
    ("variables", "warning", "void hides", "unset NVIDIA", [variables(NVIDIA_VISIBLE_DEVICES="void")]),
    ("variables", "warning", "switches off", "unset", [variables(NVIDIA_DISABLE_REQUIRE="1")]),
    ("variables", "warning", "leaves CUDA out", "compute", [variables(NVIDIA_DRIVER_CAPABILITIES="utility")]),
    ("library-path", "ok", "shadows nothing", "", []),
    (
        "library-path",
        "warning",
        "libcudart.so.9.0 of /opt/old",
        "unset LD_LIBRARY_PATH",
        [Variables({}, {"/opt/old": ("libcudart.so.9.0",)})],
    ),
    ("python", "ok", "CPython 3.6.15", "", []),
    ("python", "warning", "no complete CPython 3.6", "pyenv install 3.6.15", [make_pythons(is_found=False)]),
    ("conda", "ok", "not needed", "", []),
    ("conda", "ok", "/opt/conda/bin/conda", "", [condarc()]),
    ("conda-channels", "ok", "conda-forge", "", [condarc(channels=("conda-forge", "defaults"))]),
    ("conda-channels", "warning", "menpo", "remove channels menpo", [condarc(channels=("menpo", "defaults"))]),
    ("conda-ssl", "ok", "not switched off", "", [condarc(ssl_verify="/etc/ssl/bundle.pem")]),
    (
        "conda-ssl",
        "warning",
        "/home/u/.condarc",
        "update-ca-certificates && conda config --file /home/u/.condarc --set ssl_verify /etc/ssl/certs/ca-cert",
        [condarc(ssl_verify="False")],
    ),
    (
        "conda-ssl",
        "warning",
        "/home/u/.condarc",
        "conda config --file /home/u/.condarc --set ssl_verify /path/to",
        [condarc(ssl_verify="no"), machine(system="macos")],
    ),
    (
        "conda-ssl",
        "warning",
        "in CONDA_SSL_VERIFY",
        "export CONDA_SSL_VERIFY=/etc/pki",
        [Conda(configs=(Condarc("CONDA_SSL_VERIFY", "<false>", is_file=False),)), machine(system="fedora")],
    ),
    ("conda-settings", "ok", "none", "", []),
    ("conda-settings", "ok", "1 read", "", [condarc()]),
    ("conda-settings", "warning", "line 3 is not YAML", "mv /home/u", [condarc(problem="its line 3 is not YAML")]),
    ("tensorflow", "ok", "none", "", []),
    ("tensorflow", "ok", "tensorflow 1.15.5", "", [Conda(active="/env", packages={"tensorflow": "1.15.5"})]),
    (
        "tensorflow",
        "warning",
        "mixes tensorflow 2.0.0, tensorflow-gpu 1.13.1",
        "/env/bin/python -m pip install tensorflow-gpu==1.13.1",
        [Conda(active="/env", packages={"tensorflow-gpu": "1.13.1", "tensorflow": "2.0.0"})],
    ),
    ("proxy", "ok", "none set", "", []),
    (
        "proxy",
        "ok",
        "https_proxy=http://proxy:3128",
        "",
        [proxied(https_proxy="http://proxy:3128")],
    ),
    (
        "proxy",
        "warning",
        "this machine itself",
        "own address",
        [proxied(https_proxy="localhost:3128")],
    ),
    (
        "proxy",
        "warning",
        "spelling differ",
        "unset",
        [proxied(http_proxy="http://a", HTTP_PROXY="http://b")],
    ),
    ("proxy", "ok", "no_proxy=.example", "", [proxied(no_proxy=".example,10.0.0.0/8")]),
    ("proxy", "error", "is no address", "export https_proxy=http", [proxied(https_proxy="http://[::1")]),
    ("proxy", "error", "is no address", "export https_proxy=http", [proxied(https_proxy="http://proxy:port")]),
    ("ca-bundle", "ok", "ca-certificates.crt (the system)", "", []),
    ("ca-bundle", "warning", "has none", "apt-get install ca-certificates", [replace(NETWORK, bundle=None)]),
    (
        "ca-bundle",
        "warning",
        "SSL_CERT_FILE=/nope.pem is missing",
        "unset SSL_CERT_FILE",
        [replace(NETWORK, missing_bundles=(("SSL_CERT_FILE", "/nope.pem"),))],
    ),
    (
        "ca-bundle",
        "error",
        "is missing",
        "SSL_CERT_FILE",
        [replace(NETWORK, bundle_problem=BAD_BUNDLE)],
    ),
    ("pip-settings", "ok", "readable", "", []),
    (
        "pip-settings",
        "error",
        "not an ini file",
        "config debug",
        [replace(NETWORK, pip_problem=UsageError("pip", "not an ini file", "correct it"))],
    ),
    ("index", "ok", "index.example answers", "", []),
    ("index", "unknown", "in time", "PIP_INDEX_URL", [answer("index", problem="no answer in time", is_silent=True)]),
    (
        "index",
        "warning",
        "/nope: there is no such folder",
        "unset PIP_INDEX_URL",
        [replace(NETWORK, answers=(*NETWORK.answers, NO_FOLDER))],
    ),
    ("index", "unknown", "no address", "PIP_INDEX_URL", [replace(NETWORK, answers=())]),
    ("index", "warning", "no connection", "https_proxy", [OFFLINE]),
    (
        "index",
        "warning",
        "is not trusted",
        "update-ca-trust",
        [answer("index", problem="the certificate", is_untrusted=True), machine(system="fedora")],
    ),
    ("registry", "ok", "registry.example answers", "", []),
    ("registry", "unknown", "in time", "BASE=local", [answer("registry", problem="no answer in time", is_silent=True)]),
    ("registry", "ok", "way of its own", "", [OFFLINE, running(has_detour=True)]),
    ("registry", "warning", "no connection", "BASE=local", [OFFLINE]),
    ("archives", "ok", "every one", "", []),
    ("archives", "unknown", "in time", "SOURCES_DIR", [answer("archive", problem="no answer", is_silent=True)]),
    ("archives", "warning", "gpu images cannot be built", "SOURCES_DIR", [OFFLINE]),
    (
        "archives",
        "warning",
        "archive.example is not trusted",
        "update-ca-certificates",
        [answer("archive", is_untrusted=True)],
    ),
    ("channels", "ok", "answers", "", []),
    ("channels", "ok", "conda-forge cannot be reached (no connection), and is not needed", "", [CHANNEL_LOST]),
    (
        "channels",
        "warning",
        "conda-forge cannot be reached",
        "CHANNELS=",
        [CHANNEL_LOST, NO_ENGINE, make_pythons(is_found=False)],
    ),
    ("mirror", "ok", "mirror.example answers", "", []),
    ("mirror", "ok", "not needed", "", [replace(NETWORK, answers=())]),
    ("mirror", "unknown", "in time", "apt-get update", [answer("apt", problem="no answer", is_silent=True)]),
    ("mirror", "warning", "no connection", "apt-get update", [OFFLINE]),
    ("clock", "ok", "2023-11-14, as", "", []),
    ("clock", "ok", "nothing else answered", "", [OFFLINE]),
    ("clock", "error", "3 days after", "timedatectl", [dated(-3)]),
    ("clock", "error", "400 days before", "w32tm", [dated(400), machine(system="windows")]),
    ("clock", "error", "files of this project are 10 days newer", "set-ntp", [Clock(NOW, NOW + 10 * DAY_S)]),
]


@pytest.mark.parametrize(
    ("name", "severity", "message", "remedy", "changes"),
    CASES,
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_check_says_what_it_sees(name: str, severity: str, message: str, remedy: str, changes: list[object]) -> None:
    found = [finding for finding in judge(name, *changes) if finding.severity == severity]
    assert found, judge(name, *changes)
    assert found[0].check == name
    assert message in found[0].message
    assert remedy in str(found[0].remedy or "")
    assert (found[0].remedy is None) == (severity == "ok")


def test_every_check_is_seen_to_pass_and_every_one_but_the_informing_ones_to_fail() -> None:
    seen = {(name, severity) for name, severity, *_ in CASES}
    assert {name for name, severity in seen if severity == "ok"} == set(doctor.CHECKS)
    assert {name for name, severity in seen if severity in ("warning", "error")} == set(doctor.CHECKS) - {
        "conda",
        "runtime",
    }


@pytest.mark.parametrize("check", doctor.CHECKS)
def test_on_the_good_machine_every_check_passes(check: str) -> None:
    found = doctor.apply(check, make_facts())
    assert found
    assert {finding.severity for finding in found} == {"ok"}


def test_one_server_with_a_wrong_clock_does_not_decide() -> None:
    odd = Answer("archive", "odd.example", date=NOW + 300 * DAY_S)
    assert judge("clock", replace(NETWORK, answers=(*NETWORK.answers, odd)))[0].severity == "ok"


def test_a_variant_that_was_asked_for_and_is_not_served_is_an_error() -> None:
    found = judge("variants", gpus(cards=T4), asked="cuda9.0")
    assert [finding.severity for finding in found] == ["error", "ok"]
    assert found[0].remedy == "make gpu-shell VARIANT=cuda10.0"


def test_every_remedy_has_one_for_all_systems_or_names_the_systems_that_there_are() -> None:
    systems = {"debian", "fedora", "arch", "wsl2", "windows", "macos", "linux", "*"}
    for name, known in findings.load().items():
        assert "*" in known, name
        assert set(known) <= systems | {"root", findings.SYSTEMD, findings.SYSV, findings.OPENRC}, name


def test_every_remedy_is_used() -> None:
    code = "".join(path.read_text() for path in Path(doctor.__file__).parent.rglob("*.py"))
    texts = "".join(text for entry in findings.load().values() for text in entry.values())
    assert [name for name in findings.load() if f'"{name}"' not in code and f"{{{name}}}" not in texts] == []


def test_checks_take_the_facts_that_their_parameters_name() -> None:
    fields = {field.name: str(field.type).removeprefix("facts.") for field in dataclasses.fields(Facts)}
    for check in doctor.CHECKS.values():
        parameters = inspect.signature(check).parameters.values()
        assert parameters, check
        assert [fields[one.name] for one in parameters] == [one.annotation for one in parameters], check


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


VALUES = {"name": "x", "group": "docker", "path": "/x", "forget": "x"}


def rendered(name: str, system: str, *, is_root: bool, init: str) -> str:
    kinds = Machine(system=system, is_root=is_root, init=init).kinds
    return str(findings.render(findings.Mend(name, **VALUES), kinds))


@pytest.mark.parametrize("name", sorted(findings.load()))
def test_no_remedy_asks_root_for_sudo_nor_for_systemd_what_does_not_run(name: str) -> None:
    for system in ("debian", "fedora", "arch", "linux"):
        text = rendered(name, system, is_root=True, init=findings.SYSV)
        assert not any(
            word in text for word in ("sudo", "$USER", "systemctl start", "systemctl restart", "timedatectl")
        )
        assert text.strip(" &,") == text or name == "trust-first"


def test_root_on_debian_installs_without_joining_a_group() -> None:
    text = "sudo apt-get install docker.io && sudo usermod -aG docker $USER  (then log in again)"
    assert rendered("install-engine", "debian", is_root=True, init=findings.SYSTEMD) == "apt-get install docker.io"
    assert rendered("install-engine", "debian", is_root=False, init=findings.SYSTEMD) == text


def test_a_toolkit_is_set_up_without_systemd() -> None:
    text = rendered("install-toolkit", "debian", is_root=False, init=findings.SYSV)
    assert "sudo nvidia-ctk runtime configure --runtime=docker && sudo service docker restart" in text


@pytest.mark.parametrize(
    ("value", "chosen"), [("0", ["0"]), ("0,1,-1,0", ["0", "1"]), ("2,0", []), ("GPU-a,GPU-x", ["GPU-a"]), (",0", [])]
)
def test_cuda_stops_reading_at_the_first_that_is_no_device(value: str, chosen: list[str]) -> None:
    host = HostGpus("470.57.02", ("T4", "T4"), ("GPU-aa", "GPU-bb"))
    assert choose_devices("CUDA_VISIBLE_DEVICES", value, host)[0] == chosen
