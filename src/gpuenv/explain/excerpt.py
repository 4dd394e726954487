"""A line of a log, as it is shown to a person. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Longer lines are shown shortened.
SHOWN_CHARACTERS = 240
#: So much of a long line is shown before the part that matters.
SHOWN_BEFORE = 60

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


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
        text = _CONTROL.sub("", self.text[start:].replace("\t", "  ")).strip()
        text = f"...{text}" if start else text
        return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."
