"""Gather what report.html shows of the training: what nets decide, loss curves, twenty starts.

Targets whose pictures cannot be told apart share one. Where there is no result, the page says so and why.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, TypeVar

from markupsafe import Markup

from gpuenv.harness.judges.training import XOR_ERROR_MAX, XOR_TABLE
from gpuenv.harness.report import pictures
from gpuenv.harness.report.evidence import PACKAGES, REFERENCE, Curve, Evidence, Net, Perceptron
from gpuenv.harness.report.svg import why_none
from gpuenv.harness.targets.model import Target

#: A target's title, and what of it; "" where there is one thing only.
Member = tuple[str, str]
Value = TypeVar("Value")
#: Pairs of a target and what is known of it.
Shown = Sequence[tuple[Target, Evidence]]
#: Outputs that differ by less than this give pictures that the eye cannot tell apart.
SAME_PICTURE = 0.005
#: The gates that a perceptron is shown on: one that it learns, and the one that it cannot learn.
GATES = ("AND", "XOR")
#: Points at which outputs are compared.
_PROBES = pictures.AXIS[::8]


@dataclass(frozen=True)
class Figure:
    """A result and its picture, for the targets (and parts of them) that share it; ``gap``: why there is none."""

    title: str
    verdict: str = ""
    is_bad: bool = False
    members: Sequence[Member] = ()
    picture: Markup | None = None
    gap: str = ""


def learn(shown: Shown) -> dict[str, Any]:
    """Draw everything; without matplotlib, only what words say.

    A row of ``curves`` is a target's title and, of each package, its curve or why there is none.
    """
    no_pictures = why_none()
    rows = [(target.title, [_curve(target, known, name) for name in PACKAGES]) for target, known in shown]
    curves = [one for _, cells in rows for one in cells if isinstance(one, Curve)]
    return {
        "no_pictures": no_pictures,
        "figures": [*find_figures(shown, draws=not no_pictures), *_gaps(shown)],
        "has_curves": bool(curves),
        "losses": pictures.draw_losses(curves) if curves and not no_pictures else None,
        "curves": rows,
        "starts": [
            _starts(target, known, "" if no_pictures else f"starts-{number}")
            for number, (target, known) in enumerate(shown)
        ],
    }


def say_why(target: Target, known: Evidence, part: str) -> str:
    """Why there is no result of a part of the training."""
    return target.missing or known.gaps.get(part, "training was not run on this target")


def find_figures(shown: Shown, *, draws: bool = True) -> Iterator[Figure]:
    """A figure for each picture that can be told apart."""
    for gate in GATES:
        trained = [
            ((target.title, ""), known.perceptrons[gate]) for target, known in shown if gate in known.perceptrons
        ]
        for number, (perceptron, members) in enumerate(group(trained, operator.eq)):
            draw = partial(pictures.draw_perceptron, perceptron, gate, f"perceptron-{gate}-{number}")
            yield Figure(f"Perceptron on {gate}", *judge_perceptron(perceptron, gate), members, *_drawn(draw, draws))
    nets = [((target.title, name), known.nets[package]) for target, known in shown
            for package, name in PACKAGES.items() if package in known.nets]  # fmt: skip
    for number, (net, members) in enumerate(group(nets, looks_same)):
        draw = partial(pictures.draw_net, net, f"net-{number}")
        yield Figure("Two-layer net on XOR", *judge_net(net), members, *_drawn(draw, draws))


def _drawn(draw: Callable[[], Markup], draws: bool) -> tuple[Markup | None, str]:
    """A picture, or why there is none."""
    try:
        return (draw() if draws else None), ""
    except ValueError as error:
        return None, str(error)


def group(
    members: Iterable[tuple[Member, Value]], is_same: Callable[[Value, Value], bool]
) -> list[tuple[Value, list[Member]]]:
    """Members with the same value together, by the first value of each group."""
    groups: list[tuple[Value, list[Member]]] = []
    for name, value in members:
        names = next((names for other, names in groups if is_same(other, value)), None)
        if names is None:
            groups.append((value, names := []))
        names.append(name)
    return groups


def looks_same(one: Net, other: Net) -> bool:
    """Whether two nets give pictures that the eye cannot tell apart."""
    is_near = (abs(one.value(x, y) - other.value(x, y)) <= SAME_PICTURE for x in _PROBES for y in _PROBES)
    return one.table == other.table and all(is_near)


def judge_perceptron(perceptron: Perceptron, gate: str) -> tuple[str, bool]:
    """What came of it, and whether that is bad."""
    right = sum(want == got for want, got in zip(pictures.WANTED[gate], perceptron.table))
    after = f"{right} of 4 rows right after {perceptron.epochs} epochs"
    if gate == "XOR":
        return f"Not learned, as it must be: {after}, never more than {perceptron.best} on the way.", False
    return (f"Learned: {after}.", False) if right == 4 else (f"Not learned: {after}.", True)


def judge_net(net: Net) -> tuple[str, bool]:
    """What came of it, and whether that is bad."""
    worst = max(abs(value - want) for value, want in zip(net.output, XOR_TABLE))
    is_good = worst <= XOR_ERROR_MAX
    word = "Learned" if is_good else "Not learned"
    return f"{word}: worst output {worst:.3f} off its target after {len(net.losses)} steps.", not is_good


def _gaps(shown: Shown) -> Iterator[Figure]:
    """A box for each reason for which pictures are missing, with the targets and the pictures that it is about."""
    missing: dict[str, list[Member]] = {}
    for target, known in shown:
        lacking = {} if known.perceptrons.keys() >= set(GATES) else {"perceptron": "perceptron"}
        lacking.update({part: f"net in {name}" for part, name in PACKAGES.items() if part not in known.nets})
        for part, name in lacking.items():
            missing.setdefault(say_why(target, known, part), []).append((target.title, name))
    for reason, pairs in missing.items():
        yield Figure("No result", members=pairs, gap=f"{reason}.")


def _curve(target: Target, known: Evidence, package: str) -> Curve | str:
    if package in known.nets and REFERENCE in known.nets:
        return Curve(target.title, package, known.nets[package], known.nets[REFERENCE])
    return say_why(target, known, package if package not in known.nets else REFERENCE)


def _starts(target: Target, known: Evidence, key: str) -> Figure:
    """``"20 of 20 starts learn XOR; worst output 0.021 off its target"``."""
    values = list(known.seeds.values())
    if not values:
        return Figure(target.title, gap=say_why(target, known, "seeds"))
    learned = sum(value <= XOR_ERROR_MAX for value in values)
    worst = math.nan if any(map(math.isnan, values)) else max(values)
    line = f"{learned} of {len(values)} starts learn XOR; worst output {worst:.3f} off its target"
    picture = pictures.draw_starts(values, key) if key else None
    return Figure(target.title, line, learned < len(values), picture=picture)
