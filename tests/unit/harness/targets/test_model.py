from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import testinfra

from gpuenv.core.errors import CheckError
from gpuenv.engine.model import Engine
from gpuenv.harness.targets import container as target_container
from gpuenv.harness.targets.connection import Connection, Output, parse_result
from gpuenv.harness.targets.model import Plan, Target, label_of, load_plan, save_plan
from gpuenv.prefix import activate

IMAGE = Target("cuda10.0-cpu", "image", "cuda10.0", "cpu", image="sha256:1")
SIMULATED = Target("cuda10.0-gpu-simulated", "image", "cuda10.0", "gpu", "simulated", image="sha256:2")
VENV = Target("cuda9.0-venv", "venv", "cuda9.0", "cpu", prefix="/opt/x")
ENGINE = Engine("docker", "unix:///run/x.sock", "it answers", "1.41", Path("/tls"))


def test_what_is_simulated_is_called_so() -> None:
    assert SIMULATED.title == "cuda10.0-gpu (simulated CUDA)"
    assert IMAGE.title == "cuda10.0-cpu"
    assert VENV.title == "cuda9.0-cpu (virtual environment)"


def test_plan_survives_its_file(tmp_path: Path) -> None:
    gone = dataclasses.replace(IMAGE, missing="no source answers", is_required=True)
    plan = Plan("r1", (SIMULATED, VENV, gone), dataclasses.asdict(ENGINE), "450.1", require_gpu=True)
    save_plan(plan, tmp_path / "plan.json")
    found = load_plan(tmp_path / "plan.json")
    assert found.targets == plan.targets
    assert found.testable == (SIMULATED, VENV)
    assert (found.run, found.host_driver, found.require_gpu) == ("r1", "450.1", True)
    assert target_container.load_engine(found) == ENGINE


def test_engine_without_certificates_survives_too(tmp_path: Path) -> None:
    engine = dataclasses.replace(ENGINE, tls_dir=None)
    save_plan(Plan("r1", (), dataclasses.asdict(engine)), tmp_path / "plan.json")
    assert target_container.load_engine(load_plan(tmp_path / "plan.json")) == engine


def test_result_is_the_last_line() -> None:
    assert parse_result(Output("x", 0, 'noise\n{"a": 1}\n', "")) == {"a": 1}


@pytest.mark.parametrize(
    ("output", "why"),
    [
        (Output("x", 1, '{"a": 1}', "Traceback\nValueError: bad\n"), "ValueError: bad"),
        (Output("x", 0, "", ""), "nothing on standard error"),
        (Output("x", 0, "no json", "hm"), "hm"),
        (Output("x", 139, "", "Segmentation fault"), "Segmentation fault"),
    ],
)
def test_a_program_without_result_is_a_failure(output: Output, why: str) -> None:
    with pytest.raises(CheckError) as caught:
        parse_result(output)
    assert why in caught.value.why


def test_both_streams_are_shown_shortened() -> None:
    text = Output("cmd", 3, "\n".join(f"line {n}" for n in range(50)), "x" * 1000).render()
    assert text.startswith("$ cmd\nexit code 3\n--- standard output (last 40 of 50 lines)\nline 10\n")
    assert "(1000 characters)" in text
    assert "line 9\n" not in text


class FakeHost:
    def __init__(self) -> None:
        self.commands: list[str] = []

    def run(self, command: str) -> Any:
        self.commands.append(command)
        return SimpleNamespace(rc=0, stdout_bytes=json.dumps({"python": "3.6.15"}).encode(), stderr_bytes=b"")


@pytest.mark.parametrize(("target", "python"), [(IMAGE, "python"), (VENV, "/opt/x/bin/python")])
def test_programs_run_with_the_targets_own_python(target: Target, python: str) -> None:
    host = FakeHost()
    connection = Connection(target, host, "/ref dir")
    result = connection.program("facts", "a b")
    (command,) = host.commands
    line = f"export PYTHONDONTWRITEBYTECODE=1; {python} '/ref dir/facts.py' 'a b'"
    activation = "" if target is IMAGE else f"{activate.shell_line('venv', '/opt/x')}; "
    assert command == f"{activation}{line}"
    assert result["python"] == "3.6.15"
    assert connection.trail == [result.output]


