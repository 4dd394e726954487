"""Finds the catalog entries that a log matches, and which of them is the root cause.

A rule is some fragments, and maybe an expression, within a window of lines. A log may be huge, so each piece of it
(128 kB) is looked at in four steps, each for what the last one left:

1. The words of the piece as a set: it holds all of the rule's (100 MB of a training's output: 5 s instead of 13 s).
2. The fragments themselves, looked for as bytes.
3. The windows around each line with the rule's first fragment. Those that reach into one another are tried as one text
   first (100 MB of nothing but fragments: 34 s instead of 142 s).
4. :func:`match_rule` decides for each window that is left.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from gpuenv.explain.catalog import MOST_LINES, STAGES, Entry, Rule
from gpuenv.explain.lines import CUT, TO_WORDS, Line, Unit

#: From this stage on failures do not come from a GPU that is missing.
_WITHOUT_GPU = STAGES.index("packages")


@dataclass(frozen=True)
class Match:
    """An entry that the log matches, with the first lines that show it and the values for its texts."""

    entry: Entry
    values: Mapping[str, str]
    evidence: tuple[Line, ...]

    @property
    def line(self) -> int:
        """The number of the first line that shows it."""
        return self.evidence[0].number


@dataclass(frozen=True)
class Ordered:
    """Matches, the root cause first."""

    root: Match
    #: Independent of the root cause.
    others: tuple[Match, ...]
    #: Of a later stage: may follow from it.
    later: tuple[Match, ...]
    #: Follow from it, as the catalog says.
    consequences: tuple[Match, ...]

    @property
    def all(self) -> tuple[Match, ...]:
        """Every match, in that order."""
        return (self.root, *self.others, *self.later, *self.consequences)


class _Probe:
    """A rule, prepared for a quick no."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.fragments = [fragment.encode() for fragment in rule.fragments]
        # The first and the last word of a fragment may be part of a longer one in the log.
        spaced = [b"x" + fragment.translate(TO_WORDS) + b"x" for fragment in self.fragments]
        self.words = frozenset(word for text in spaced for word in text.split()[1:-1])

    def find(self, unit: Unit) -> tuple[Mapping[str, str], tuple[Line, ...]] | None:
        """The values and the evidence of the first window that matches."""
        if not self.words <= unit.words or not all(fragment in unit.data for fragment in self.fragments):
            return None
        for run in _runs(self._windows(unit), self.rule.within):
            # All of them at once first: what a log repeats on every line would else be looked at in each window.
            together = "\n".join(unit.lines[run[0] : run[-1] + self.rule.within])
            if len(run) > 1 and _search(self.rule, together) is None:
                continue
            for start in run:
                lines = unit.lines[start : start + self.rule.within]
                found = match_rule(self.rule, lines)
                if found:
                    values, places = found
                    return values, tuple(unit.line(start + place, at) for place, at in places)
        return None

    def _windows(self, unit: Unit) -> Iterator[int]:
        """Where the windows begin in which the first fragment stands."""
        last = max(0, len(unit.lines) - self.rule.within)
        begin = 0
        for place in unit.holding(self.fragments[0]):
            end = min(place, last) + 1
            yield from range(max(begin, place - self.rule.within + 1), end)
            begin = max(begin, end)


def _runs(starts: Iterable[int], within: int) -> Iterator[list[int]]:
    """Windows that reach into one another, together."""
    run: list[int] = []
    for start in starts:
        if run and start >= run[-1] + within:
            yield run
            run = []
        run.append(start)
    if run:
        yield run


def match_rule(rule: Rule, lines: Sequence[str]) -> tuple[dict[str, str], list[tuple[int, int]]] | None:
    """What one window gives: the captured values, and where it shows (positions of lines, and in them)."""
    text = "\n".join(lines)
    if not all(fragment in text for fragment in rule.fragments) or any(other in text for other in rule.without):
        return None
    found = _search(rule, text)
    if found is None:
        return None
    spots = [text.index(fragment) for fragment in rule.fragments]
    if found:
        start, end = found[0].start(), found[-1].end()
        # Where a fragment stands in what the expression found, that place counts.
        inside = [text.find(fragment, start, end) for fragment in rule.fragments]
        spots = [near if near >= 0 else spot for near, spot in zip(inside, spots)]
        # Of what the expression spans, its begin and its end say most.
        spots += [start, max(start, end - 1)]
    values = {name: value for one in found for name, value in one.groupdict().items() if value is not None}
    places: dict[int, int] = {}
    for spot in sorted(spots):
        places.setdefault(text.count("\n", 0, spot), spot - (text.rfind("\n", 0, spot) + 1))
    return values, sorted(places.items())


