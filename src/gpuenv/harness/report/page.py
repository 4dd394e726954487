"""Render ``reports/report.html``: one page with everything that a run found, and nothing from outside.

What programs printed is text on this page, never markup: the templates escape every value; a content policy on the page
itself forbids scripts and every outside resource.
"""

from __future__ import annotations

import platform
import time
from pathlib import Path
from typing import Any

from markupsafe import Markup

from gpuenv.core.ui import printable
from gpuenv.harness.judges.training import CURVE_TOLERANCE, XOR_ERROR_MAX
from gpuenv.harness.report.evidence import PACKAGES
from gpuenv.harness.report.learned import learn
from gpuenv.harness.report.model import FINISHED, GROUPS, Report, count
from gpuenv.harness.report.pictures import STRIP_END
from gpuenv.harness.report.table import render_duration


def save_page(report: Report, path: Path) -> None:
    """Write the page."""
    path.write_text(render_page(report), encoding="utf-8")


def render_page(report: Report) -> str:
    """The whole page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("gpuenv.harness.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(
        report=report,
        is_cut_off=report.status == "not finished" or report.exit_code not in (None, *FINISHED),
        ended=time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(report.ended)),
        machine=f"{platform.node()}, {platform.system()} {platform.machine()}",
        groups=GROUPS,
        count=count,
        render_duration=render_duration,
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