def test_container_has_no_network_and_a_read_only_root(tmp_path: Path) -> None:
    options = target_container.container_options(IMAGE, Plan("r1", (IMAGE,)), tmp_path, "1001:100")
    assert options["network"] == "none"
    assert options["read_only"] is True
    assert options["user"] == "1001:100"
    assert options["labels"] == {target_container.RUN_LABEL: "r1"}
    reference, work = options["mounts"]
    assert (reference.target, reference.read_only) == ("/gpuenv-reference", True)
    assert (work.source, work.target, work.read_only) == (str(tmp_path), "/work", False)
    assert "uid=1001,gid=100" in options["tmpfs"]["/home/user"]


def test_gpus_are_asked_for_only_where_there_is_a_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpuenv.host.gpu.device_requests", lambda *_: [{"Count": -1}])

    def requests(target: Target, driver: str | None) -> object:
        plan = Plan("r1", (target,), host_driver=driver)
        return target_container.container_options(target, plan, tmp_path, "1:1")["device_requests"]

    assert requests(SIMULATED, "450.1") == [{"Count": -1}]
    assert not requests(SIMULATED, None)
    assert not requests(IMAGE, "450.1")


def test_root_tests_as_the_images_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 0)
    assert target_container.container_user(ENGINE) == "1000:1000"


@pytest.mark.parametrize(
    ("address", "label"),
    [
        ("ssh://lab1", "ssh://lab1"),
        ("ssh://me:secret@lab1:22?ssh_config=/c", "ssh://me@lab1:22"),
        ("ssh://me:sec@ret@lab1", "ssh://me@lab1"),
        ("local://", "local://"),
        ("chroot:///srv/x?sudo=true", "chroot:///srv/x"),
    ],
)
def test_addresses_are_shown_without_password_and_settings(address: str, label: str) -> None:
    assert label_of(address) == label


def test_a_lost_connection_is_said_in_three_lines() -> None:
    class Lost:
        def run(self, command: str) -> Any:
            raise RuntimeError(SimpleNamespace(stderr="banner\nssh: connect to host lab1 port 22: timed out\n"))

    target = Target("x", "host", "cuda10.0", "cpu", host="ssh://me:secret@lab1")
    with pytest.raises(CheckError) as caught:
        Connection(target, Lost(), "").run("true")
    assert str(caught.value).splitlines() == [
        "cuda10.0-cpu on ssh://me@lab1 cannot be reached",
        "  cause: ssh: connect to host lab1 port 22: timed out",
        "  next:  try ssh://me@lab1 by hand",
    ]


def begun(tmp_path: Path, cores: int | None) -> Connection:
    """A connection to this machine; its program counts how often it ran."""
    (tmp_path / "count.py").write_text(
        f"import json, pathlib\npath = pathlib.Path({str(tmp_path / 'runs')!r})\n"
        "path.open('a').write('x')\nprint(json.dumps({'runs': len(path.read_text())}))\n"
    )
    target = Target("v", "venv", "cuda10.0", "cpu", prefix=sys.prefix)
    return Connection(target, testinfra.get_host("local://"), str(tmp_path), cores=cores)


@pytest.mark.parametrize("cores", [None, 1, 2])
def test_a_program_that_was_begun_runs_once_and_shows_its_output(tmp_path: Path, cores: int | None) -> None:
    connection = begun(tmp_path, cores)
    connection.begin("count")
    connection.run("true")
    result = connection.program("count")
    assert result["runs"] == 1
    # What ran beside it is not between the outputs of others.
    assert [output.command for output in connection.trail] == ["true", result.output.command]
    # Asked for again, it runs again.
    assert connection.program("count")["runs"] == 2


def test_a_program_that_was_begun_fails_where_it_is_asked_for(tmp_path: Path) -> None:
    connection = begun(tmp_path, 2)
    connection.begin("missing")
    with pytest.raises(CheckError, match="no result"):
        connection.program("missing")
