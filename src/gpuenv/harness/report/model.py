"""What a run of the harness found: outcomes, counts, failures in their parts, the last line."""

from __future__ import annotations

import contextlib
import fcntl
import json
import traceback
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpuenv.core.errors import GpuenvError
from gpuenv.harness.report.evidence import Evidence
from gpuenv.harness.targets.model import Plan, Target

#: How the reason of every skip begins in pytest.
NOT_TESTED = "not tested: "
#: The fixtures of tests/env whose finding the reports show, by their names.
KEPT = ("facts", "frameworks", "driver_inside", "training")
GROUPS = ("target", "identity", "imports", "linkage", "gpu", "training", "isolation", "notebook")
#: pytest's exit codes when it ran to its end: all passed, some failed, there was nothing to run.
NOTHING_TO_RUN = 5
FINISHED = (0, 1, NOTHING_TO_RUN)
#: How many checks each group of each target has: ``{identity: {group: number}}``.
Expected = Mapping[str, Mapping[str, int]]


def not_tested(reason: str) -> str:
    """The reason of a skip, as pytest gets it."""
    return f"{NOT_TESTED}{reason}"


def find_group(check: str) -> str:
    """``"training"`` for ``"training/xor/keras"``."""
    return check.split("/", 1)[0]


@dataclass(frozen=True)
class Outcome:
    """One finished check. ``outcome`` is passed, failed or skipped.

    A failed one says ``what`` failed, ``why`` and what to do next, where that is known, and shows the ``output`` of its
    commands; of a skipped one, ``why`` is what was lacking.
    """

    check: str
    target: str
    group: str
    outcome: str
    what: str
    why: str
    nodeid: str
    finished: float
    seconds: float
    next_step: str = ""
    output: str = ""

    @property
    def reason(self) -> str:
        """Why it was not tested."""
        return self.why if self.outcome == "skipped" else ""


def describe_error(error: BaseException) -> dict[str, str]:
    """What an outcome holds of an error: its three parts, or the one line of an error that nobody foresaw."""
    if isinstance(error, GpuenvError):
        return {"what": error.what, "why": error.why, "next_step": error.next_step}
    return {"what": "".join(traceback.format_exception_only(type(error), error)).strip().splitlines()[0]}


def add_result(path: Path, kind: str, **content: Any) -> None:
    """Add a line to the file of results: an ``outcome``, a ``finding`` or how many checks are ``expected``."""
    with path.open("a", encoding="utf-8") as stream:
        # Several processes write: each line in one piece.
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.write(json.dumps({kind: content}) + "\n")


@dataclass
class Results:
    """What the checks have told until now, in a file of JSON lines that :func:`add_result` writes.

    ``findings`` are ``{target: {program: data}}``; ``expected`` is how many checks each group of each target has, as
    soon as pytest has counted them; ``unreadable`` counts lines that are none of these.
    """

    path: Path
    outcomes: list[Outcome] = field(default_factory=list)
    findings: dict[str, dict[str, Any]] = field(default_factory=dict)
    expected: Expected = field(default_factory=dict)
    unreadable: int = 0
    _read: int = 0

    def update(self) -> Results:
        """Read what came since; a last line that is not whole yet is left for the next time."""
        with contextlib.suppress(FileNotFoundError), self.path.open("rb") as stream:
            stream.seek(self._read)
            for line in stream:
                if line.endswith(b"\n"):
                    self._read += len(line)
                    self._take(line)
        return self

    def _take(self, line: bytes) -> None:
        try:
            ((kind, content),) = json.loads(line).items()
            if kind == "outcome":
                self.outcomes.append(Outcome(**content))
            elif kind == "finding":
                self.findings.setdefault(content["target"], {})[content["name"]] = content["data"]
            else:
                self.expected = content
        except (ValueError, TypeError, KeyError, AttributeError):
            self.unreadable += 1


@dataclass(frozen=True)
class Counts:
    """How many checks passed, failed and were not tested, and why not."""

    passed: int
    failed: int
    reasons: tuple[tuple[str, int], ...]

    @property
    def not_tested(self) -> int:
        """How many were not tested."""
        return sum(number for _, number in self.reasons)


