"""Hides what is nobody else's business in addresses: users, passwords, tokens."""

from __future__ import annotations

import re

_LOGIN = re.compile(r"(?<=//)[^/\s]*@")
_TOKEN = re.compile(r"(//\S*/t/)[^/\s]+/")
_PASSWORD = re.compile(r":(?!//)\S*@")


def text(shown: str) -> str:
    """Hide the logins, and the tokens of conda channels, of all addresses in a text."""
    return _TOKEN.sub(r"\1<token>/", _LOGIN.sub("", shown))


def address(shown: str) -> str:
    """Hide the login of one address, also where it has no scheme."""
    return text(shown) if "//" in shown else shown.rpartition("@")[2]


def password(shown: str) -> str:
    """Hide the password of one address, not the user."""
    return _PASSWORD.sub(":***@", shown)
