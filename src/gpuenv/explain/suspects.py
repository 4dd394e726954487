"""Keeps the lines of a log that look most like an error, for when nobody knows the failure."""

from __future__ import annotations

import re

from gpuenv.explain.lines import Line, Unit

MOST_SUSPECTS = 5

_ENDINGS = (b"rror", b"RROR", b"rrors", b"xception", b"ailed", b"AILED", b"annot", b"atal", b"ATAL", b"nable")
# TensorFlow's own letter for warnings and notes stands between the time and the file.
_NO_ERROR = re.compile(
    r"[Ww]arning|WARN|\d: [IW] |\b(?:0|no) errors?\b|\berrors?[=:] ?[\d.]+\b"
    r"|^During handling of the above|\(most recent call last\)$"
)
_RAISED = re.compile(r"(?:[A-Za-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception|Exit|Interrupt|NotFound)(?::|$)")
_SAID = re.compile(r"\s*(?:E\s|\[?(?:ERROR|error|Error|FATAL|fatal)\b)|\berror:|\d: [EF] ")


def score(text: str) -> int:
    """How much a line with a word of alarm looks like an error; 0 for warnings, notes and figures."""
    if _NO_ERROR.search(text):
        return 0
    if _RAISED.match(text):
        return 3
    return 2 if _SAID.search(text) else 1


class Suspects:
    """Keeps the lines that look most like an error; of equals the last ones, where programs say why they end."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[int, int]] = {}

    def feed(self, unit: Unit) -> None:
        """Look at some whole lines."""
        for word in [word for word in unit.words if word.endswith(_ENDINGS)]:
            for place in unit.holding(word):
                text = unit.lines[place]
                self._offer(Line(unit.first + place, text, text.find(word.decode("utf-8", "replace"))))

    def _offer(self, line: Line) -> None:
        points = score(line.text)
        if not points:
            return
        self._kept[line.shown] = (points, line.number)
        if len(self._kept) > MOST_SUSPECTS:
            del self._kept[min(self._kept, key=lambda text: self._kept[text])]

    @property
    def lines(self) -> list[Line]:
        """The lines, in the order of the log."""
        return sorted((Line(number, text) for text, (_, number) in self._kept.items()), key=lambda line: line.number)
