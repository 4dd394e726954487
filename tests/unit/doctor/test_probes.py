"""The probes of `make doctor`: what they read, and that they believe nothing else."""

from __future__ import annotations

import grp
import http.server
import os
import pwd
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from fakes.doctor import make_wish
from fakes.engine import serving
from gpuenv.conda.condarc import Condarc, parse_condarc
from gpuenv.core.settings import Settings
from gpuenv.cuda.files import file_name
from gpuenv.doctor import remedies
from gpuenv.doctor.facts import Gpus, Memory
from gpuenv.doctor.probes import conda as doctor_probe_conda
from gpuenv.doctor.probes import engine as doctor_probe_engine
from gpuenv.doctor.probes import gpu as doctor_probe_gpu
from gpuenv.doctor.probes import host as doctor_probe_host
from gpuenv.doctor.probes import network as doctor_probe_network
from gpuenv.doctor.probes import nvml as doctor_probe_nvml
from gpuenv.engine import build_client, find, private
from gpuenv.engine.build_client import DockerClient
from gpuenv.engine.endpoints import Endpoint
from gpuenv.engine.model import Engine
from gpuenv.host import gpu, pythons
from gpuenv.host import processor as host
from gpuenv.host.gpu import HostGpus
from gpuenv.net import questions as doctor_ask
from gpuenv.net.questions import Answer, Question
from gpuenv.prefix import folder as prefixes
from gpuenv.prefix import virtual_env as venv_env
from gpuenv.variants.compat import Card
from gpuenv.variants.cuda_lock import load_cuda_lock
from gpuenv.variants.environment import Environment
from simulated.host import build, scenario

DATE = "Tue, 14 Nov 2023 22:13:20 GMT"


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_machine_is_read_from_proc(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("flags\t\t: fpu avx\n")
    (tmp_path / "meminfo").write_text("MemTotal: 100 kB\nMemAvailable:   2000 kB\n")
    found = doctor_probe_host.machine(tmp_path / "cpuinfo", tmp_path / "meminfo")
    assert found.flags == frozenset({"fpu", "avx"})
    assert found.memory_bytes == 2000 * 1024
    bare = doctor_probe_host.machine(tmp_path / "none", tmp_path / "none")
    assert (bare.flags, bare.memory_bytes) == (None, None)
    assert doctor_probe_host.parse_memory("MemTotal: 1 kB\n") is None


def test_variables_and_what_shadows_libraries(tmp_path: Path) -> None:
    (tmp_path / "libcudart.so.9.0").touch()
    (tmp_path / "libfoo.so").touch()
    path = f"/nonexistent:{tmp_path}::{tmp_path}"
    found = doctor_probe_host.variables({"LD_LIBRARY_PATH": path, "CUDA_HOME": "/opt/cuda", "SECRET": "x"})
    assert found.values == {"LD_LIBRARY_PATH": path, "CUDA_HOME": "/opt/cuda"}
    assert found.shadows == {str(tmp_path): ("libcudart.so.9.0",)}


def test_the_clock_is_not_before_the_newest_file() -> None:
    found = doctor_probe_host.clock()
    assert found.now >= found.newest_file > 0
    assert found.newest_file >= Path(host.__file__).stat().st_mtime


def test_an_environment_that_was_made_is_found_where_gpu_shell_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_probe_host, "base_obstacle", lambda _: None)
    monkeypatch.setattr(pythons, "find_python", lambda *_: None)
    wish = make_wish()
    assert doctor_probe_host.local_pythons(wish).made == frozenset()
    there = venv_env.plan(Environment(wish.default, "cpu"), Settings())[0]
    monkeypatch.setattr(prefixes, "is_complete", lambda prefix: prefix == there)
    assert doctor_probe_host.local_pythons(wish).made == {(wish.default.name, "cpu", "venv")}


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
    assert found.free_bytes
    assert found.has_detour
    desktop = doctor_probe_engine.read_info(engine, {**info, "OperatingSystem": "Docker Desktop"})
    assert not desktop.is_here
    assert desktop.free_bytes is None
    assert doctor_probe_engine.read_info(engine, {}).root == ""


