"""What is said to people, and what they are asked."""

from __future__ import annotations

import io
import sys

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
