"""Show the table on a terminal while the checks run, from the file of results as it grows."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.core import ui
from gpuenv.harness.report.model import Outcome, parse_results
from gpuenv.harness.report.table import Progress, render_first_failures, render_table
from gpuenv.harness.targets import handover
from gpuenv.harness.targets.model import Plan

if TYPE_CHECKING:
    from rich.console import RenderableType

#: Often enough for a clock that shows seconds; each look costs a fraction of a millisecond.
LOOK_EVERY_S = 0.25


def is_wanted() -> bool:
    """Whether there is a terminal that can be drawn on, and nobody asked for tracebacks (they would be hidden)."""
    return sys.stderr.isatty() and not ui.console().is_dumb_terminal and not ui.debug_enabled()


class ResultsReader:
    """Reads a file of results that other processes append to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.outcomes: tuple[Outcome, ...] = ()
        self._position = 0

    def read(self) -> tuple[Outcome, ...]:
        """All outcomes until now; a last line that is only half there is left for the next time."""
        try:
            with self.path.open("rb") as stream:
                stream.seek(self._position)
                new = stream.read()
        except FileNotFoundError:
            return self.outcomes
        whole = new[: new.rfind(b"\n") + 1]
        self._position += len(whole)
        self.outcomes += parse_results(whole.decode("utf-8"))
        return self.outcomes


def render(plan: Plan, outcomes: tuple[Outcome, ...], progress: Progress) -> RenderableType:
    """The table as it stands, and below it what failed first on each target."""
    from rich.console import Group

    table, first = render_table(plan, outcomes, progress), render_first_failures(plan, outcomes)
    return Group(table, first) if first else Group(table)


def watch(process: subprocess.Popen[bytes], plan: Plan, results: Path) -> int:
    """Show the table until ``process`` ends, then take it away again; its exit code.

    Ctrl-C comes out as KeyboardInterrupt, with the terminal in order.
    """
    from rich.live import Live

    tail = ResultsReader(results)
    with Live(console=ui.console(), auto_refresh=False, transient=True) as display:
        while True:
            progress = Progress(handover.load_expected(results) or {}, time.time())
            display.update(render(plan, tail.read(), progress), refresh=True)
            try:
                return process.wait(timeout=LOOK_EVERY_S)
            except subprocess.TimeoutExpired:
                continue