def test_images_that_are_there_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_probe_engine, "_find_base", lambda *_: None)
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
    good = script(tmp_path / "a/docker", 'test "$1" != --version || echo "Docker version 18.09.1, build x"')
    bare = script(tmp_path / "b/docker", 'test "$1" = --version && echo "Docker version 26.1.5+dfsg1, build y"')
    other = script(tmp_path / "c/docker", "echo a window manager's dock")
    monkeypatch.setenv("PATH", os.pathsep.join(str(path.parent) for path in (good, bare, other)))
    monkeypatch.setattr(build_client, "client_paths", lambda search: [f"{one}/docker" for one in search.split(":")])
    assert doctor_probe_engine.clients().docker == (
        DockerClient(str(good), (18, 9, 1), has_buildx=True),
        DockerClient(str(bare), (26, 1, 5), has_buildx=False),
    )


def test_the_toolkit_and_its_specifications_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = script(tmp_path / "bin/nvidia-container-runtime-hook", "")
    monkeypatch.setenv("PATH", str(hook.parent))
    (tmp_path / "nvidia.yaml").write_text("kind: nvidia.com/gpu\n")
    (tmp_path / "other.json").write_text('{"kind": "vendor.com/device"}')
    found = doctor_probe_engine.toolkit([tmp_path, tmp_path / "none"])
    assert found.hook == str(hook)
    assert found.cdi == (str(tmp_path / "nvidia.yaml"),)


def test_nodes_that_are_missing_and_nodes_that_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The number of a node is the kernel's: in a container of a cluster it need not be 0.
    for name in ("nvidiactl", "nvidia3"):
        (tmp_path / name).touch()
    monkeypatch.setattr(os, "access", lambda path, _: path.name != "nvidia3")
    assert doctor_probe_gpu.look_at_nodes(tmp_path, 1) == (("nvidia-uvm",), ("nvidia3",))
    assert doctor_probe_gpu.look_at_nodes(tmp_path, 2)[0] == ("nvidia-uvm", "nvidia0")


def test_nobody_needs_nvidia_smi_on_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(gpu, "WSL_SMI", tmp_path / "none")
    monkeypatch.setattr(gpu, "host_gpus", lambda: HostGpus("470.57.02", ("Tesla T4",), ("GPU-1",)))
    found = doctor_probe_gpu.gpus()
    assert (found.problem, found.memory_problem) == (None, "NVML cannot be loaded")
    assert found.cards == (Card(0, "Tesla T4", "7.5"),)


needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc on this machine to compile a library")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build.compile_programs(tmp_path_factory.mktemp("programs"))


