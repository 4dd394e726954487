"""Some lines of a log that are looked at together, by words, by fragments or line by line. Pure."""

from __future__ import annotations

from functools import cached_property

_SEPARATORS = bytes(number for number in range(128) if not chr(number).isalnum())
#: Leaves letters and digits; every other character becomes a space.
TO_WORDS = bytes.maketrans(_SEPARATORS, b" " * len(_SEPARATORS))


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
