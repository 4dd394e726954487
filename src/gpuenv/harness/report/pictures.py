"""Draw the pictures of report.html: what nets decide, loss curves, starts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from gpuenv.core.ui import printable
from gpuenv.harness.judges.training import CURVE_TOLERANCE, XOR_ERROR_MAX, XOR_TABLE
from gpuenv.harness.report.evidence import PACKAGES, Curve, Net, Perceptron
from gpuenv.harness.report.svg import Drawing, matplotlib_settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INPUTS = ((0, 0), (0, 1), (1, 0), (1, 1))
WANTED = {"AND": (0, 0, 0, 1), "XOR": XOR_TABLE}
#: The part of the plane that is drawn: the unit square with a margin.
LOW, HIGH = -0.4, 1.4
#: 41 points each way: outlines are smooth to the eye at the size in which they are shown.
AXIS = tuple(LOW + (HIGH - LOW) * step / 40 for step in range(41))
#: How each net is drawn: the grid both ways, and the values above which each color begins. The line is where the middle
#: color begins.
PLANES: Mapping[type, tuple[tuple[float, ...], Mapping[float, str]]] = {
    # A straight line is the same on the coarsest grid.
    Perceptron: ((LOW, HIGH), {-math.inf: "b1", 0.0: "b8"}),
    Net: (AXIS, {-math.inf: "b0", **{step / 10: f"b{step}" for step in range(1, 10)}}),
}
#: The side of a decision's plot, in units of the drawing.
SIDE = 240.0
#: Losses outside have no place on a picture.
LEAST_LOSS, MOST_LOSS = 1e-9, 1e6
#: Curves that coincide take turns: a dash of each, one after the other.
DASH = 7
#: Names beside curves keep this distance.
LINE_HEIGHT = 15.0
#: The strip of starts ends here: an output this far from its target rounds to the wrong answer.
STRIP_END = 0.5


def draw_perceptron(perceptron: Perceptron, gate: str, key: str) -> Markup:
    """The half plane that the perceptron answers with 1, and the line that bounds it."""
    (w1, w2), bias = perceptron.weights, perceptron.bias
    text = f"The plane, divided by the line {w1:g} x + {w2:g} y + {bias:g} = 0."
    return _draw_decision(perceptron, gate, key, f"Decision boundary of the perceptron on {gate}", text)


def draw_net(net: Net, key: str) -> Markup:
    """The output of the two-layer net as a filled contour. Raises ValueError if it is no number somewhere."""
    text = "The output, 0 to 1, for every point; the line is at 0.5."
    return _draw_decision(net, "XOR", key, "Output of the two-layer net on XOR", text)


@matplotlib_settings()
def _draw_decision(learned: Perceptron | Net, gate: str, key: str, title: str, text: str) -> Markup:
    axis, bands = PLANES[type(learned)]
    values = [[learned.value(x, y) for x in axis] for y in axis]
    if not all(math.isfinite(value) for row in values for value in row):
        raise ValueError("its weights are no numbers any more")
    from contourpy import contour_generator
    from matplotlib.patches import Circle, PathPatch
    from matplotlib.path import Path

    drawing = Drawing((SIDE + 40, SIDE + 42), (34, 36, 6, 6))
    axes = drawing.axes
    contours: Any = contour_generator(axis, axis, values, fill_type="OuterCode", line_type="Separate")
    for level, name in bands.items():
        for points, codes in zip(*contours.filled(level, math.inf)):
            axes.add_artist(PathPatch(Path(points, codes), gid=f"css {name}"))
    for points in contours.lines(list(bands)[len(bands) // 2]):
        axes.plot(*zip(*points), gid="css boundary")
    unit = (HIGH - LOW) / SIDE
    for (x, y), want, got in zip(INPUTS, WANTED[gate], learned.table):
        # A circle with the right answer in it; a ring says that the net gives the other one.
        axes.add_artist(Circle((x, y), 11 * unit, gid=f"css row{want}", zorder=3))
        axes.text(x, y, str(want), gid=f"css digit{want}", ha="center", va="center", zorder=4)
        if want != got:
            axes.add_artist(Circle((x, y), 17 * unit, gid="css wrong", zorder=3))
            axes.text(x, y - 28 * unit, "wrong", gid="css wrong-word", ha="center", va="center", zorder=4)
    axes.spines[:].set_gid("css frame")
    axes.set(xlim=(LOW, HIGH), ylim=(LOW, HIGH), xticks=(0, 1), yticks=(0, 1))
    drawing.label("input 1", "input 2")
    rows = (f"({x}, {y}) wants {want} and gets {got}" for (x, y), want, got in zip(INPUTS, WANTED[gate], learned.table))
    return drawing.svg("decision", key, title, f"{text} {'; '.join(rows)}.")


@matplotlib_settings()
def draw_losses(curves: Sequence[Curve]) -> Markup:
    """All curves over the reference, which is wide and pale; one that leaves it is a full line with a name."""
    from matplotlib.ticker import LogLocator, NullLocator

    near = [curve for curve in curves if curve.leaves_at is None]
    far = [curve for curve in curves if curve.leaves_at is not None]
    drawing = Drawing((640, 340), (52, 42, 14, 12))
    axes = drawing.axes
    axes.set_yscale("log")
    for losses in dict.fromkeys(curve.reference.losses for curve in curves):
        axes.plot(_drawable(losses), gid="css reference")
    dashes = (DASH, DASH * max(1, len(near) - 1))
    for number, curve in enumerate([*near, *far]):
        style: Any = (-DASH * number, dashes) if number < len(near) else "-"
        axes.plot(_drawable(curve.net.losses), gid=f"css curve {curve.package}", ls=style)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(axis="y")
    axes.spines[:].set_visible(False)
    drawing.label("training step", "loss (log scale)")
    _name(axes, far)
    text = f"{len(near)} of {len(curves)} curves coincide with the numpy reference to {CURVE_TOLERANCE:g}."
    return drawing.svg("losses", "losses", "Loss curves of the two-layer net on XOR", text)


def _drawable(losses: Sequence[float]) -> list[float]:
    """A curve in which what has no place on it (infinite, not a number) is a gap."""
    return [loss if LEAST_LOSS <= loss <= MOST_LOSS else math.nan for loss in losses]


def _name(axes: Axes, curves: Sequence[Curve]) -> None:
    """Names above the right ends of curves (below, where there is no room), moved apart where they would overlap."""
    axes.autoscale_view()
    right, top = axes.bbox.x1 - 4, axes.bbox.y1
    ends = [(axes.transData.transform((0, curve.net.losses[-1]))[1], curve) for curve in curves
            if LEAST_LOSS <= curve.net.losses[-1] <= MOST_LOSS]  # fmt: skip
    free = top
    for y, curve in sorted(ends, key=lambda end: -end[0]):
        free = min(y + 9 if y + 9 + LINE_HEIGHT < top else y - 17, free - LINE_HEIGHT)
        name = printable(f"{curve.target}, {PACKAGES[curve.package]}")
        axes.text(right, free, name, gid=f"css name {curve.package}", ha="right", transform=None)


@matplotlib_settings()
def draw_starts(worst: Sequence[float], key: str) -> Markup:
    """A strip with a dot for each start, by how far its worst output is from the target; a line at the limit."""
    drawing = Drawing((240, 22), (8, 0, 8, 0))
    axes = drawing.axes
    axes.set(xlim=(0, STRIP_END), ylim=(-11, 11))
    axes.axis("off")
    axes.plot((0, STRIP_END), (0, 0), gid="css grid", clip_on=False)
    axes.plot((XOR_ERROR_MAX,) * 2, (-9, 9), gid="css limit")
    good = [value for value in worst if value <= XOR_ERROR_MAX]
    bad = [min(value, STRIP_END) if math.isfinite(value) else STRIP_END for value in worst if value not in good]
    for css, values in (("start", good), ("start bad", bad)):
        if values:
            axes.scatter(values, [0] * len(values), s=64, gid=f"css {css}", clip_on=False)
    figures = ", ".join(f"{value:.3f}" for value in worst)
    text = f"From 0 to {STRIP_END:g}: {figures}; the limit is {XOR_ERROR_MAX:g}."
    return drawing.svg("starts", key, "Distance of the worst output from its target, for each start", text)