def simulate(name: str, programs: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make this machine the simulated host ``name``, without an nvidia-smi on PATH."""
    build.make_root(programs, scenario.find_scenario(name), root)
    monkeypatch.setenv("GPUENV_NVIDIA_PROC", str(root / "proc/driver/nvidia"))
    monkeypatch.setenv("GPUENV_SIMULATED_ROOT", str(root))
    monkeypatch.setenv("PATH", "/nonexistent")
    return root


@needs_gcc
def test_cards_and_their_memory_by_nvml(programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulate("two-t4", programs, tmp_path / "root", monkeypatch)
    found = doctor_probe_gpu.gpus()
    assert [card.capability for card in found.cards] == ["7.5", "7.5"]
    assert [(one.number, one.used_mib) for one in found.memory] == [(0, 0), (1, 0)]
    assert (found.problem, found.memory_problem, found.is_mismatched) == (None, None, False)


@needs_gcc
def test_libraries_of_another_version_are_told_by_nvml(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate("mismatch", programs, tmp_path / "root", monkeypatch)
    found = doctor_probe_gpu.gpus()
    assert found.is_mismatched
    assert (found.problem or "").startswith("NVML fails: ")


@needs_gcc
@pytest.mark.parametrize(
    ("does", "problem"),
    [("for (;;) pause();", "the NVIDIA driver did not answer within 2 s"), ("abort();", "NVML crashed (exit code -6)")],
)
def test_a_driver_that_hangs_or_crashes_takes_nobody_along(
    does: str, problem: str, programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = simulate("v100", programs, tmp_path / "root", monkeypatch)
    (tmp_path / "nvml.c").write_text(
        f"#include <stdlib.h>\n#include <unistd.h>\nint nvmlInitWithFlags(unsigned flags) {{ (void)flags; {does} }}\n"
    )
    library = f"{build.LIBRARIES}/libnvidia-ml.so.1"
    monkeypatch.undo()
    build.compile_program(("-shared", "-fPIC", "-Wno-return-type", "nvml.c"), root / library, tmp_path)
    monkeypatch.setenv("GPUENV_NVIDIA_PROC", str(root / "proc/driver/nvidia"))
    monkeypatch.setattr(doctor_probe_nvml, "TIMEOUT_S", 2)
    began = time.monotonic()
    found = doctor_probe_gpu.gpus()
    assert time.monotonic() - began < 15
    assert found.problem == problem
    assert [card.capability for card in found.cards] == ["7.0"]


def test_what_holds_memory_is_told() -> None:
    host = HostGpus("550.54", ("A100", "T4"), ("GPU-1", "GPU-2"))
    cards = [
        {"uuid": "GPU-2", "capability": "7.5", "memory_problem": "Not Supported", "holders": []},
        {
            "uuid": "GPU-1",
            "capability": "8.0",
            "total_mib": 40960,
            "used_mib": 100,
            "holders": [[1, "x"]],
        },
        {"uuid": "GPU-hidden", "capability": "9.0", "total_mib": 1, "used_mib": 1, "holders": []},
    ]
    found = doctor_probe_gpu.read_answer(Gpus(host), {"cards": cards})
    assert [card.capability for card in found.cards] == ["8.0", "7.5"]
    assert (found.memory, found.memory_problem) == ((Memory(0, 40960, 100, ((1, "x"),)),), "Not Supported")


def test_without_nvidia_smi_the_name_tells_the_capability() -> None:
    hosts = HostGpus("470.57.02", ("Tesla T4", "Odd card"), ("GPU-1", "GPU-2"))
    cards = list(doctor_probe_gpu.name_cards(hosts, {}))
    assert cards == [Card(0, "Tesla T4", "7.5"), Card(1, "Odd card", None)]
    assert next(doctor_probe_gpu.name_cards(hosts, {"GPU-1": "9.9"})).capability == "9.9"


def test_cards_on_the_bus_and_who_has_them(tmp_path: Path) -> None:
    for name, vendor, kind in (
        ("0:1", "0x10de", "0x030000"),
        ("0:2", "0x10de", "0x040300"),
        ("0:3", "0x8086", "0x030000"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vendor").write_text(f"{vendor}\n")
        (tmp_path / name / "class").write_text(f"{kind}\n")
    (tmp_path / "nouveau").mkdir()
    (tmp_path / "0:1/driver").symlink_to(tmp_path / "nouveau")
    assert list(doctor_probe_gpu.pci_cards(tmp_path)) == ["nouveau"]


def test_library_versions_are_in_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "usr/lib64"
    folder.mkdir(parents=True)
    for name in ("libnvidia-ml.so.1", "libnvidia-ml.so.470.57.02"):
        (folder / name).touch()
    assert doctor_probe_gpu.library_versions(tmp_path) == ["470.57.02"]


def test_a_driver_that_does_not_answer_is_not_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi = script(tmp_path / "nvidia-smi", f"echo x >> {tmp_path}/asked; echo broken; exit 9")
    monkeypatch.setenv("PATH", f"{smi.parent}:/usr/bin:/bin")
    monkeypatch.setattr(gpu, "host_gpus", lambda: HostGpus("470.57.02", ("Tesla T4",), ("GPU-1",)))
    found = doctor_probe_gpu.gpus()
    assert "broken" in (found.problem or "")
    assert found.cards[0].capability == "7.5"
    assert (tmp_path / "asked").read_text() == "x\n"


CONDARC = """\
# a comment
channels:
  - menpo        # the one for cv
  - "conda-forge"
ssl_verify: no
proxy_servers:
  - not-a-channel
"""


def test_conda_settings_are_read(tmp_path: Path) -> None:
    found = parse_condarc(CONDARC, "x")
    assert (found.ssl_verify, found.channels) == ("no", ("menpo", "conda-forge"))
    assert parse_condarc("channels: [a, 'b']\n", "x").channels == ("a", "b")
    assert parse_condarc("ssl_verify:\nchannels:\n", "x") == Condarc("x")
    (tmp_path / ".condarc").write_text(CONDARC)
    exe = script(tmp_path / "bin/conda", "")
    environ = {"PATH": str(exe.parent), "CONDA_SSL_VERIFY": "false"}
    conda = doctor_probe_conda.conda(environ, tmp_path)
    assert conda.program == str(exe)
    assert [config.ssl_verify for config in conda.configs] == ["no", "false"]


@pytest.mark.parametrize(
    ("files", "packages"),
    [
        (
            ["tensorflow-1.15.5.dist-info", "tensorflow_gpu-1.15.5.dist-info"],
            {"tensorflow": "1.15.5", "tensorflow-gpu": "1.15.5"},
        ),
        (["tensorflow_estimator-1.15.1.dist-info", "tensorflow-1.12.0-py3.6.egg-info"], {}),
    ],
)
def test_tensorflows_of_the_active_environment(tmp_path: Path, files: list[str], packages: dict[str, str]) -> None:
    for name in files:
        (tmp_path / "lib/python3.6/site-packages" / name).mkdir(parents=True)
    assert doctor_probe_conda.conda({"VIRTUAL_ENV": str(tmp_path)}, tmp_path).packages == packages


def test_the_meta_package_of_conda_is_no_second_tensorflow(tmp_path: Path) -> None:
    (tmp_path / "conda-meta").mkdir()
    for name in (
        "tensorflow-1.13.1-gpu_py36h1.json",
        "tensorflow-gpu-1.13.1-h0d30ee6_0.json",
        "tensorflow-base-1.13.1-x.json",
    ):
        (tmp_path / "conda-meta" / name).touch()
    assert dict(doctor_probe_conda.find_tensorflow(tmp_path)) == {"tensorflow": "1.13.1"}


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers with the status that the path names; the date is an old one."""

    def do_HEAD(self) -> None:
        self.send_response_only(int(self.path.strip("/")))
        self.send_header("Date", DATE)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.mark.parametrize(
    ("kind", "status", "problem"),
    [
        ("index", 200, None),
        ("registry", 401, None),
        ("registry", 503, "HTTP status 503"),
        ("archive", 404, "HTTP status 404"),
        ("archive", 405, None),
    ],
)
def test_an_address_that_answers(server: str, kind: str, status: int, problem: str | None) -> None:
    asked = Question(kind, "here", f"{server}/{status}", verify=True, has_to_be_there=kind == "archive")
    assert doctor_ask.ask_all([asked])[asked.url] == Answer(kind, "here", problem, date=1_700_000_000.0)


def test_a_closed_port_is_told_at_once() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        asked = Question("index", "here", f"http://127.0.0.1:{reserved.getsockname()[1]}/", verify=True)
        found = doctor_ask.ask_all([asked])[asked.url]
    assert found.problem is not None
    assert "refused" in found.problem
    assert not found.is_silent


@pytest.mark.parametrize("is_alive", [True, False])
def test_only_where_there_is_a_network_an_answer_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, *, is_alive: bool
) -> None:
    def ask(question: Question, alive: threading.Event) -> Answer:
        if is_alive:
            alive.set()
        # Later than FIRST_SIGN_S, however late this thread began.
        time.sleep(0.5 if is_alive else 30)
        return Answer(question.kind, "late")

    monkeypatch.setattr(doctor_ask, "FIRST_SIGN_S", 0.1)
    monkeypatch.setattr(doctor_ask, "AGAIN_S", (0.05, 0.1))
    monkeypatch.setattr(doctor_ask, "ask", ask)
    monkeypatch.setattr(doctor_ask, "ANSWERS_S", 15.0)
    began = time.monotonic()
    found = doctor_ask.ask_all([Question("index", "here", "http://here", verify=True)])
    assert found["http://here"].is_silent is not is_alive
    assert time.monotonic() - began < 15


