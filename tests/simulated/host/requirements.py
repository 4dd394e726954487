"""The conditions of ``NVIDIA_REQUIRE_*``: ``cuda>=10.0 brand=tesla,driver>=384,driver<385``.

A space is "or", a comma is "and". Grammar, comparison and texts are those of NVIDIA's libnvidia-container
(src/cli/dsl.c, src/cli/configure.c). Standard library only: the runtime hook uses this.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import zip_longest

_RULE = re.compile(r"([A-Za-z]+)(!=|<=|>=|=|<|>)(.+)")
_VERSION = re.compile(r"[\d.]+")
#: What is compared as text; all else is compared as a version.
_TEXTS = ("brand",)
_KNOWN = ("arch", "brand", "cuda", "driver")
_ADVICE = ", please update your driver to a newer version, or use an earlier cuda container"


class InvalidExpressionError(ValueError):
    """A condition that cannot be read."""


def find_problem(expression: str, facts: Mapping[str, str]) -> str | None:
    """What is not satisfied, in the words of NVIDIA's tool; None if everything is.

    ``facts`` has ``cuda`` and ``driver``, and for a visible device ``arch`` and ``brand``: without one,
    conditions about it hold. Raises InvalidExpressionError.
    """
    alternatives = expression.split()
    if not alternatives or any(_holds_all(part, facts) for part in alternatives):
        return None
    first = alternatives[0]
    return f"unsatisfied condition: {first}" + (_ADVICE if first.startswith("cuda>=") else "")


def _holds_all(alternative: str, facts: Mapping[str, str]) -> bool:
    return all(_holds(rule, facts) for rule in alternative.split(",") if rule)


def _holds(rule: str, facts: Mapping[str, str]) -> bool:
    match = _RULE.fullmatch(rule)
    if match is None or match.group(1).lower() not in _KNOWN:
        raise InvalidExpressionError(rule)
    name, operator, wanted = match.group(1).lower(), match.group(2), match.group(3)
    found = facts.get(name)
    if found is None:
        return True
    if name in _TEXTS:
        return _compare_texts(found, operator, wanted)
    order = _order(found, wanted)
    return {
        "=": order == 0,
        "!=": order != 0,
        "<": order < 0,
        "<=": order <= 0,
        ">": order > 0,
        ">=": order >= 0,
    }[operator]


def _compare_texts(found: str, operator: str, wanted: str) -> bool:
    if operator not in ("=", "!="):
        raise InvalidExpressionError(f"{operator}{wanted}")
    return (found.lower() == wanted.lower()) == (operator == "=")


def _order(found: str, wanted: str) -> int:
    """-1, 0 or 1; missing parts count as 0, so that 384 equals 384.0."""
    if not _VERSION.fullmatch(wanted):
        raise InvalidExpressionError(wanted)
    pairs = zip_longest(_parts(found), _parts(wanted), fillvalue=0)
    return next((1 if one > other else -1 for one, other in pairs if one != other), 0)


def _parts(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part]
