"""What is said to people, and what they are asked."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from gpuenv.core import ui
from gpuenv.core.ui import END_LINES, end_of_output, printable


def test_without_a_terminal_it_is_said_that_it_goes_ahead(capsys: pytest.CaptureFixture[str]) -> None:
    assert ui.confirm("install docker.io")
    said = capsys.readouterr()
    assert said.err == "gpuenv: no terminal to ask on, so this goes ahead: install docker.io\n"
    assert not said.out


@pytest.mark.parametrize(
    ("answer", "is_yes"), [("\n", True), ("Y\n", True), ("yes\n", True), ("n\n", False), ("x\n", False)]
)
def test_on_a_terminal_the_answer_counts(
    answer: str, is_yes: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ui, "is_interactive", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    assert ui.confirm("install docker.io") is is_yes
    assert "install docker.io? [Y/n]" in capsys.readouterr().err


def test_what_commands_a_terminal_is_left_out() -> None:
    text = "\x1b[1;31mred\x1b[0m \x1b]0;title\x07caf\xe9\x00 \u202eturned\ud800\r\n\tnext \u3000 \uac00"
    assert printable(text) == "red caf\xe9 turned?\n\tnext \u3000 \uac00"


def test_the_last_words_are_quoted_without_empty_lines() -> None:
    text = "".join(f"{number}\n\n" for number in range(20))
    lines = end_of_output(text, "log").splitlines()
    assert lines[0] == "the end of its log:"
    assert lines[1:] == [f"    {number}" for number in range(20 - END_LINES, 20)]


@pytest.mark.parametrize("end", ["", " >&2", " 2>&-"])
def test_a_name_of_an_older_encoding_can_be_told(end: str) -> None:
    program = "from gpuenv.core import ui; ui.open_closed_streams(); ui.say('\\udcff'); print('\\udcff', flush=True)"
    argv = ["sh", "-c", f'exec "$@"{end}', "-", sys.executable, "-c", program]
    done = subprocess.run(argv, env={"PYTHONUTF8": "1"}, capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stdout or done.stderr.splitlines()[-1] + b"\n") == (0, b"\\udcff\n")


@pytest.mark.parametrize("full", ["2>/dev/full", "2</dev/null"])
def test_what_cannot_be_said_to_anybody_stops_nothing(full: str) -> None:
    program = "from gpuenv.core import ui; ui.say('x'); ui.say('y'); print('out'); raise SystemExit(3)"
    argv = ["sh", "-c", f'exec "$@" {full}', "-", sys.executable, "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (3, "out\n")


@pytest.mark.parametrize(
    ("closed", "printed"), [("2>&-", "out\nstarted\n"), (">&-", ""), ("<&-", "out\nstarted\n"), ("<&- >&- 2>&-", "")]
)
def test_what_is_said_to_people_never_goes_where_output_goes(closed: str, printed: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import os, subprocess\n"
        "from gpuenv.core import ui\n"
        "ui.open_closed_streams()\n"
        "ui.say('said')\n"
        "print('out', flush=True)\n"
        "first = os.open('/', os.O_RDONLY)\n"
        "subprocess.run(['sh', '-c', 'echo started; echo err >&2; cat'], check=True)\n"
        "raise SystemExit(first)\n"
    )
    argv = ["sh", "-c", f'exec "$@" {closed}', "-", sys.executable, str(program)]
    done = subprocess.run(argv, input="", capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (3, printed), done.stderr
    assert done.stderr == ("" if "2>&-" in closed else "gpuenv: said\nerr\n")