def test_a_question_that_was_lost_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ask(question: Question, _: threading.Event) -> Answer:
        asked.append(question.url)
        if len(asked) == 1:
            time.sleep(30)
        return Answer(question.kind, "second")

    monkeypatch.setattr(doctor_ask, "FIRST_SIGN_S", 15.0)
    monkeypatch.setattr(doctor_ask, "ask", ask)
    found = doctor_ask.ask_all([Question("index", "here", "http://here", verify=True)])
    assert found["http://here"].problem is None


def test_a_proxy_without_a_scheme_is_one_of_http(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.removeprefix("http://"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setattr(_Handler, "do_HEAD", lambda self: (self.send_response_only(200), self.end_headers()))
    asked = Question("index", "index.invalid", "http://index.invalid/simple/", verify=True)
    assert doctor_ask.ask_all([asked])[asked.url].problem is None


def test_the_proxy_that_does_not_answer_is_named_and_its_password_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://me:secret@127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    asked = Question("index", "index.invalid", "http://index.invalid/simple/", verify=True)
    problem = doctor_ask.ask_all([asked])[asked.url].problem
    assert problem == "no connection through the proxy http://127.0.0.1:9 (Connection refused)"


@pytest.mark.parametrize("text", ["", "yesterday"])
def test_a_date_that_is_none(text: str) -> None:
    assert doctor_ask.parse_date(text) is None


def test_every_kind_of_address_is_asked_and_settings_are_the_hosts_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Question] = []

    def ask_all(questions: list[Question]) -> Mapping[str, Answer]:
        asked.extend(questions)
        return {one.url: Answer(one.kind, one.name, "no connection") for one in questions}

    monkeypatch.setattr(doctor_probe_network, "ask_all", ask_all)
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:secret@index.example/simple/")
    monkeypatch.setenv("https_proxy", "http://me:secret@proxy:3128")
    found = doctor_probe_network.network_facts(make_wish())
    assert {"index", "registry", "archive"} <= {one.kind for one in asked}
    assert next(one for one in asked if one.kind == "index").name == "index.example"
    assert found.proxies == (("https_proxy", "http://proxy:3128"),)
    assert all("can be reached" in (reason or "") for reason in found.archive_obstacles.values())
    assert "secret" not in repr(found)


def test_settings_that_cannot_be_used_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor_probe_network, "ask_all", lambda asked: {one.url: Answer(one.kind, "x") for one in asked}
    )
    monkeypatch.setenv("PIP_TIMEOUT", "long")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
    found = doctor_probe_network.network_facts(make_wish())
    assert "not a number" in (found.pip_problem or "")
    assert "is missing" in (found.bundle_problem or "")


