"""The part of report.html that shows what each net decides. Pure.

Targets whose pictures cannot be told apart share one. Where there is no result, the page says so and why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Callable, TypeVar

from gpuenv.harness.judges import training as judges
from gpuenv.harness.report import contour
from gpuenv.harness.report import pictures as report_pictures
from gpuenv.harness.report.evidence import PACKAGES, Evidence, Net, Perceptron
from gpuenv.harness.report.markup import Markup, tag
from gpuenv.harness.targets.model import Target

T = TypeVar("T")
Value = TypeVar("Value")
#: Pairs of a target and what is known of it.
Shown = Sequence[tuple[Target, Evidence]]
#: Outputs that differ by less than this give pictures that the eye cannot tell apart.
SAME_PICTURE = 0.005
#: Points at which outputs are compared.
_PROBES = report_pictures.AXIS[::8]


def render_decisions(shown: Shown) -> Iterator[Markup]:
    """A figure for each picture that can be told apart, then a box for each reason for which one is missing."""
    pairs = [(target.title, (known.perceptrons["AND"], known.perceptrons["XOR"])) for target, known in shown
             if {"AND", "XOR"} <= known.perceptrons.keys()]  # fmt: skip
    for number, (both, titles) in enumerate(group(pairs, lambda one, other: one == other)):
        for gate, perceptron in zip(("AND", "XOR"), both):
            picture = report_pictures.draw_perceptron(perceptron, gate, f"perceptron-{gate}-{number}")
            yield _figure(picture, f"Perceptron on {gate}", _judge_perceptron(perceptron, gate), titles)
    nets = [((target.title, package), known.nets[package]) for target, known in shown for package in PACKAGES
            if package in known.nets]  # fmt: skip
    for number, (net, members) in enumerate(group(nets, looks_same)):
        verdict = _judge_net(net)
        try:
            picture = report_pictures.draw_net(net, f"net-{number}")
        except ValueError as error:
            picture = say_no_picture(f"No picture: {error}")
        yield _figure(picture, "Two-layer net on XOR", verdict, _name_members(members))
    yield from _missing_pictures(shown)


def group(members: Iterable[tuple[T, Value]], is_same: Callable[[Value, Value], bool]) -> list[tuple[Value, list[T]]]:
    """Members with the same value together, by the first value of each group."""
    groups: list[tuple[Value, list[T]]] = []
    for name, value in members:
        known = next((names for other, names in groups if is_same(other, value)), None)
        if known is None:
            groups.append((value, [name]))
        else:
            known.append(name)
    return groups


def looks_same(one: Net, other: Net) -> bool:
    """Whether two nets give pictures that the eye cannot tell apart."""
    grids = (contour.sample(net.value, _PROBES) for net in (one, other))
    return one.table == other.table and all(
        abs(first - second) <= SAME_PICTURE for rows in zip(*grids) for first, second in zip(*rows)
    )


def _name_members(members: Iterable[tuple[str, str]]) -> list[str]:
    """``["cuda9.0-cpu: Keras, tf.keras"]`` from pairs of target and package."""
    by_target: dict[str, list[str]] = {}
    for title, package in members:
        by_target.setdefault(title, []).append(PACKAGES[package])
    return [f"{title}: {', '.join(packages)}" for title, packages in by_target.items()]


def _judge_perceptron(perceptron: Perceptron, gate: str) -> str:
    right = sum(want == got for want, got in zip(report_pictures.WANTED[gate], perceptron.table))
    after = f"{right} of 4 rows right after {perceptron.epochs} epochs"
    if gate == "XOR":
        return f"Not learned, as it must be: {after}, never more than {perceptron.best} on the way."
    return f"Learned: {after}." if right == 4 else f"Not learned: {after}."


def _judge_net(net: Net) -> str:
    worst = max(abs(value - want) for value, want in zip(net.output, judges.XOR_TABLE))
    word = "Learned" if worst <= judges.XOR_ERROR_MAX else "Not learned"
    return f"{word}: worst output {worst:.3f} off its target after {len(net.losses)} steps."


def _figure(picture: Markup, title: str, verdict: str, members: Sequence[str]) -> Markup:
    bad = verdict.startswith("Not learned:")
    return tag(
        "figure",
        picture,
        tag(
            "figcaption",
            tag("strong", title),
            tag("span", verdict, class_="bad" if bad else None),
            _list_members(members),
        ),
    )


def _list_members(members: Sequence[str]) -> Markup:
    return tag("ul", (tag("li", member) for member in members), class_="members")


def _missing_pictures(shown: Shown) -> Iterator[Markup]:
    """A box for each reason for which pictures are missing, with the targets and the pictures that it is about."""
    missing: dict[str, dict[str, list[str]]] = {}
    for target, known in shown:
        lacking = {} if {"AND", "XOR"} <= known.perceptrons.keys() else {"perceptron": "perceptron"}
        lacking.update({part: f"net in {name}" for part, name in PACKAGES.items() if part not in known.nets})
        for part, name in lacking.items():
            missing.setdefault(say_why(target, known, part), {}).setdefault(target.title, []).append(name)
    for reason, by_target in missing.items():
        names = [f"{title}: {', '.join(parts)}" for title, parts in by_target.items()]
        yield tag(
            "figure",
            say_no_picture(f"No picture: {reason}."),
            tag("figcaption", tag("strong", "No result"), _list_members(names)),
        )


def render_scale() -> Markup:
    """What the colors mean."""
    bands = (tag("span", class_=f"swatch b{band}") for band in range(10))
    return tag("p", "answer 0 ", tag("span", bands, class_="bands", aria_hidden="true"), " answer 1", class_="scale")


def say_why(target: Target, known: Evidence, part: str) -> str:
    """Why there is no result of a part of the training."""
    return target.missing or known.gap(part)


def say_no_picture(text: str) -> Markup:
    """What stands in a picture's place."""
    return tag("div", tag("p", text), class_="no-picture")
