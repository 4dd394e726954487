"""Render the table of targets and groups for a terminal, at the end of a run and while it goes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuenv.harness.report.model import (
    GROUPS,
    Outcome,
    count,
    find_first_failures,
    measure_elapsed,
    render_cell,
)
from gpuenv.harness.targets.model import Plan, Target

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

#: So many failures are printed below the final table.
MOST_FAILURES = 12


@dataclass(frozen=True)
class Progress:
    """A run that goes on: how many checks there are (see :mod:`gpuenv.harness.targets.handover`), and the time."""

    expected: Mapping[str, Mapping[str, int]]
    now: float


def render_table(plan: Plan, outcomes: Sequence[Outcome], progress: Progress | None = None) -> Table:
    """A row for each group and a column for each target, with the time that the target took."""
    from rich.table import Table
    from rich.text import Text

    table = Table(show_footer=True)
    table.add_column("checks", footer="time")
    columns = [_Column(target, outcomes, progress) for target in plan.targets]
    for target, column in zip(plan.targets, columns):
        # As Text: an address such as ssh://[::1] is no markup.
        table.add_column(Text(target.title), footer=column.render_time())
    for group in GROUPS:
        if any(column.number(group) for column in columns):
            table.add_row(group, *(column.render(group) for column in columns))
    return table


class _Column:
    """One target's part of the table."""

    def __init__(self, target: Target, outcomes: Iterable[Outcome], progress: Progress | None) -> None:
        self.outcomes = [outcome for outcome in outcomes if outcome.target == target.identity]
        self.progress = progress
        self.expected = progress.expected.get(target.identity, {}) if progress else {}

    def found(self, group: str) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.group == group]

    def number(self, group: str) -> int:
        """How many checks the group has, or has had until now where nobody counted."""
        return max(len(self.found(group)), self.expected.get(group, 0))

    @property
    def current(self) -> str | None:
        """The group whose checks run now: groups run one after the other, once the target has begun."""
        left = (group for group in GROUPS if len(self.found(group)) < self.number(group))
        return next(left, None) if self.outcomes else None

    def render(self, group: str) -> Text:
        from rich.text import Text

        found, number = self.found(group), self.number(group)
        counts = count(found)
        if not found:
            is_next = number and group == self.current
            style = "bold" if is_next else "dim"
            return Text(f"running, 0 of {number}" if is_next else "waiting" if number else "-", style)
        style = "bold red" if counts.failed else "yellow" if counts.not_tested else "green"
        if len(found) == number:
            return Text(render_cell(found), style)
        failed = f", {counts.failed} failed" if counts.failed else ""
        return Text(f"running, {len(found)} of {number}{failed}", "bold red" if failed else "bold")

    def render_time(self) -> str:
        goes_on = self.progress is not None and self.current is not None
        return render_duration(measure_elapsed(self.outcomes, self.progress.now if self.progress and goes_on else None))


def render_duration(seconds: float) -> str:
    """``"7 s"``, ``"2:05 min"``, ``"1:02:05 h"``."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    if whole < 60:
        return f"{whole} s"
    return f"{minutes}:{rest:02} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02} h"


def render_first_failures(plan: Plan, outcomes: Iterable[Outcome]) -> Text:
    """A line for each target that has a failure: what failed first."""
    from rich.text import Text

    first = find_first_failures(outcomes)
    found = ((target, first[target.identity]) for target in plan.targets if target.identity in first)
    return Text("\n").join(
        Text.assemble((f"{target.title} failed first: ", "bold red"), f"{one.check}: {one.what}")
        for target, one in found
    )


def render_failures(plan: Plan, outcomes: Iterable[Outcome]) -> Text:
    """The three lines of each failure; of many, the first: a table that has scrolled away helps nobody."""
    from rich.text import Text

    from gpuenv.explain import command as explain

    titles = {target.identity: target.title for target in plan.targets}
    failed = [outcome for outcome in outcomes if outcome.outcome == "failed"]
    text = Text()
    for outcome in failed[:MOST_FAILURES]:
        text.append(f"FAILED {outcome.check} on {titles.get(outcome.target, outcome.target)}\n", "bold red")
        text.append(f"  {outcome.what}\n")
        text.append(f"  cause: {outcome.why}\n  next:  {outcome.next_step}\n" if outcome.why else "")
        text.append(explain.note(outcome.output))
    left_out = len(failed) - MOST_FAILURES
    return text.append(f"... and {left_out} more failures: see the report\n" if left_out > 0 else "")
