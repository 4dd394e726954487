"""Render the table of targets and groups for a terminal, at the end of a run and while it goes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.core import ui
from gpuenv.harness.report.model import GROUPS, Column, Expected, Outcome, Results, count, list_columns, render_cell
from gpuenv.harness.targets.model import Plan

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

#: So many failures are printed below the final table.
MOST_FAILURES = 12
#: Often enough for a clock that shows seconds.
LOOKS_PER_SECOND = 4


def render_table(plan: Plan, outcomes: Sequence[Outcome], expected: Expected | None = None, now: float = 0.0) -> Table:
    """A row for each group and a column for each target, with the time that the target took.

    Of a run that goes on, ``expected`` is how many checks there are, and ``now`` the time.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(show_footer=True)
    table.add_column("checks", footer="time")
    columns = list_columns(plan, outcomes, expected or {})
    for column in columns:
        elapsed = column.elapsed(now if column.current else None)
        # As Text: an address such as ssh://[::1] is no markup.
        table.add_column(Text(column.target.title), footer=render_duration(elapsed))
    for group in GROUPS:
        if any(column.number(group) for column in columns):
            table.add_row(group, *(_render_group(column, group) for column in columns))
    return table


def _render_group(column: Column, group: str) -> Text:
    from rich.text import Text

    found, number = column.found(group), column.number(group)
    counts = count(found)
    if not found:
        is_next = number and group == column.current
        style = "bold" if is_next else "dim"
        return Text(f"running, 0 of {number}" if is_next else "waiting" if number else "-", style)
    if len(found) == number:
        style = "bold red" if counts.failed else "yellow" if counts.not_tested else "green"
        return Text(render_cell(found), style)
    failed = f", {counts.failed} failed" if counts.failed else ""
    return Text(f"running, {len(found)} of {number}{failed}", "bold red" if failed else "bold")


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

    failed = sorted((one for one in outcomes if one.outcome == "failed"), key=lambda one: one.finished)
    first = {one.target: one for one in reversed(failed)}
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


# --- while the checks run ---------------------------------------------------------------------------


def is_wanted() -> bool:
    """Whether there is a terminal that can be drawn on, and nobody asked for tracebacks (they would be hidden)."""
    return sys.stderr.isatty() and not ui.console().is_dumb_terminal and not ui.debug_enabled()


def render_live(plan: Plan, found: Results, now: float) -> RenderableType:
    """The table as it stands, and below it what failed first on each target."""
    from rich.console import Group

    table = render_table(plan, found.outcomes, found.expected, now)
    first = render_first_failures(plan, found.outcomes)
    return Group(table, first) if first else table


def watch(process: subprocess.Popen[bytes], plan: Plan, results: Path) -> int:
    """Show the table until ``process`` ends, then take it away again; its exit code.

    Ctrl-C comes out as KeyboardInterrupt, with the terminal in order.
    """
    from rich.live import Live

    found = Results(results)
    with Live(
        console=ui.console(), transient=True, refresh_per_second=LOOKS_PER_SECOND,
        get_renderable=lambda: render_live(plan, found.update(), time.time()),
    ):  # fmt: skip
        return process.wait()
