"""What gpu-shell is asked for, and what it says."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fakes.engine import LABELS
from gpuenv.core.errors import HostError, UsageError
from gpuenv.core.settings import Settings
from gpuenv.engine.model import Engine
from gpuenv.host import gpu
from gpuenv.host.gpu import HostGpus
from gpuenv.shell import command as shell
from gpuenv.shell import own_code, terminal, workspace
from gpuenv.shell import words as shell_words
from gpuenv.shell.own_code import Shared

NONE = HostGpus()
TWO = HostGpus("470.256.02", ("Tesla V100", "Tesla T4"), ("GPU-a", "GPU-b"))


def arguments(work: Path, **changes: Any) -> Settings:
    return Settings(work=str(work), **changes)


def test_a_host_without_a_driver_gets_the_cpu(tmp_path: Path) -> None:
    request = shell.parse_request(arguments(tmp_path), NONE)
    assert (request.flavor, request.devices, request.work) == ("cpu", [], tmp_path)


def test_a_host_with_a_driver_gets_all_gpus(tmp_path: Path) -> None:
    request = shell.parse_request(arguments(tmp_path), TWO)
    assert request.flavor == "gpu"
    assert len(request.devices) == 1


def test_the_cpu_flavor_asks_for_no_gpu(tmp_path: Path) -> None:
    assert shell.parse_request(arguments(tmp_path, flavor="cpu"), TWO).devices == []
    with pytest.raises(UsageError, match="cannot use a GPU"):
        shell.parse_request(arguments(tmp_path, flavor="cpu", gpus="all"), TWO)


def test_a_gpu_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no NVIDIA driver"):
        shell.parse_request(arguments(tmp_path, gpus="all"), NONE)


def test_an_unknown_variant_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no variant 'cuda11'"):
        shell.parse_request(arguments(tmp_path, variant="cuda11"), NONE)


def test_a_port(tmp_path: Path) -> None:
    assert shell.parse_request(arguments(tmp_path), NONE).port is None
    assert shell.parse_request(arguments(tmp_path, port=8888), NONE).port == 8888


@pytest.mark.parametrize(
    ("command", "streams", "expected"),
    [
        (None, (True, True, True), True),
        (None, (True, True, False), True),
        (None, (True, False, True), False),
        (None, (False, True, True), False),
        ("x", (True, True, True), True),
        ("x", (True, True, False), False),
        ("x", (False, True, True), False),
    ],
)
def test_when_there_is_a_terminal_inside(command: str | None, streams: tuple[bool, ...], expected: bool) -> None:
    assert shell.wants_terminal(command, streams) is expected


def make_spec(
    tmp_path: Path, kind: str = "docker", network: str = "bridge", *, has_terminal: bool = False, **changes: Any
) -> Any:
    engine = Engine(kind, "tcp://127.0.0.1:1", "", network=network)
    request = shell.parse_request(arguments(tmp_path, **changes), NONE)
    built: Any = SimpleNamespace(tag="gpuenv:x", labels=LABELS)
    work = Shared(own_code.shared(request.work, workspace.WORK_INSIDE).mounts, tmp_path / ".mark", "")
    return shell.make_spec(engine, built, request, work, has_terminal=has_terminal)


def test_the_container_of_a_command(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, cmd="exit 3", port=8888)
    assert spec.command[-4:] == ("bash", "-c", "--", "exit 3")
    assert (spec.tty, spec.working_dir, spec.port, spec.log["Type"]) == (False, "/work", 8888, "local")
    assert spec.mounts[0].source == str(tmp_path)


def test_a_command_of_an_older_encoding(tmp_path: Path) -> None:
    """A name can be changed, a command is typed anew."""
    with pytest.raises(UsageError, match="CMD is not UTF-8: b'echo") as caught:
        make_spec(tmp_path, cmd=os.fsdecode(b"echo \xc7\xd1"))
    assert "iconv -f EUC-KR" in caught.value.next_step
    assert "rename" not in caught.value.next_step


def test_a_port_is_where_jupyter_listens(tmp_path: Path) -> None:
    values = make_spec(tmp_path, port=18891).environment
    assert (values["JUPYTER_PORT"], values["JUPYTER_PORT_RETRIES"]) == ("18891", "0")
    assert values["JUPYTER_IP"] == "0.0.0.0"
    assert not {name for name in make_spec(tmp_path).environment if name.startswith("JUPYTER")}


def test_no_port_in_the_network_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody could reach what listens at all addresses. Told before anything is built."""
    monkeypatch.setattr(shell, "check_host", lambda: None)
    monkeypatch.setattr(shell, "find_engine", lambda _: Engine("private", "tcp://127.0.0.1:1", "", network="host"))
    with pytest.raises(UsageError, match="PORT=18891 cannot be opened") as caught:
        shell.run(arguments(tmp_path, cmd="true", port=18891))
    assert "--ip=127.0.0.1 --port=18891" in caught.value.next_step


