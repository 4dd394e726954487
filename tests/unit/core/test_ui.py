"""What is said to people, and what they are asked."""

from __future__ import annotations

import io
import sys

import pytest

from gpuenv.core import ui


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
