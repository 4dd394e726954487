"""Lines of a log: `Line` shows one to a person, `Unit` holds some that the matcher looks at together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from gpuenv.core.ui import printable

#: Longer lines are shown shortened.
SHOWN_CHARACTERS = 240
#: So much of a long line is shown before the part that matters.
SHOWN_BEFORE = 60

_SEPARATORS = bytes(number for number in range(128) if not chr(number).isalnum())
#: Leaves letters and digits; every other character becomes a space.
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
