"""What a person gets to see of what programs write."""

from __future__ import annotations

from gpuenv.core.text import END_LINES, end_of_output, printable


def test_what_commands_a_terminal_is_left_out() -> None:
    text = "\x1b[1;31mred\x1b[0m \x1b]0;title\x07caf\xe9\x00 \u202eturned\ud800\r\n\tnext \u3000 \uac00"
    assert printable(text) == "red caf\xe9 turned?\n\tnext \u3000 \uac00"


def test_the_last_words_are_quoted_without_empty_lines() -> None:
    text = "".join(f"{number}\n\n" for number in range(20))
    lines = end_of_output(text, "log").splitlines()
    assert lines[0] == "the end of its log:"
    assert lines[1:] == [f"    {number}" for number in range(20 - END_LINES, 20)]
