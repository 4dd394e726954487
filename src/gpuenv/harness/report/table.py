"""Render the table of targets and groups for a terminal, at the end of a run and while it goes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.core import signals, ui
from gpuenv.harness.report.model import GROUPS, Column, Report

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

#: So many failures are printed below the final table.
MOST_FAILURES = 12


def render_table(report: Report, now: float | None = None) -> Table:
    """A row for each group and a column for each target, with the time that it took; ``now``, if the run goes on."""
    from rich.table import Table
    from rich.text import Text

    table = Table(show_footer=True)
    table.add_column("checks", footer="time")
    columns = report.columns
    for column in columns:
        elapsed = column.elapsed(now if column.current else None)
        # As Text: an address such as ssh://[::1] is no markup.
        table.add_column(Text(column.target.title), footer=render_duration(elapsed))
    for group in GROUPS:
        if any(column.counts(group).parts for column in columns):
            table.add_row(group, *(_render_group(column, group, is_live=now is not None) for column in columns))
    if report.plan.upstream and now is None:
        table.add_row("Keras' own tests", *(report.of(column.target).upstream_words for column in columns))
    return table


def _render_group(column: Column, group: str, *, is_live: bool) -> Text:
    from rich.text import Text

    counts = column.counts(group)
    if is_live and counts.never_ran:
        if group != column.current:
            return Text("waiting", "dim")
        wanted = counts.passed + counts.failed + counts.not_tested
        failed = f", {counts.failed} failed" if counts.failed else ""
        return Text(f"running, {wanted - counts.never_ran} of {wanted}{failed}", "bold red" if failed else "bold")
    words = ", ".join(f"{number} {word}" for number, word in counts.parts)
    styles = {"failed": "bold red", "never ran": "yellow", "not tested": "yellow", "passed": "green"}
    return Text(words, styles[counts.parts[0][1]]) if words else Text("-", "dim")


def render_duration(seconds: float) -> str:
    """``"7 s"``, ``"2:05 min"``, ``"1:02:05 h"``."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    if minutes >= 60:
        return f"{minutes // 60}:{minutes % 60:02}:{rest:02} h"
    return f"{minutes}:{rest:02} min" if minutes else f"{rest} s"


def render_first_failures(report: Report) -> Text:
    """A line for each target that has a failure: what failed first."""
    from rich.text import Text

    first = {one.target: one for one in reversed(report.failed)}
    return Text("\n").join(
        Text.assemble((f"{title} failed first: ", "bold red"), f"{first[target].check}: {first[target].what}")
        for target, title in report.titles.items()
        if target in first
    )


def render_failures(report: Report) -> Text:
    """The three lines of each failure; of many, the first: a table that has scrolled away helps nobody."""
    from rich.text import Text

    from gpuenv.explain import command as explain

    text = Text()
    for outcome in report.failed[:MOST_FAILURES]:
        text.append(f"FAILED {outcome.check} on {report.titles.get(outcome.target, outcome.target)}\n", "bold red")
        text.append(f"  {outcome.what}\n")
        text.append(f"  cause: {outcome.why}\n  next:  {outcome.next_step}\n" if outcome.why else "")
        text.append(explain.note(outcome.output))
    left_out = len(report.failed) - MOST_FAILURES
    return text.append(f"... and {left_out} more failures: see the report\n" if left_out > 0 else "")


def is_wanted() -> bool:
    """Whether there is a terminal that can be drawn on, and nobody asked for tracebacks (they would be hidden)."""
    return sys.stderr.isatty() and not ui.console().is_dumb_terminal and not ui.debug_enabled()


def render_live(report: Report, now: float) -> RenderableType:
    """The table as it stands, and below it what failed first on each target."""
    from rich.console import Group

    return Group(render_table(report, now), render_first_failures(report))


def watch(process: subprocess.Popen[bytes], report: Report, results: Path) -> int:
    """Show the table until ``process`` ends, then take it away again; its exit code.

    Ctrl-C comes out as KeyboardInterrupt, with the terminal in order.
    """
    from rich.live import Live

    def look() -> RenderableType:
        return render_live(report.update(results), time.time())

    with Live(console=ui.console(), transient=True, get_renderable=look):
        return signals.wait(process)