def test_bundles_that_are_named_and_missing_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
    monkeypatch.setattr(
        doctor_probe_network, "ask_all", lambda asked: {one.url: Answer(one.kind, one.name) for one in asked}
    )
    # pip has a bundle of its own, and a weaker variable names one that is not there.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    monkeypatch.setenv("SSL_CERT_FILE", "/nope.pem")
    found = doctor_probe_network.network_facts(make_wish())
    assert (found.bundle_problem, found.missing_bundles) == (None, (("SSL_CERT_FILE", "/nope.pem"),))
    # Downloads do not read pip's setting: they stop at the missing one.
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.setenv("PIP_CERT", str(bundle))
    assert "/nope.pem is missing" in (doctor_probe_network.network_facts(make_wish()).bundle_problem or "")


def test_archives_of_a_folder_are_asked_of_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor_probe_network,
        "ask_all",
        lambda asked: {one.url: Answer("archive", "x", "lost") for one in asked},
    )
    variant = make_wish().default
    for part in load_cuda_lock(variant.cuda_lock_path).components:
        (tmp_path / file_name(part.sources[0])).touch()
    found = doctor_probe_network.network_facts(replace(make_wish(), sources_dir=tmp_path))
    reasons = found.archive_obstacles
    assert reasons[variant.name] is None
    assert all("can be reached" in (reason or "") for name, reason in reasons.items() if name != variant.name)


@pytest.mark.parametrize("trusts_anybody", [True, False])
def test_an_engine_has_authorities_of_its_own(monkeypatch: pytest.MonkeyPatch, *, trusts_anybody: bool) -> None:
    def distrust(*_: Any, **__: Any) -> None:
        raise requests.exceptions.SSLError("self-signed certificate")

    monkeypatch.setattr(requests, "head", distrust)
    monkeypatch.setattr(doctor_ask, "_connect", lambda _: None)
    asked = Question("registry", "here", "https://here/v2/", verify=True, trusts_anybody=trusts_anybody)
    assert (doctor_ask.ask_all([asked])[asked.url].problem is None) is trusts_anybody


def test_an_index_may_be_a_folder(tmp_path: Path) -> None:
    assert list(doctor_probe_network.folder_index(tmp_path.as_uri())) == [Answer("index-folder", str(tmp_path))]
    assert next(doctor_probe_network.folder_index("file:///nope")).problem == "there is no such folder"
    assert list(doctor_probe_network.folder_index("https://index.example")) == []


def test_the_channels_of_every_conda_environment_are_asked() -> None:
    assert doctor_probe_network.channel_names(make_wish()) == ["conda-forge", "defaults"]
    assert doctor_probe_network.channel_url("defaults").endswith("/main/linux-64/repodata.json")
    assert doctor_probe_network.channel_url("https://mirror/x/") == "https://mirror/x/linux-64/repodata.json"


def test_what_starts_services_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "script").touch()
    find = doctor_probe_host.find_init
    assert find(tmp_path, tmp_path / "script") == remedies.SYSTEMD
    assert find(tmp_path / "none", tmp_path / "script") == remedies.SYSV
    assert find(tmp_path / "none", tmp_path / "none") == ""
    script(tmp_path / "rc-service", "")
    assert find(tmp_path / "none", tmp_path / "script") == remedies.OPENRC


