"""Fills the values of a log, which anybody may have written, into commands that people are told to run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from string import Formatter

from gpuenv.core.ui import printable

#: A name, a version, a number: nothing that a shell, or a program, takes for more. A name begins with no dash.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
#: Groups that may hold more; where a POSIX shell reads the command they are quoted.
_WIDER = {"path": re.compile(r"[^-\n\t][^\n\t]*"), "url": re.compile(r"https?://[!-~]+")}
#: What stays a part of one word without quotes, which no two shells of Windows write alike.
_PLAIN = re.compile(r"[A-Za-z0-9_./:+-]+")


def fill(command: str, values: Mapping[str, str], system: str) -> str | None:
    """The command with each value as (a part of) one word for the shell of ``system``; None where one is no such."""
    words: dict[str, str] = {}
    for name in {name for _, name, _, _ in Formatter().parse(command) if name}:
        word = _word(name, values[name], system)
        if word is None:
            return None
        words[name] = word
    return command.format_map(words)


def _word(name: str, value: str, system: str) -> str | None:
    if not _WIDER.get(name, _NAME).fullmatch(value) or printable(value) != value:
        return None
    if system == "windows":
        return value if _PLAIN.fullmatch(value) else None
    return shlex.quote(value)
