"""What a run of the harness found: counts, the table of targets and groups, the last line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpuenv.target import Plan

if TYPE_CHECKING:
    from rich.table import Table

#: How the reason of every skip begins.
NOT_TESTED = "not tested: "
GROUPS = ("target", "identity", "imports", "linkage", "gpu", "training", "isolation", "notebook")


def not_tested(reason: str) -> str:
    """The reason of a skip, as the last line counts it."""
    return f"{NOT_TESTED}{reason}"


def find_group(check: str) -> str:
    """``"training"`` for ``"training/xor/keras"``."""
    return check.split("/", 1)[0]


@dataclass(frozen=True)
class Outcome:
    """One finished check. ``outcome`` is passed, failed or skipped; ``why`` is the failure's text or the reason."""

    check: str
    target: str
    group: str
    outcome: str
    what: str
    why: str
    nodeid: str
    finished: float
    seconds: float

    @property
    def reason(self) -> str:
        """Why it was not tested."""
        return self.why.removeprefix(NOT_TESTED) if self.outcome == "skipped" else ""


def parse_results(text: str) -> tuple[Outcome, ...]:
    """The outcomes from their JSON lines; a last line that was cut off is left out."""
    lines = text.split("\n")[:-1]
    return tuple(Outcome(**json.loads(line)) for line in lines)


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
    """``N passed, M failed, K not tested (reason: n; ...)``."""
    line = f"{counts.passed} passed, {counts.failed} failed, {counts.not_tested} not tested"
    if counts.reasons:
        line += f" ({'; '.join(f'{reason}: {number}' for reason, number in counts.reasons)})"
    return line


def render_cell(outcomes: Sequence[Outcome]) -> str:
    """One cell of the table: ``"12 passed"``, with what failed first."""
    counts = count(outcomes)
    parts = ((counts.failed, "failed"), (counts.passed, "passed"), (counts.not_tested, "not tested"))
    return ", ".join(f"{number} {word}" for number, word in parts if number) or "-"


def render_table(plan: Plan, outcomes: Sequence[Outcome]) -> Table:
    """A row for each group and a column for each target, with the seconds that the target's checks took."""
    from rich.table import Table
    from rich.text import Text

    table = Table(show_footer=True)
    table.add_column("checks", footer="seconds")
    own = {one.identity: [found for found in outcomes if found.target == one.identity] for one in plan.targets}
    for target in plan.targets:
        seconds = sum(outcome.seconds for outcome in own[target.identity])
        table.add_column(target.title, footer=f"{seconds:.0f}")
    for group in GROUPS:
        if not any(outcome.group == group for outcome in outcomes):
            continue
        cells = [render_cell([found for found in own[name] if found.group == group]) for name in own]
        table.add_row(group, *(Text(cell, _style(cell)) for cell in cells))
    return table


def _style(cell: str) -> str:
    if "failed" in cell:
        return "bold red"
    return "yellow" if "not tested" in cell else "green"


def save_report(plan: Plan, outcomes: Sequence[Outcome], path: Path) -> None:
    """Write ``report.json``: the plan, every outcome, the counts."""
    counts = count(outcomes)
    report: dict[str, Any] = {
        "targets": [{**asdict(target), "title": target.title} for target in plan.targets],
        "host_driver": plan.host_driver,
        "counts": {"passed": counts.passed, "failed": counts.failed, "not_tested": counts.not_tested},
        "not_tested": dict(counts.reasons),
        "checks": [asdict(outcome) for outcome in outcomes],
    }
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
