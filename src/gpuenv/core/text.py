"""Text of programs and logs, as a person may see it."""

from __future__ import annotations

import re

#: As many as stand on a terminal together with what is said of them.
END_LINES = 8
#: Color codes, and characters that would command a terminal, turn its text around, or that no page may hold.
_COMMANDS = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff]"
)


def printable(text: str) -> str:
    """Remove what is no text: what a machine says need not be what it should."""
    return _COMMANDS.sub("", text).encode("utf-8", "replace").decode("utf-8")


def end_of_output(text: str, of: str = "output") -> str:
    """Quote a program's last words, for where only they say why it failed."""
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join([f"the end of its {of}:", *(f"    {line}" for line in lines[-END_LINES:])])
