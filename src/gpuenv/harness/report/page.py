"""``reports/report.html``: one page with everything that a run found, and nothing from outside. Pure, but for the file.

What programs printed is text on this page, never markup (see :mod:`gpuenv.harness.report.markup`); a content policy
on the page itself forbids scripts and every outside resource.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from pathlib import Path

from gpuenv.harness.report import learned as report_learned
from gpuenv.harness.report import matrix as report_matrix
from gpuenv.harness.report.markup import Markup, tag
from gpuenv.harness.report.model import FINISHED, GROUPS, Outcome, Report, render_last_line
from gpuenv.harness.report.table import render_duration

STYLE = Path(__file__).with_name("report.css")
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def save_page(report: Report, path: Path) -> None:
    """Write the page."""
    path.write_text(render_page(report), encoding="utf-8")


def render_page(report: Report) -> str:
    """The whole page."""
    line = render_last_line(report.counts)
    head = (
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"gpuenv: {report.status}: {line}"),
        tag("style", Markup(STYLE.read_text(encoding="utf-8"))),
    )
    shown = [(target, report.of(target)) for target in report.plan.targets]
    main = (
        _verdict(report, line),
        report_matrix.render_matrix(report),
        _failures(report),
        _not_tested(report),
        report_learned.render_learned(shown),
        report_matrix.render_all_checks(report),
    )
    return "<!doctype html>\n" + tag("html", tag("head", head), tag("body", tag("main", main)), lang="en") + "\n"


# --- what the run came to ---------------------------------------------------------------------------


def _verdict(report: Report, line: str) -> Markup:
    # The same words as the last line on the terminal; the reasons in it are smaller.
    figures, bracket, reasons = line.partition(" (")
    return tag(
        "header",
        tag("p", "gpuenv test-env", class_="product"),
        tag("p", report.status, class_="status"),
        tag("h1", figures, tag("small", bracket, reasons) if bracket else None),
        _unfinished(report),
        tag("dl", _facts(report), class_="facts"),
        _simulated(report),
        class_="verdict is-good" if report.status == "passed" else "verdict",
    )


def _unfinished(report: Report) -> Markup | None:
    if report.never_ran:
        return tag(
            "p", f"The run stopped before its end: {report.never_ran} checks never ran. They are not counted above."
        )
    if report.status == "not finished" or report.exit_code not in (None, *FINISHED):
        return tag(
            "p", f"pytest did not run to its end (exit code {report.exit_code}): what is below is what it came to."
        )
    return None


def _facts(report: Report) -> Iterator[Markup]:
    driver = report.plan.host_driver
    simulated = any(target.has_simulated_driver for target in report.plan.targets if target.kind != "host")
    name = f"NVIDIA driver {driver}{' (simulated)' if simulated else ''}" if driver else "no NVIDIA driver"
    host = f"{platform.node()}, {platform.system()} {platform.machine()}"
    ended = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(report.ended))
    facts = (
        ("Finished", f"{ended}, after {render_duration(report.ended - report.began)}"),
        ("This machine", host),
        ("GPU driver", name),
        ("Beside this page", "report.json and junit.xml, for programs"),
    )
    for title, value in facts:
        yield tag("div", tag("dt", title), tag("dd", value))


def _simulated(report: Report) -> Markup | None:
    marked = [target.title for target in report.plan.targets if report_matrix.split_title(target)[1]]
    if not marked:
        return None
    return tag(
        "p",
        tag("strong", "Simulated parts. "),
        "A simulated CUDA library or driver is a stand-in made for tests, which computes nothing: its target "
        "trains on the CPU, and what needs a real GPU is not tested on it. This is so for ",
        ", ".join(marked),
        ".",
        class_="note",
    )


# --- failures, and what was not tested --------------------------------------------------------------


def _failures(report: Report) -> Markup | None:
    failed = [outcome for outcome in report.outcomes if outcome.outcome == "failed"]
    if not failed:
        return None
    titles = {target.identity: target.title for target in report.plan.targets}
    articles = (_failure(outcome, titles.get(outcome.target, outcome.target)) for outcome in failed)
    return tag("section", tag("h2", "Failures"), articles, id="failures")


def _failure(outcome: Outcome, title: str) -> Markup:
    lines = (("cause", outcome.why), ("next", outcome.next_step))
    more = (tag("div", tag("dt", name), tag("dd", text)) for name, text in lines if text)
    output = (
        tag("details", tag("summary", "Output"), tag("pre", outcome.output, tabindex="0")) if outcome.output else None
    )
    return tag(
        "article",
        tag("p", tag("code", outcome.check), " on ", title, class_="where"),
        tag("h3", outcome.what),
        tag("dl", more),
        output,
        class_="failure",
    )


def _not_tested(report: Report) -> Markup | None:
    reasons = report.counts.reasons
    if not reasons:
        return None
    heads = (tag("th", name, scope="col") for name in ("reason", "checks", "where"))
    rows = (
        tag("tr", tag("th", reason, scope="row"), tag("td", number), tag("td", _where(report, reason)))
        for reason, number in reasons
    )
    table = tag("table", tag("thead", tag("tr", heads)), tag("tbody", rows), class_="reasons")
    lead = tag("p", "These checks did not run. They count neither as passed nor as failed.", class_="lead")
    return tag(
        "section", tag("h2", "Not tested"), lead, tag("div", table, class_="scroll", tabindex="0"), id="not-tested"
    )


def _where(report: Report, reason: str) -> str:
    """``"cuda9.0-gpu: gpu; ..."``: the targets and groups of one reason."""
    places = []
    for target in report.plan.targets:
        own = [outcome for outcome in report.outcomes if outcome.target == target.identity and outcome.reason == reason]
        groups = [group for group in GROUPS if any(one.outcome == "skipped" and one.group == group for one in own)]
        places += [f"{target.title}: {', '.join(groups)}"] if groups else []
    return "; ".join(places)
