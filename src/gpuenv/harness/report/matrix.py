"""The part of report.html with a row for each target: the groups of checks at a glance, then every check. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gpuenv.harness.report.markup import Markup, tag
from gpuenv.harness.report.model import GROUPS, Outcome, Report, count, measure_elapsed, render_last_line
from gpuenv.harness.report.table import render_duration
from gpuenv.harness.targets.model import Target

#: What each group is about, for who reads a report without having read the README.
ABOUT = {
    "target": "the environment is there and its Python starts",
    "identity": "versions, labels and installed packages are those of the lock, file by file",
    "imports": "every package imports; TensorFlow and Keras import without complaint",
    "linkage": "libraries find each other, in the right versions, and no driver is baked in",
    "gpu": "the driver answers, the card suits this variant, and TensorFlow computes on it correctly",
    "training": "nets learn what they should, as plain numpy does, and cannot learn what they cannot",
    "isolation": "not root, no network, read-only; nothing of the building machine is left inside",
    "notebook": "a notebook with a plot runs from top to bottom",
}
WORDS = {"passed": "passed", "failed": "failed", "skipped": "not tested"}


def split_title(target: Target) -> tuple[str, list[str]]:
    """The name of a target, and what of it is simulated: ``("cuda9.0-gpu", ["simulated CUDA"])``."""
    name, _, simulated = target.title.partition(" (simulated ")
    return name, [f"simulated {part}" for part in simulated.removesuffix(")").split(", simulated ") if part]


def render_matrix(report: Report) -> Markup:
    """Targets and groups, with versions, device and time."""
    heads = ("target", "trained on", *GROUPS, "time")
    head = tag("thead", tag("tr", (tag("th", name, scope="col") for name in heads)))
    rows = [_row(report, target) for target in report.plan.targets]
    table = tag("table", tag("caption", "Environments and groups of checks"), head, tag("tbody", rows), class_="matrix")
    about = (tag("div", tag("dt", group), tag("dd", text)) for group, text in ABOUT.items())
    return tag(
        "section",
        tag("h2", "Targets"),
        tag("div", table, class_="scroll", tabindex="0"),
        tag("details", tag("summary", "What each group checks"), tag("dl", about, class_="about")),
    )


def _row(report: Report, target: Target) -> Markup:
    found = [outcome for outcome in report.outcomes if outcome.target == target.identity]
    known = report.of(target)
    name, simulated = split_title(target)
    versions = [tag("span", f"{package} {version}") for package, version in known.versions.items()]
    title = (
        name,
        " ",
        (tag("span", mark, class_="mark") for mark in simulated),
        tag("span", _separate(versions), class_="versions") if versions else None,
    )
    devices = (tag("span", device, class_="versions") for device in known.devices)
    return tag(
        "tr",
        tag("th", title, scope="row"),
        tag("td", ", ".join(known.trained_on) or "not trained", devices, class_="" if known.trained_on else "muted"),
        _cells(target, found, report.expected.get(target.identity, {})),
        tag("td", render_duration(measure_elapsed(found)) if found else "none", class_="time"),
    )


def _separate(words: Sequence[Markup]) -> list[Markup | str]:
    """Words with commas between them; a line breaks only there."""
    return [part for number, word in enumerate(words) for part in ((", ", word) if number else (word,))]


def _cells(target: Target, found: Sequence[Outcome], expected: Mapping[str, int]) -> list[Markup]:
    """The cells of a target's groups; all but the first are one where there is no environment to check."""
    cells = [_cell([one for one in found if one.group == group], expected.get(group, 0)) for group in GROUPS]
    if target.missing is None:
        return cells
    return [cells[0], tag("td", f"there is no such environment: {target.missing}", colspan=len(GROUPS) - 1)]


def _cell(found: Sequence[Outcome], expected: int) -> Markup:
    """One group of one target. The words carry what the color says."""
    counts = count(found)
    parts = (
        (counts.failed, "failed"),
        (max(0, expected - len(found)), "never ran"),
        (counts.not_tested, "not tested"),
        (counts.passed, "passed"),
    )
    there = [(number, word) for number, word in parts if number]
    if not there:
        return tag("td", "no check", class_="muted")
    words = (tag("span", f"{number} {word}") for number, word in there)
    return tag("td", words, class_=f"cell {there[0][1].replace(' ', '-')}")


def render_all_checks(report: Report) -> Markup:
    """Every check, target by target."""
    details = (_checks_of(report, target) for target in report.plan.targets)
    return tag("section", tag("h2", "Every check"), details, id="checks")


def _checks_of(report: Report, target: Target) -> Markup:
    found = [outcome for outcome in report.outcomes if outcome.target == target.identity]
    heads = (tag("th", name, scope="col") for name in ("check", "result", "seconds"))
    rows = (
        tag(
            "tr",
            tag("th", tag("code", one.check), scope="row"),
            tag("td", _say_result(one), class_=f"result {WORDS.get(one.outcome, 'failed').replace(' ', '-')}"),
            tag("td", f"{one.seconds:.2f}", class_="time"),
        )
        for one in found
    )
    table = tag("table", tag("thead", tag("tr", heads)), tag("tbody", rows), class_="checks")
    summary = tag("summary", target.title, tag("span", render_last_line(count(found)), class_="versions"))
    return tag("details", summary, tag("div", table, class_="scroll", tabindex="0"))


def _say_result(outcome: Outcome) -> str:
    """A result in words: an outcome that nobody knows is no success."""
    word = WORDS.get(outcome.outcome, "failed")
    more = outcome.reason or (outcome.what if word == "failed" else "")
    return f"{word}: {more}" if more else word
