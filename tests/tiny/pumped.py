"""Texts on which a regular expression takes longest, made from the expression itself, and the time that it takes."""

from __future__ import annotations

import ast
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

if sys.version_info >= (3, 11):
    from re import _constants as codes
    from re import _parser as parser
else:
    import sre_constants as codes
    import sre_parse as parser

#: What a character of a class may be: letters first, then what expressions mostly put between two parts.
_CANDIDATES = "a1 A.\n-_/:=0'\"(),[]@+~\t<>;\\│└─가\x1b"
#: Loops that may run so often count as endless ones.
_MANY = 8
#: What ends a text that almost matches.
_END = "\x00\n!"
#: Characters of a text, one after the other: an expression that is worse than quadratic must not take for ever.
_FIRST, _THEN = (25, 100, 400, 1_600, 6_400), (25_600, 100_000)
#: If its slowest text took longer than this (s), that is tried longer. Even if it were quadratic, one that took less
#: would take 0.25 s for 100 000 characters.
_QUICK_S = 0.001

Node = tuple[Any, Any]


@dataclass(frozen=True)
class Expression:
    """An expression of the code or of the catalog: where it stands, and how it is used (``search``, ``match``, ...)."""

    place: str
    pattern: Union[str, bytes]
    flags: int = 0
    how: str = "search"

    def seconds(self, text: str) -> float:
        """The processor time of looking for it in ``text``, wherever it is found."""
        compiled: Any = re.compile(self.pattern, self.flags)
        data: Any = text.encode("utf-8", "replace") if isinstance(self.pattern, bytes) else text
        began = time.process_time()
        if self.how in ("match", "fullmatch"):
            getattr(compiled, self.how)(data)
        elif self.how == "search":
            compiled.search(data)
        else:
            for _ in compiled.finditer(data):
                pass
        return time.process_time() - began

    def slowest(self, budget_s: float) -> tuple[float, str]:
        """The longest time that a text made for it takes, and that text in words; it ends at the first over budget."""
        worst = (0.0, "")
        promising = []
        for attack in attacks(self.pattern, self.flags):
            for size in _FIRST:
                worst = max(worst, last := self._try(attack, size))
                if last[0] > budget_s:
                    return worst
            if last[0] > _QUICK_S:
                promising.append((last[0], attack))
        for _, attack in sorted(promising, reverse=True)[:1]:
            for size in _THEN:
                worst = max(worst, last := self._try(attack, size))
                if last[0] > budget_s:
                    return worst
        return worst

    def _try(self, attack: tuple[str, str, str], size: int) -> tuple[float, str]:
        prefix, pump, end = attack
        text = prefix + pump * (size // len(pump)) + end
        took = self.seconds(text)
        if took > _QUICK_S:
            # Another program may have been in the way.
            took = min(took, self.seconds(text))
        return took, f"{size} characters: {prefix[-200:]!r} {pump[:200]!r} {end!r}"


def attacks(pattern: str | bytes, flags: int = 0) -> list[tuple[str, str, str]]:
    """Texts as (what stands before, what is repeated, what stands behind)."""
    text = pattern.decode("latin-1") if isinstance(pattern, bytes) else pattern
    tree: Any = parser.parse(text, flags)
    found: dict[tuple[str, str, str], None] = {}
    for before, pump in _pumps(list(tree), "", {}):
        found[before, pump, _END] = None
    return list(found)


def _pumps(nodes: Sequence[Node], before: str, groups: dict[int, str]) -> Iterator[tuple[str, str]]:
    """What could be repeated: each beginning of the expression, and the body of each loop behind what precedes it."""
    sample = before
    for node in nodes:
        operation, value = node
        for body, parts in _inside(operation, value):
            if operation in _LOOPS and value[1] >= _MANY:
                for character in body:
                    yield sample, character
                    # What the loop itself begins with, again and again.
                    if sample:
                        yield "", sample[-80:] + character * 3
            for part in parts:
                yield from _pumps(part, sample, groups)
        sample += _sample(node, groups)
        if sample:
            yield "", sample[-400:]
    if sample and not before:
        yield "", sample[-400:] + "\n"
        yield "", sample[-400:-1] + "!"


_LOOPS = tuple(
    getattr(codes, name) for name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT") if hasattr(codes, name)
)


def _inside(operation: Any, value: Any) -> Iterator[tuple[list[str], list[list[Node]]]]:
    if operation in _LOOPS:
        inner = list(value[2])
        yield (_all_of(inner) if len(inner) == 1 else [_samples(inner, {})] if inner else []), [inner]
    elif operation is codes.SUBPATTERN:
        yield [], [list(value[3])]
    elif operation is codes.BRANCH:
        yield [], [list(one) for one in value[1]]
    elif operation in (codes.ASSERT, codes.ASSERT_NOT):
        yield [], [list(value[1])]


def _samples(nodes: Sequence[Node], groups: dict[int, str]) -> str:
    return "".join(_sample(node, groups) for node in nodes)


def _all_of(nodes: Sequence[Node]) -> list[str]:
    """Some texts that a body of one part matches: of a class, of each alternative."""
    ((operation, value),) = nodes
    if operation is codes.IN:
        return [one for one in _CANDIDATES if _matches(value, one)][:4] or [_sample(nodes[0], {})]
    if operation is codes.ANY:
        return ["a", " ", "."]
    if operation is codes.NOT_LITERAL:
        return [one for one in "a .\n" if ord(one) != value]
    if operation is codes.BRANCH:
        return [_samples(list(one), {}) or "a" for one in value[1]]
    if operation is codes.SUBPATTERN:
        inner = list(value[3])
        return _all_of(inner) if len(inner) == 1 else [_samples(inner, {}) or "a"]
    return [_sample(nodes[0], {}) or "a"]


def _matches(items: Sequence[Node], character: str) -> bool:
    tests: dict[Any, Any] = {
        codes.CATEGORY_DIGIT: str.isdigit,
        codes.CATEGORY_SPACE: str.isspace,
        codes.CATEGORY_WORD: lambda one: one.isalnum() or one == "_",
    }
    opposites = {
        codes.CATEGORY_NOT_DIGIT: codes.CATEGORY_DIGIT,
        codes.CATEGORY_NOT_SPACE: codes.CATEGORY_SPACE,
        codes.CATEGORY_NOT_WORD: codes.CATEGORY_WORD,
    }
    number, negated, found = ord(character), False, False
    for operation, value in items:
        if operation is codes.NEGATE:
            negated = True
        elif operation is codes.LITERAL:
            found |= value == number
        elif operation is codes.RANGE:
            found |= value[0] <= number <= value[1]
        elif operation is codes.CATEGORY:
            positive = opposites.get(value, value)
            found |= tests[positive](character) == (positive is value)
    return found != negated


def _sample(node: Node, groups: dict[int, str]) -> str:
    """A short text that a part of an expression matches; what it must not be followed by is not looked at."""
    operation, value = node
    text = ""
    if operation is codes.LITERAL:
        text = chr(value)
    elif operation is codes.NOT_LITERAL:
        text = "a" if value != ord("a") else "b"
    elif operation is codes.ANY:
        text = "a"
    elif operation is codes.IN:
        ranges = [chr(what[0]) for kind, what in value if kind is codes.RANGE]
        literals = [chr(what) for kind, what in value if kind is codes.LITERAL]
        text = next((one for one in (*_CANDIDATES, *literals, *ranges) if _matches(value, one)), "a")
    elif operation in _LOOPS:
        text = _samples(list(value[2]), groups) * (value[0] or min(1, value[1]))
    elif operation is codes.SUBPATTERN:
        text = _samples(list(value[3]), groups)
        groups[value[0]] = text
    elif operation is codes.BRANCH:
        text = _samples(list(value[1][0]), groups)
    elif operation is codes.GROUPREF:
        text = groups.get(value, "")
    return text


_USES = ("search", "match", "fullmatch", "sub", "subn", "findall", "finditer", "split")
_READS = {"search": "search", "match": "match", "fullmatch": "fullmatch"}


def of_code(folder: Path) -> Iterator[Expression]:
    """Every expression that stands in the programs below ``folder`` as a constant."""
    for path in sorted(folder.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        used: dict[str, set[str]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in _USES and isinstance(node.value, ast.Name):
                used.setdefault(node.value.id, set()).add(_READS.get(node.attr, "finditer"))
        names = {
            id(inner): target.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
            for inner in ast.walk(node.value)
        }
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "re" and node.args):
                continue
            what, pattern = node.func.attr, _constant(node.args[0])
            if pattern is None or what not in (*_USES, "compile"):
                continue
            hows = (
                used.get(names.get(id(node), ""), {"finditer"}) if what == "compile" else {_READS.get(what, "finditer")}
            )
            for how in sorted(hows):
                yield Expression(f"{path.relative_to(folder)}:{node.lineno}", pattern, _flags(node), how)


def _constant(node: ast.expr) -> str | bytes | None:
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return None
    return value if isinstance(value, (str, bytes)) else None


def _flags(node: ast.Call) -> int:
    words = [
        one.attr
        for given in (*node.args[1:], *node.keywords)
        for one in ast.walk(given)
        if isinstance(one, ast.Attribute)
    ]
    return sum(int(getattr(re, word)) for word in words if word.isupper() and hasattr(re, word))
