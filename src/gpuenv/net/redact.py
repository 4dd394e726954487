"""Hides what is nobody else's business in addresses: users, passwords, tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOGIN = re.compile(r"(?<=//)[^/\s]*@")
#: An address has far fewer characters before its token; without a bound the search would be quadratic.
_TOKEN = re.compile(r"(//\S{0,300}?/t/)[^/\s\"',]+")
_PASSWORD = re.compile(r":(?!//)\S*@")


def text(shown: str) -> str:
    """Hide the logins, and the tokens of conda channels, of all addresses in a text."""
    return _TOKEN.sub(r"\1<token>", _LOGIN.sub("", shown))


@contextmanager
def hidden_in(file: Path, begin: int = 0) -> Iterator[None]:
    """Hide the same, at the end, in what has been written to a file from a byte on. Raises OSError."""
    try:
        yield
    finally:
        with file.open("r+b") as stream:
            stream.seek(begin)
            written = stream.read()
            shown = text(written.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
            if shown != written:
                stream.seek(begin)
                stream.write(shown)
                stream.truncate()


def address(shown: str) -> str:
    """Hide the login of one address, also where it has no scheme."""
    return text(shown) if "//" in shown else shown.rpartition("@")[2]


def password(shown: str) -> str:
    """Hide the password of one address, not the user."""
    return _PASSWORD.sub(":***@", shown)