def test_an_address_of_an_engine_that_cannot_be_read_stops_neither_us_nor_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong = Endpoint("tcp://127.0.0.1:port", "DOCKER_HOST", is_chosen=True)
    monkeypatch.setattr(find, "current_docker_endpoints", lambda: iter([wrong]))
    monkeypatch.setattr(find, "current_podman_endpoints", lambda: iter(()))
    monkeypatch.setattr(private, "running", lambda: None)
    monkeypatch.setattr(private, "obstacle", lambda: None)
    found = doctor_probe_engine.engines(make_wish())
    assert found.refusals[0].origin == "DOCKER_HOST"
    assert "expected unix:///path or tcp://host:port" in found.refusals[0].text
    assert found.private_obstacle is None


def test_who_may_open_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "docker.sock"
    path.touch()
    user = pwd.getpwuid(os.getuid()).pw_name
    members = [user]
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
    path = script(tmp_path / "docker", f"{refuse}; echo Docker version 9.1.")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor_probe_engine.clients().docker[0] == DockerClient(str(path), (9, 1), has_buildx=True)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"ssl_verify: false\n", None),
        (b"# all\n---\nchannels: [\n  a,\n]\n", None),
        (b"channels: [\n  a,\n]\n\n- x\n", "its line 5 is not YAML"),
        (b"\xef\xbb\xbfssl_verify: false\n", None),
        (b"channels:\n\t- a\n", "its line 2 is not YAML"),
        (b"ssl_verify false\n", "it holds no settings (expected lines such as `channels: [conda-forge]`)"),
        (b"\xff\xfe\n", "it is not UTF-8 text"),
    ],
)
def test_a_condarc_that_conda_stops_at(tmp_path: Path, content: bytes, problem: str | None) -> None:
    (tmp_path / ".condarc").write_bytes(content)
    configs = doctor_probe_conda.conda({"PATH": ""}, tmp_path).configs
    own = [one for one in configs if one.path.startswith(str(tmp_path))]
    assert [one.problem for one in own] == [problem]
    assert own[0].ssl_verify == ("false" if b"ssl_verify:" in content else None)


def test_conda_and_its_kin_have_more_settings_than_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"PATH": "", "CONDA_EXE": "conda", "MAMBA_SSL_VERIFY": "<false>", "CONDARC": str(tmp_path)}
    (tmp_path / ".mambarc").write_text('"ssl_verify": no\n')
    # A program that is named without its folder says nothing about this one.
    (tmp_path / "here").mkdir()
    (tmp_path / "here/.condarc").write_text("ssl_verify: false\n")
    monkeypatch.chdir(tmp_path / "here")
    configs = doctor_probe_conda.conda(environ, tmp_path).configs
    own = [(one.path, one.ssl_verify) for one in configs if one.ssl_verify]
    assert own == [(str(tmp_path / ".mambarc"), "no"), ("MAMBA_SSL_VERIFY", "<false>")]
    # A folder is named as the file: it is there, and nobody can read it.
    assert [one.problem for one in configs if one.path == str(tmp_path)] == ["it cannot be read (Is a directory)"]


def test_a_remote_engine_is_not_here_and_reaches_registries_on_its_own_way() -> None:
    found = doctor_probe_engine.read_info(Engine("docker", "tcp://10.0.0.1:2375", "x"), {"DockerRootDir": "/"})
    assert not found.is_here
    assert found.has_detour


def test_the_limit_of_a_container_or_a_job_counts_as_memory(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemAvailable:   1000 kB\n")
    (tmp_path / "own").write_text("1:cpu:/other\n0::/job/step\n")
    job = tmp_path / "job"
    (job / "step").mkdir(parents=True)
    for name, text in (("max", "600000\n"), ("current", "500000\n"), ("stat", "anon 1\ninactive_file 50000\n")):
        (job / f"memory.{name}").write_text(text)
    folders = doctor_probe_host.cgroup_folders(tmp_path / "own", tmp_path)
    assert folders == [job / "step", job, tmp_path]
    assert doctor_probe_host.available_memory(tmp_path / "meminfo", folders) == 150_000
    (job / "memory.max").write_text("max\n")
    assert doctor_probe_host.available_memory(tmp_path / "meminfo", folders) == 1_024_000
    assert doctor_probe_host.cgroup_folders(tmp_path / "none", tmp_path) == []
    assert doctor_probe_host.available_memory(tmp_path / "none", folders) is None