def _search(rule: Rule, text: str) -> list[re.Match[str]] | None:
    """What its expressions find in ``text``, one behind the other; None if one finds nothing."""
    found: list[re.Match[str]] = []
    for expression in rule.expressions:
        one = expression.search(text, found[-1].end() if found else 0)
        if one is None:
            return None
        found.append(one)
    return found


@cache
def _prepare(rule: Rule) -> _Probe:
    """Once for each rule: a harness explains every check that fails."""
    return _Probe(rule)


class Matcher:
    """Takes the pieces of a log one after the other and keeps the first match of each entry.

    ``is_over`` is asked before each entry: once it says so, those that are left are not tried.
    """

    def __init__(self, entries: Iterable[Entry], is_over: Callable[[], bool] = lambda: False) -> None:
        self._is_over = is_over
        self._open = [(entry, [_prepare(rule) for rule in entry.rules]) for entry in entries]
        self._tail = b""
        self._first = 1
        #: The number of the line that the next piece begins with.
        self.next_line = 1
        self.matches: list[Match] = []

    def feed(self, piece: bytes) -> Unit:
        """Look at whole lines, together with the end of what came before."""
        unit = Unit(self._tail + piece, self._first)
        still_open = []
        for entry, probes in self._open:
            if self._is_over():
                break
            found = [one for one in (probe.find(unit) for probe in probes) if one]
            if found:
                values, evidence = min(found, key=lambda one: one[1][0].number)
                self.matches.append(Match(entry, complete(entry, values), evidence))
            else:
                still_open.append((entry, probes))
        self._open = still_open
        start = len(unit.data)
        for _ in range(MOST_LINES):
            start = unit.data.rfind(b"\n", 0, max(0, start))
            if start < 0:
                break
        self._tail = unit.data[start + 1 :]
        self._first = unit.first + unit.data.count(b"\n", 0, start + 1) - unit.data.count(CUT, 0, start + 1)
        self.next_line = self._first + self._tail.count(b"\n") - self._tail.count(CUT)
        return unit


def complete(entry: Entry, captured: Mapping[str, str]) -> dict[str, str]:
    """The values of an entry's texts: captured, then derived from them."""
    derived = {name: one.map.get(captured.get(one.of, ""), one.default) for name, one in entry.derive.items()}
    unknown = {name: "?" for rule in entry.rules for name in rule.groups}
    return {**unknown, **captured, **derived}


def order(matches: Iterable[Match]) -> Ordered | None:
    """The root cause first: what follows from nothing that matches too, of the earliest stage, met first in the log.

    A notice stands back behind what ended the program at its own stage, or at one that needs no GPU.
    """
    if not (matches := list(matches)):
        return None
    names = {match.entry.id for match in matches}

    def follows(match: Match) -> bool:
        return not names.isdisjoint(match.entry.consequence_of)

    endings = {one.entry.rank for one in matches if not one.entry.is_notice and not follows(one)}

    def stands_back(match: Match) -> bool:
        return match.entry.is_notice and any(rank == match.entry.rank or rank >= _WITHOUT_GPU for rank in endings)

    def place(match: Match) -> tuple[bool, bool, int, int]:
        return follows(match), stands_back(match), match.entry.rank, match.line

    root, *rest = sorted(matches, key=place)
    free = [one for one in rest if not follows(one)]
    others = tuple(one for one in free if one.entry.rank <= root.entry.rank or stands_back(one))
    later = tuple(one for one in free if one not in others)
    return Ordered(root, others, later, tuple(one for one in rest if follows(one)))
