"""How commands and programs run in a target."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import testinfra

from gpuenv.core.errors import CheckError
from gpuenv.harness.targets.connection import Connection, Output, parse_result
from gpuenv.harness.targets.model import Target
from gpuenv.prefix import activate

IMAGE = Target("cuda10.0-cpu", "image", "cuda10.0", "cpu", image="sha256:1")
VENV = Target("cuda9.0-venv", "venv", "cuda9.0", "cpu", prefix="/opt/x")


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
