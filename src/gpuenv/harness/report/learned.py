"""The part of report.html about training: what the nets decide, their loss curves, the twenty starts. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from gpuenv.harness.judges import training as judges
from gpuenv.harness.report import curves as report_curves
from gpuenv.harness.report.curves import Curve
from gpuenv.harness.report.decisions import Shown, render_decisions, render_scale, say_no_picture, say_why
from gpuenv.harness.report.evidence import PACKAGES, REFERENCE, Evidence
from gpuenv.harness.report.markup import Markup, tag
from gpuenv.harness.targets.model import Target


def render_learned(shown: Shown) -> Markup:
    """The section with all pictures."""
    return tag(
        "section",
        tag("h2", "What the nets learned"),
        tag(
            "p",
            "A perceptron draws one straight line. That is enough for AND; no line separates XOR, which takes a second "
            "layer. A circle is one row of the truth table with the right answer in it; a ring marks a wrong answer. "
            "A point on the line counts as 0.",
            class_="lead",
        ),
        render_scale(),
        tag("div", render_decisions(shown), class_="figures"),
        _losses(shown),
        _starts(shown),
        id="learned",
    )


# --- loss curves ------------------------------------------------------------------------------------


def _losses(shown: Shown) -> list[Markup]:
    curves = report_curves.find_curves(shown)
    head = tag("h3", "Loss curves over the numpy reference")
    if not curves:
        return [head, say_no_picture("No curves: no target gave a training result with a reference.")]
    text = (
        "Every program starts from the same given weights, so its curve has to be that of plain numpy (the wide pale "
        f"line) to {judges.CURVE_TOLERANCE:g}. Curves that coincide take turns along the line, one dash each; one that "
        "leaves it is a full line with its name."
    )
    key = [tag("li", name, class_=f"key {package}") for package, name in PACKAGES.items()]
    legend = tag("ul", tag("li", "numpy reference", class_="key reference"), key, class_="legend")
    picture = tag("figure", legend, tag("div", report_curves.draw_losses(curves), class_="scroll"))
    return [head, tag("p", text, class_="lead"), picture, _table_of_losses(shown, curves)]


def _table_of_losses(shown: Shown, curves: Sequence[Curve]) -> Markup:
    found = {(curve.target, curve.package): curve for curve in curves}
    heads = [tag("th", name, scope="col") for name in PACKAGES.values()]
    rows = [
        tag(
            "tr",
            tag("th", target.title, scope="row"),
            (_loss_cell(found.get((target.title, package)), target, known, package) for package in PACKAGES),
        )
        for target, known in shown
    ]
    caption = tag("caption", "Last loss, and the largest distance from numpy")
    return _scroll(
        tag("table", caption, tag("thead", tag("tr", tag("th", "target", scope="col"), heads)), tag("tbody", rows))
    )


def _loss_cell(curve: Curve | None, target: Target, known: Evidence, package: str) -> Markup:
    if curve is None:
        part = package if package not in known.nets else REFERENCE
        return tag("td", f"no result: {say_why(target, known, part)}", class_="muted")
    loss = f"{curve.net.losses[-1]:.4f}"
    if curve.leaves_at is not None:
        return tag("td", f"{loss}, leaves numpy at step {curve.leaves_at}", class_="bad")
    return tag("td", loss, ", ", tag("span", f"{curve.difference:.1e} off", class_="muted nowrap"))


# --- twenty starts ----------------------------------------------------------------------------------


def _starts(shown: Shown) -> list[Markup]:
    rows = [
        tag("tr", tag("th", target.title, scope="row"), _start_cells(target, known, f"starts-{number}"))
        for number, (target, known) in enumerate(shown)
    ]
    heads = (
        tag("th", "target", scope="col"),
        tag("th", "result", scope="col"),
        tag(
            "th",
            f"worst output of each start, 0 to {report_curves.STRIP_END:g} off (line: {judges.XOR_ERROR_MAX:g})",
            scope="col",
        ),
    )
    return [
        tag("h3", "Success over 20 starts"),
        tag(
            "p",
            f"XOR counts as learned from a start if no output is more than {judges.XOR_ERROR_MAX:g} off its target.",
            class_="lead",
        ),
        _scroll(tag("table", tag("thead", tag("tr", heads)), tag("tbody", rows))),
    ]


def _start_cells(target: Target, known: Evidence, key: str) -> list[Markup]:
    if not known.seeds:
        return [tag("td", f"no result: {say_why(target, known, 'seeds')}", class_="muted"), tag("td")]
    line = describe_starts(known.seeds)
    is_good = all(value <= judges.XOR_ERROR_MAX for value in known.seeds.values())
    strip = report_curves.draw_starts(list(known.seeds.values()), key)
    return [tag("td", line, class_=None if is_good else "bad"), tag("td", strip)]


def describe_starts(worst_by_seed: Mapping[str, float]) -> str:
    """``"20 of 20 starts learn XOR; worst output 0.021 off its target"``."""
    values = list(worst_by_seed.values())
    learned = sum(value <= judges.XOR_ERROR_MAX for value in values)
    worst = math.nan if any(map(math.isnan, values)) else max(values)
    return f"{learned} of {len(values)} starts learn XOR; worst output {worst:.3f} off its target"


def _scroll(table: Markup) -> Markup:
    """Wide tables scroll in a narrow window, and the page does not. (A keyboard can scroll what has the focus.)"""
    return tag("div", table, class_="scroll", tabindex="0")
