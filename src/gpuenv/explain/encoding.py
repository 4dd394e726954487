"""Finds the encoding of a log: UTF-8, UTF-16, or what Windows consoles write in Japan, Korea, China and the West."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

#: As much of a log as a guess is made from (bytes).
GUESSED_BYTES = 128 * 1024

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
# What Windows writes where it does not write UTF-8, and what tells that a text only happens to be that too: no Japanese
# writes mostly katakana of half width, no Korean mostly Chinese characters. The first of equals counts.
_CONSOLES = {
    "cp932": re.compile(r"[\uff61-\uff9f]"),
    "cp949": re.compile(r"[\u3400-\u9fff\uf900-\ufaff]"),
    "gb18030": None,
    "big5": None,
    "cp1252": None,
}
_ASCII = bytes(range(128))
#: So many pieces with lines in no known encoding are looked at; later ones are left as they are.
_MOST_GUESSES = 4
#: So many lines are looked at one by one where together they fit no encoding.
_SINGLE_LINES = 20


def find_encoding(head: bytes) -> tuple[str | None, int]:
    """The encoding, and the length of the mark that says so; (None, 0) for what is no text."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, len(mark)
    if b"\0" not in head:
        return "utf-8", 0
    # UTF-16 without a mark: one half of each character of the ASCII kind is NUL, and always the same half.
    even, odd = head[0::2].count(0), head[1::2].count(0)
    for zeros, others, encoding in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if zeros > len(head) / 50 and others <= zeros / 3 and _is_text(head.decode(encoding, "replace")):
            return encoding, 0
    return None, 0


def _is_text(text: str) -> bool:
    strange = sum(not (character.isprintable() or character.isspace() or character == "\x1b") for character in text)
    return strange <= len(text) / 50


class Console:
    """Turns the lines of a log that are not UTF-8 into UTF-8, once their encoding is known.

    Line by line, since logs mix: a program writes UTF-8 where Windows itself writes CP949.
    """

    def __init__(self) -> None:
        self._encoding: str | None = None
        self._guesses = 0

    def to_utf8(self, data: bytes) -> bytes:
        """Whole lines in UTF-8; lines in no known encoding stay as they are."""
        with suppress(UnicodeDecodeError):
            data.decode()
            return data
        lines = data.split(b"\n")
        foreign = [number for number, line in enumerate(lines) if _is_foreign(line)]
        if self._encoding is None and foreign and self._guesses < _MOST_GUESSES:
            self._guesses += 1
            self._encoding = guess_encoding([lines[number] for number in foreign])
        if self._encoding is not None:
            for number in foreign:
                lines[number] = lines[number].decode(self._encoding, "replace").encode()
        return b"\n".join(lines)


def _is_foreign(line: bytes) -> bool:
    """Whether it is not UTF-8, nor UTF-8 of which a character was cut: then most of its bytes still are."""
    if line.isascii():
        return False
    beyond = len(line.translate(None, _ASCII))
    lost = len(line) - len(line.decode("utf-8", "ignore").encode())
    return lost * 7 > beyond


def guess_encoding(lines: Sequence[bytes]) -> str | None:
    """The encoding of lines that are not UTF-8; None if they read well in none."""
    data = b"\n".join(lines)
    end = data.rfind(b"\n", 0, GUESSED_BYTES)
    known = _guess(data[:end] if end >= 0 else data)
    # One broken line must not hide what all others say.
    votes = Counter(filter(None, [known] if known else map(_guess, lines[:_SINGLE_LINES])))
    return votes.most_common(1)[0][0] if votes else None


def _guess(data: bytes) -> str | None:
    from charset_normalizer import from_bytes  # 80 ms, and few logs need it

    found = {match.encoding: match for match in from_bytes(data, cp_isolation=list(_CONSOLES))}
    ranks = {}
    for place, (encoding, strange) in enumerate(_CONSOLES.items()):
        if encoding in found:
            text = str(found[encoding])
            beyond = len(text) - len(text.encode("ascii", "ignore"))
            if strange is None or len(strange.findall(text)) * 10 <= beyond:
                ranks[encoding] = (round(found[encoding].chaos, 2), place)
    return min(ranks, key=ranks.__getitem__, default=None)
