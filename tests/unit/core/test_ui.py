"""What is said to people, and what they are asked."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from rich.live import Live
from rich.table import Table
from rich.text import Text

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
    assert printable(text) == "red caf\xe9 turned\\ud800\n\tnext \u3000 \uac00"


@pytest.mark.parametrize(
    "text",
    [
        "\x1b\x1b[0m]0;title\x07",
        "\x1b[3\x1b[0m1mred",
        "\x1b]\x1b]0;a\x070;b\x07",
        "\x9b\x9b31m",
        "\x1b" * 9 + "[0m" * 9,
    ],
)
def test_what_is_left_of_one_code_is_no_other(text: str) -> None:
    once = printable(text)
    assert printable(once) == once
    assert not {"\x1b", "\x07", "\x9b"} & {*once}


def test_no_character_is_left_that_is_not_seen() -> None:
    """Also those that turn text around: what is read is what is there."""
    # All of these are in the first plane.
    hidden = [chr(code) for code in range(0x10000) if unicodedata.category(chr(code)) in ("Cc", "Zl", "Zp")]
    hidden += list("\u061c\u200b\u200e\u200f\u202a\u202e\u2066\u2069\ufeff")
    assert printable("".join(hidden)) == "\t\n"


def fail(what: str) -> None:
    raise ValueError(what)


def test_every_way_to_a_person_is_cleaned(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    foreign = "a\x1b\x1b[1;5m\x9b2J\u202eb\x07"
    ui.say(foreign)
    ui.warn(foreign)
    ui.show(foreign)
    ui.show_json({foreign: [foreign, 1, None]}, ensure_ascii=False)
    monkeypatch.setattr(ui, "is_interactive", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    ui.confirm(foreign)
    try:
        fail(foreign)
    except ValueError:
        ui.show_traceback()
    ui.console().print(foreign, Text(foreign))
    said = capsys.readouterr()
    assert (said.out + said.err).count("a2Jb") == 9
    assert not re.search("[\x1b\x07\x9b\u202e]", said.out + said.err)


def test_on_a_terminal_colors_are_ours_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    table = Table("\x1b[2Jhead", "\x1b[31mhead")
    table.add_row(Text("ce\x1b[1A\x9bll", "green"), "\x1b]8;;file:///\x1b\\link")
    console = ui.console()
    console.print(table, Text("\x1b[5mour own", "bold red"))
    with Live(console=console, get_renderable=lambda: Text("li\x1b[2Jve"), auto_refresh=False):
        pass
    drawn = terminal.getvalue()
    assert "\x1b[1;31mour own\x1b[0m" in drawn
    assert "\x1b[32mcell" in drawn
    assert "live" in drawn
    assert not re.search("\x1b\\[(?:2J|5m|1A|31m)|\x9b|file:", drawn), repr(drawn)


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
