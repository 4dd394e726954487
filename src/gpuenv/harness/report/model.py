"""What a run of the harness found: outcomes, counts, failures in their parts, the last line."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpuenv.core.errors import GpuenvError
from gpuenv.harness.report.evidence import Evidence, parse_evidence
from gpuenv.harness.targets.model import Plan, Target

#: How the reason of every skip begins in pytest.
NOT_TESTED = "not tested: "
#: The fixtures of tests/env whose finding the reports show, by their names.
KEPT = ("facts", "frameworks", "driver_inside", "training", "keras_tests")
GROUPS = ("target", "identity", "imports", "linkage", "gpu", "training", "isolation", "notebook", "upstream")
#: pytest's exit codes when it ran to its end: all passed, some failed, there was nothing to run.
NOTHING_TO_RUN = 5
FINISHED = (0, 1, NOTHING_TO_RUN)


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


@dataclass(frozen=True)
class Counts:
    """How many checks passed, failed, were not tested (and why not), and never ran."""

    passed: int
    failed: int
    reasons: Mapping[str, int]
    never_ran: int

    @property
    def not_tested(self) -> int:
        """How many were not tested: those with a reason, and those that never ran."""
        return sum(self.reasons.values()) + self.never_ran

    @property
    def parts(self) -> list[tuple[int, str]]:
        """The numbers that are not 0, the worst first: ``[(1, "failed"), (12, "passed")]``."""
        failed, passed = (self.failed, "failed"), (self.passed, "passed")
        parts = (failed, (self.never_ran, "never ran"), (sum(self.reasons.values()), "not tested"), passed)
        return [part for part in parts if part[0]]

    def __str__(self) -> str:
        """The last line of a run: ``"N passed, M failed, K not tested (reason: n; ...)"``."""
        never_ran = {"never ran": self.never_ran} if self.never_ran else {}
        reasons = "; ".join(f"{reason}: {number}" for reason, number in {**self.reasons, **never_ran}.items())
        numbers = f"{self.passed} passed, {self.failed} failed, {self.not_tested} not tested"
        return f"{numbers} ({reasons})" if reasons else numbers


def count(outcomes: Sequence[Outcome], expected: int = 0) -> Counts:
    """Count outcomes, of which there should be as many as ``expected``."""
    kinds = Counter(outcome.outcome for outcome in outcomes)
    reasons = Counter(outcome.reason for outcome in outcomes if outcome.outcome == "skipped")
    return Counts(kinds["passed"], kinds["failed"], dict(sorted(reasons.items())), max(0, expected - len(outcomes)))


@dataclass(frozen=True)
class Column:
    """One target's checks: those that have run, and how many each group has, where they were counted."""

    target: Target
    outcomes: Sequence[Outcome]
    expected: Mapping[str, int]

    def counts(self, group: str) -> Counts:
        """How the checks of one group ended."""
        return count([one for one in self.outcomes if one.group == group], self.expected.get(group, 0))

    @functools.cached_property
    def current(self) -> str | None:
        """The group whose checks run now: groups run one after the other, once the target has begun."""
        return next((group for group in GROUPS if self.counts(group).never_ran), None) if self.outcomes else None

    def elapsed(self, now: float | None = None) -> float:
        """Seconds from the start of the first check to the end of the last, or to ``now``; 0 if none has run."""
        if not self.outcomes:
            return 0.0
        began = min(outcome.finished - outcome.seconds for outcome in self.outcomes)
        return (max(outcome.finished for outcome in self.outcomes) if now is None else now) - began


@dataclass
class Report:
    """One run of the harness, with all that its reports show, as far as the checks have told it.

    ``findings`` are ``{target: {program: data}}``; ``began`` and ``ended`` are seconds since 1970; ``exit_code`` is
    pytest's, None if it did not end by itself (Ctrl-C). ``expected`` is how many checks each group of each target has,
    as soon as pytest has counted them. ``unreadable`` counts lines of the file of results that are no result.
    """

    plan: Plan
    outcomes: list[Outcome] = field(default_factory=list)
    findings: dict[str, dict[str, Any]] = field(default_factory=dict)
    began: float = 0.0
    ended: float = 0.0
    exit_code: int | None = None
    expected: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    unreadable: int = 0
    _read: int = 0

    def update(self, results: Path) -> Report:
        """Take in what :func:`add_result` wrote since; a last line that is not whole yet is left for the next time."""
        with contextlib.suppress(FileNotFoundError), results.open("rb") as stream:
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
            elif kind == "expected":
                self.expected = content
            else:
                self.unreadable += 1
        except (ValueError, TypeError, KeyError, AttributeError):
            self.unreadable += 1

    @property
    def counts(self) -> Counts:
        """How the checks ended."""
        return count(self.outcomes, sum(sum(groups.values()) for groups in self.expected.values()))

    @property
    def columns(self) -> list[Column]:
        """A column for each target of the plan."""
        return [
            Column(
                one, [own for own in self.outcomes if own.target == one.identity], self.expected.get(one.identity, {})
            )
            for one in self.plan.targets
        ]

    @property
    def failed(self) -> list[Outcome]:
        """What failed, in the order in which it ran."""
        return sorted((one for one in self.outcomes if one.outcome == "failed"), key=lambda one: one.finished)

    @property
    def titles(self) -> dict[str, str]:
        """The titles of targets by their identities."""
        return {target.identity: target.title for target in self.plan.targets}

    @property
    def status(self) -> str:
        """The run in a word or two: only ``"passed"`` is good."""
        if self.exit_code is None:
            return "interrupted"
        if self.counts.failed:
            return "failed"
        if self.unreadable or self.counts.never_ran or self.exit_code not in (0, NOTHING_TO_RUN):
            return "not finished"
        return "passed" if self.counts.passed else "nothing tested"

    @property
    def shortfall(self) -> str:
        """What the plan wanted and nobody ran, and why; "" if all of it ran."""
        number = self.counts.never_ran
        is_over = self.exit_code in FINISHED
        why = "pytest was made to leave them out (deselected)" if is_over else "the run stopped before its end"
        return f"{number} checks never ran: {why}" if number else ""

    @property
    def is_cut_off(self) -> bool:
        """Whether pytest itself could not go on, although nobody stopped it."""
        is_over = self.exit_code in (None, *FINISHED)
        return not is_over or (self.status == "not finished" and not self.unreadable)

    def of(self, target: Target) -> Evidence:
        """What is known of one target."""
        return parse_evidence(self.findings.get(target.identity, {}))
