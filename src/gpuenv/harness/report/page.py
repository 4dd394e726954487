"""Render ``reports/report.html``: one page with everything that a run found, and nothing from outside.

What programs printed is text on this page, never markup: the templates escape every value; a content policy on the page
itself forbids scripts and every outside resource.
"""

from __future__ import annotations

import platform
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from gpuenv.core.ui import printable
from gpuenv.harness.judges.training import CURVE_TOLERANCE, XOR_ERROR_MAX
from gpuenv.harness.report.evidence import PACKAGES
from gpuenv.harness.report.learned import learn
from gpuenv.harness.report.model import (
    FINISHED,
    GROUPS,
    Column,
    Report,
    count,
    list_columns,
    render_last_line,
)
from gpuenv.harness.report.pictures import STRIP_END
from gpuenv.harness.report.table import render_duration

TEMPLATES = files(__package__) / "templates"
STYLE = TEMPLATES / "report.css"


def save_page(report: Report, path: Path) -> None:
    """Write the page."""
    path.write_text(render_page(report), encoding="utf-8")


def render_page(report: Report) -> str:
    """The whole page."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(lambda name: (TEMPLATES / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.html.j2").render(
        report=report,
        style=Markup(STYLE.read_text(encoding="utf-8")),  # noqa: S704 - a file of this project
        line=render_last_line(report.counts),
        is_cut_off=report.status == "not finished" or report.exit_code not in (None, *FINISHED),
        ended=time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(report.ended)),
        took=render_duration(report.ended - report.began),
        machine=f"{platform.node()}, {platform.system()} {platform.machine()}",
        has_simulated_driver=any(
            target.has_simulated_driver for target in report.plan.targets if target.kind != "host"
        ),
        simulated=[target.title for target in report.plan.targets if target.simulated],
        groups=GROUPS,
        rows=list_columns(report.plan, report.outcomes, report.expected),
        list_parts=_list_parts,
        count=count,
        render_last_line=render_last_line,
        render_duration=render_duration,
        failed=[outcome for outcome in report.outcomes if outcome.outcome == "failed"],
        titles={target.identity: target.title for target in report.plan.targets},
        not_tested=[(reason, number, _where(report, reason)) for reason, number in report.counts.reasons],
        learned=learn([(target, report.of(target)) for target in report.plan.targets]),
        packages=PACKAGES,
        tolerance=CURVE_TOLERANCE,
        limit=XOR_ERROR_MAX,
        strip_end=STRIP_END,
    )


def _finalize(value: Any) -> Any:
    """Every value of the templates, without what no page may hold."""
    text = printable(str(value))
    return Markup(text) if isinstance(value, Markup) else text  # noqa: S704 - it was markup before


def _where(report: Report, reason: str) -> str:
    """``"cuda9.0-gpu: gpu; ..."``: the targets and groups of one reason."""
    places = []
    for target in report.plan.targets:
        own = {one.group for one in report.outcomes if (one.target, one.reason) == (target.identity, reason)}
        places += [f"{target.title}: {', '.join(group for group in GROUPS if group in own)}"] if own else []
    return "; ".join(places)


def _list_parts(column: Column, group: str) -> list[tuple[int, str]]:
    """What one group came to, the worst first."""
    found = column.found(group)
    counts = count(found)
    parts = (
        (counts.failed, "failed"),
        (column.number(group) - len(found), "never ran"),
        (counts.not_tested, "not tested"),
        (counts.passed, "passed"),
    )
    return [(number, word) for number, word in parts if number]
