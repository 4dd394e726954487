"""Lines of a log: as a person sees them, as the matcher looks at them, and those that look most like an error."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property

from gpuenv.core.ui import printable

#: Ends what was cut off a long line, which goes on in the next one; no other carriage return is left in a log.
CUT = b"\r\n"
#: Longer lines are shown shortened.
SHOWN_CHARACTERS = 240
#: So much of a long line is shown before the part that matters.
SHOWN_BEFORE = 60

#: So many lines are shown where nobody knows the failure.
MOST_SUSPECTS = 5
_ENDINGS = (b"rror", b"RROR", b"rrors", b"xception", b"ailed", b"AILED", b"annot", b"atal", b"ATAL", b"nable")
_ALARM = re.compile(rf"(?:{b'|'.join(_ENDINGS).decode()})(?![A-Za-z\x80-\U0010ffff])")
# TensorFlow's own letter for warnings and notes stands between the time and the file.
_NO_ERROR = re.compile(
    r"[Ww]arning|WARN|\d: [IW] |\b(?:0|no) errors?\b|\berrors?[=:] ?[\d.]+\b"
    r"|^During handling of the above|\(most recent call last\)$"
)
_RAISED = re.compile(r"(?:[A-Za-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception|Exit|Interrupt|NotFound)(?::|$)")
_SAID = re.compile(r"(?:E\s|\[?(?:ERROR|error|Error|FATAL|fatal)\b)|\berror:|\d: [EF] ")

_SEPARATORS = bytes(number for number in range(128) if not chr(number).isalpha())
#: Leaves letters; every other character becomes a space. With numbers most words of a long log would stand there once.
TO_WORDS = bytes.maketrans(_SEPARATORS, b" " * len(_SEPARATORS))


@dataclass(frozen=True)
class Line:
    """One line of a log, its number, from 1, and the place in it that matters."""

    number: int
    text: str
    at: int = 0

    @property
    def shown(self) -> str:
        """The text for a terminal: no control characters, and of a long line the part that matters."""
        start = max(0, self.at - SHOWN_BEFORE) if self.at > SHOWN_CHARACTERS / 2 else 0
        text = printable(self.text[start:].replace("\t", "  ")).strip()
        text = f"...{text}" if start else text
        return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."


class Unit:
    """Some lines of a log that are looked at together."""

    def __init__(self, data: bytes, first: int) -> None:
        self.data = data
        self.first = first

    @cached_property
    def words(self) -> frozenset[bytes]:
        """Every word; a set makes the look-up of hundreds of rules cheap."""
        return frozenset(self.data.translate(TO_WORDS).split())

    @cached_property
    def lines(self) -> list[str]:
        """Its lines without trailing space."""
        return [line.rstrip() for line in self.data.decode("utf-8", "replace").removesuffix("\n").split("\n")]

    @cached_property
    def _cuts(self) -> list[int]:
        return self.holding(CUT)

    def line(self, place: int, at: int = 0) -> Line:
        """The line at a position, with its number in the whole log."""
        return Line(self.first + place - bisect_left(self._cuts, place), self.lines[place], at)

    def holding(self, fragment: bytes) -> list[int]:
        """The positions of the lines that hold ``fragment``."""
        found: list[int] = []
        position, counted = 0, 0
        start = self.data.find(fragment)
        while start >= 0:
            counted += self.data.count(b"\n", position, start)
            found.append(counted)
            position = self.data.find(b"\n", start)
            if position < 0:
                break
            start = self.data.find(fragment, position)
        return found


def _score(text: str) -> int:
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
        ends = {end for end in _ENDINGS if any(word.endswith(end) for word in unit.words)}
        # Not word by word: a log that was made for it has thousands, each of them its own.
        for place in sorted({place for end in ends for place in unit.holding(end)}):
            text = unit.lines[place]
            word = _ALARM.search(text)
            if word is None:
                continue
            if points := _score(text):
                line = unit.line(place, word.start())
                self._kept[line.shown] = (points, line.number)
            if len(self._kept) > MOST_SUSPECTS:
                del self._kept[min(self._kept, key=self._kept.__getitem__)]

    @property
    def lines(self) -> list[Line]:
        """The lines, in the order of the log."""
        return sorted((Line(number, text) for text, (_, number) in self._kept.items()), key=lambda line: line.number)