def count(outcomes: Iterable[Outcome]) -> Counts:
    """Count outcomes."""
    outcomes = tuple(outcomes)
    kinds = Counter(outcome.outcome for outcome in outcomes)
    reasons = Counter(outcome.reason for outcome in outcomes if outcome.outcome == "skipped")
    return Counts(kinds["passed"], kinds["failed"], tuple(sorted(reasons.items())))


def render_last_line(counts: Counts) -> str:
    """``"N passed, M failed, K not tested (reason: n; ...)"``."""
    reasons = "; ".join(f"{reason}: {number}" for reason, number in counts.reasons)
    numbers = f"{counts.passed} passed, {counts.failed} failed, {counts.not_tested} not tested"
    return f"{numbers} ({reasons})" if reasons else numbers


def render_cell(outcomes: Sequence[Outcome]) -> str:
    """One cell of the table: ``"12 passed"``, with what failed first."""
    counts = count(outcomes)
    parts = ((counts.failed, "failed"), (counts.passed, "passed"), (counts.not_tested, "not tested"))
    return ", ".join(f"{number} {word}" for number, word in parts if number) or "-"


@dataclass(frozen=True)
class Column:
    """One target's checks: those that have run, and how many each group has, where they were counted."""

    target: Target
    outcomes: tuple[Outcome, ...]
    expected: Mapping[str, int]

    def found(self, group: str) -> list[Outcome]:
        """Those of one group that have run."""
        return [outcome for outcome in self.outcomes if outcome.group == group]

    def number(self, group: str) -> int:
        """How many checks the group has, or has had until now where nobody counted."""
        return max(len(self.found(group)), self.expected.get(group, 0))

    @property
    def current(self) -> str | None:
        """The group whose checks run now: groups run one after the other, once the target has begun."""
        left = (group for group in GROUPS if len(self.found(group)) < self.number(group))
        return next(left, None) if self.outcomes else None

    def elapsed(self, now: float | None = None) -> float:
        """Seconds from the start of the first check to the end of the last, or to ``now``; 0 if none has run."""
        if not self.outcomes:
            return 0.0
        began = min(outcome.finished - outcome.seconds for outcome in self.outcomes)
        return (max(outcome.finished for outcome in self.outcomes) if now is None else now) - began


def list_columns(plan: Plan, outcomes: Sequence[Outcome], expected: Expected) -> list[Column]:
    """A column for each target of the plan."""
    return [
        Column(one, tuple(own for own in outcomes if own.target == one.identity), expected.get(one.identity, {}))
        for one in plan.targets
    ]


@dataclass(frozen=True)
class Report:
    """One run of the harness, with all that its reports show.

    ``evidence`` has an entry for each target that a program ran in; ``began`` and ``ended`` are seconds since 1970;
    ``exit_code`` is pytest's, None if it did not end by itself (Ctrl-C); ``expected`` how many checks each group of
    each target has, where pytest came so far as to count them.
    """

    plan: Plan
    outcomes: tuple[Outcome, ...]
    evidence: Mapping[str, Evidence]
    began: float
    ended: float
    exit_code: int | None
    expected: Expected = field(default_factory=dict)

    @property
    def counts(self) -> Counts:
        """How the checks ended."""
        return count(self.outcomes)

    @property
    def status(self) -> str:
        """The run in a word or two: only ``"passed"`` is good."""
        if self.exit_code is None:
            return "interrupted"
        if self.counts.failed:
            return "failed"
        if self.exit_code not in (0, NOTHING_TO_RUN):
            return "not finished"
        return "passed" if self.counts.passed else "nothing tested"

    @property
    def never_ran(self) -> int:
        """How many checks the run did not come to, because it was stopped."""
        return max(0, sum(sum(groups.values()) for groups in self.expected.values()) - len(self.outcomes))

    def of(self, target: Target) -> Evidence:
        """What is known of one target."""
        return self.evidence.get(target.identity, Evidence())