def test_the_container_of_a_prompt(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, has_terminal=True)
    assert spec.command[-4:] == ("env", r"PS1=(cuda10.0-cpu) \w\$ ", "bash", "--norc")
    assert spec.tty
    assert "env" not in make_spec(tmp_path).command


def test_what_is_kept_of_the_output(tmp_path: Path) -> None:
    """Podman has no log driver called local; and a prompt is not explained."""
    assert make_spec(tmp_path, "podman", cmd="x").log["Type"] == "k8s-file"
    assert make_spec(tmp_path).log == {"Type": "none"}


def test_closed_input_is_not_attached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "input_descriptor", lambda: None)
    assert not make_spec(tmp_path).stdin
    monkeypatch.setattr(terminal, "input_descriptor", lambda: 0)
    assert make_spec(tmp_path).stdin


def test_the_line_on_what_this_is() -> None:
    line = shell_words.environment_line(LABELS, "CPU (no NVIDIA driver on this host)", "/home/kim/a b")
    assert line == (
        "cuda10.0-cpu: TensorFlow 1.15.5, Keras 2.2.5, Python 3.6.15; device: CPU (no NVIDIA driver on this host); "
        "/work is /home/kim/a b"
    )


def test_packages_of_the_users_own_are_named_in_it() -> None:
    line = shell_words.environment_line(LABELS, "CPU", "/home/kim", Path("/home/kim/requirements.txt"))
    assert "Python 3.6.15, and your requirements.txt; device: CPU" in line


@pytest.mark.parametrize(
    ("host", "flavor", "gpus", "expected"),
    [
        (NONE, "cpu", None, "CPU (no NVIDIA driver on this host)"),
        (NONE, "gpu", None, "CPU (no NVIDIA driver on this host; a stand-in for libcuda reports no device)"),
        (TWO, "gpu", "none", "CPU (GPUS=none)"),
        (TWO, "cpu", "none", "CPU (FLAVOR=cpu)"),
        (TWO, "gpu", "1", "GPU 1 (Tesla T4), driver 470.256.02"),
        (TWO, "gpu", None, "GPU 0 (Tesla V100), GPU 1 (Tesla T4), driver 470.256.02"),
        (HostGpus("1.2", problem="nvidia-smi hangs"), "gpu", None, "all GPUs (nvidia-smi hangs), driver 1.2"),
        (HostGpus(problem="no nvidia-smi"), "cpu", None, "CPU (no nvidia-smi)"),
    ],
)
def test_the_device(host: HostGpus, flavor: str, gpus: str | None, expected: str) -> None:
    assert shell_words.device(host, flavor, gpu.device_requests(gpus, host)) == expected


@pytest.mark.parametrize(
    ("host", "gpus", "cuda", "expected"),
    [
        (TWO, "1", "index", True),
        (TWO, "1", "complete", False),
        (TWO, "none", "index", False),
        (NONE, None, "index", False),
    ],
)
def test_stand_ins_are_told_where_a_gpu_is_in_use(
    host: HostGpus, gpus: str | None, cuda: str, *, expected: bool
) -> None:
    told = shell_words.device(host, "gpu", gpu.device_requests(gpus, host), cuda)
    assert ("cuFFT and cuSOLVER are stand-ins: tf.signal and dense solvers stay on the CPU" in told) == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (3, "the command ended with exit code 3"),
        (255, "the command ended with exit code 255"),
        (143, "the command ended with exit code 143 (SIGTERM)"),
        (137, "the command ended with exit code 137 (SIGKILL; if nobody killed it, the memory was full)"),
    ],
)
def test_the_last_line(code: int, expected: str) -> None:
    assert shell_words.exit_line(code, is_command=True) == expected


@pytest.fixture
def in_prefix(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """No engine; the environment's program ends with a code, and with some output."""

    def end(output: str, code: int) -> None:
        def run(*arguments: Any) -> int:
            arguments[-1].extend(output.encode())
            return code

        monkeypatch.setattr("gpuenv.shell.prefix.run", run)

    monkeypatch.setattr(shell, "check_host", lambda: None)
    monkeypatch.setattr(shell, "find_engine", lambda _: None)
    return end


KNOWN = "AttributeError: module 'tensorflow._api.v1.compat' has no attribute 'v1'\n"


@pytest.mark.parametrize(
    ("command", "output", "code"), [("x", KNOWN, 1), (None, KNOWN, 1), ("x", KNOWN, 0), ("x", "KeyError: 1\n", 1)]
)
def test_a_command_that_failed_is_explained_where_its_output_is_known(
    command: str | None, output: str, code: int, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("in_prefix")(output, code)
    work, capsys = request.getfixturevalue("tmp_path"), request.getfixturevalue("capsys")
    assert shell.run(arguments(work, cmd=command)) == code
    is_told = "this shows in its output: The code uses `v1`" in capsys.readouterr().err
    assert is_told is ((command, output, code) == ("x", KNOWN, 1))
