"""Pictures of what a net decides for every point of the plane around XOR's four (inline SVG). Pure.

The horizontal axis is the first input, the vertical one the second. A circle is one row of the truth table; the
number in it is the right answer, and a ring around it says that the net gives the other one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from gpuenv.harness.report import contour
from gpuenv.harness.report.contour import Point
from gpuenv.harness.report.evidence import Net, Perceptron
from gpuenv.harness.report.markup import Markup, tag

INPUTS = ((0, 0), (0, 1), (1, 0), (1, 1))
WANTED = {"AND": (0, 0, 0, 1), "XOR": (0, 1, 1, 0)}
#: The part of the plane that is drawn: the unit square with a margin.
LOW, HIGH = -0.4, 1.4
#: 41 points each way: outlines are smooth to the eye at the size in which they are shown.
AXIS = tuple(LOW + (HIGH - LOW) * step / 40 for step in range(41))
#: Outputs at which the color changes; the middle one decides between 0 and 1.
LEVELS = tuple(step / 10 for step in range(1, 10))
#: In units of the drawing: the plot's side, and the room for what stands at its left and its foot.
SIDE, LEFT, TOP, FOOT = 240.0, 34.0, 6.0, 36.0


def to_drawing(point: Point) -> Point:
    """Where a point of the plane is in the drawing (whose second axis points down)."""
    x, y = ((value - LOW) / (HIGH - LOW) * SIDE for value in point)
    return LEFT + x, TOP + SIDE - y


def boundary(perceptron: Perceptron) -> tuple[Point, Point] | None:
    """Where the line ``w1 * x + w2 * y + bias = 0`` enters and leaves what is drawn; None if it does not."""
    (w1, w2), bias = perceptron.weights, perceptron.bias
    found = set()
    for edge in (LOW, HIGH):
        for along, across, is_turned in ((w1, w2, False), (w2, w1, True)):
            # On the edge where one input is `edge`: along * edge + across * other + bias = 0.
            other = -(along * edge + bias) / across if across else math.nan
            if LOW <= other <= HIGH:
                found.add((other, edge) if is_turned else (edge, other))
    ends = sorted(found)
    return (ends[0], ends[-1]) if len(ends) > 1 else None


def draw_perceptron(perceptron: Perceptron, gate: str, key: str) -> Markup:
    """The half plane that the perceptron answers with 1, and the line that bounds it."""
    corners = (LOW, HIGH)
    region = contour.outlines(contour.sample(perceptron.value, corners), corners, 0.0)
    shapes = [_plot("b1"), _region(region, "b8")]
    ends = boundary(perceptron)
    if ends:
        (x1, y1), (x2, y2) = map(to_drawing, ends)
        shapes.append(tag("line", class_="boundary", x1=_n(x1), y1=_n(y1), x2=_n(x2), y2=_n(y2)))
    shapes += _rows(WANTED[gate], perceptron.table)
    (w1, w2), bias = perceptron.weights, perceptron.bias
    line = f"The plane, divided by the line {w1:g} x + {w2:g} y + {bias:g} = 0."
    text = f"{line} {_describe(WANTED[gate], perceptron.table)}"
    return _svg(key, f"Decision boundary of the perceptron on {gate}", text, shapes)


def draw_net(net: Net, key: str) -> Markup:
    """The output of the two-layer net as a filled contour. Raises ValueError if it is no number somewhere."""
    values = contour.sample(net.value, AXIS)
    if not all(map(math.isfinite, (value for row in values for value in row))):
        raise ValueError("its weights are no numbers any more")
    shapes = [_plot("b0")]
    for band, level in enumerate(LEVELS, start=1):
        shapes.append(_region(contour.outlines(values, AXIS, level), f"b{band}"))
    # The outline again, as a line: without the parts that only follow the edge of what is drawn.
    for outline in contour.outlines(values, AXIS, 0.5):
        shapes += [tag("path", class_="boundary", d=_path(part)) for part in _inner_parts(outline)]
    shapes += _rows(WANTED["XOR"], net.table)
    text = f"The output, 0 to 1, for every point; the line is at 0.5. {_describe(WANTED['XOR'], net.table)}"
    return _svg(key, "Output of the two-layer net on XOR", text, shapes)


def _describe(wanted: Sequence[int], table: Sequence[int]) -> str:
    rows = zip(INPUTS, wanted, table)
    return "; ".join(f"({x}, {y}) wants {want} and gets {got}" for (x, y), want, got in rows) + "."


def _svg(key: str, title: str, description: str, shapes: Iterable[Markup]) -> Markup:
    names = (f"{key}-title", f"{key}-desc")
    return tag(
        "svg",
        tag("title", title, id=names[0]),
        tag("desc", description, id=names[1]),
        shapes,
        _axes(),
        class_="decision",
        role="img",
        aria_labelledby=" ".join(names),
        viewBox=f"0 0 {_n(LEFT + SIDE + 6)} {_n(TOP + SIDE + FOOT)}",
    )


def _plot(css_class: str) -> Markup:
    return tag("rect", class_=css_class, x=_n(LEFT), y=_n(TOP), width=_n(SIDE), height=_n(SIDE))


def _region(outlines: Iterable[Sequence[Point]], css_class: str) -> Markup:
    return tag("path", class_=css_class, fill_rule="evenodd", d="".join(f"{_path(one)}Z" for one in outlines))


def _path(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in map(to_drawing, points))


def _inner_parts(outline: Sequence[Point]) -> list[list[Point]]:
    """The parts of a closed outline between two visits to the edge of what is drawn."""
    closed = [*outline, outline[0]]
    parts: list[list[Point]] = []
    for one, other in zip(closed, closed[1:]):
        if _is_on_one_edge(one, other):
            continue
        if parts and parts[-1][-1] == one:
            parts[-1].append(other)
        else:
            parts.append([one, other])
    return parts


def _is_on_one_edge(one: Point, other: Point) -> bool:
    return any(one[axis] == other[axis] == edge for axis in (0, 1) for edge in (AXIS[0], AXIS[-1]))


def _rows(wanted: Sequence[int], table: Sequence[int]) -> list[Markup]:
    """The four rows of the truth table."""
    shapes = []
    for row, want, got in zip(INPUTS, wanted, table):
        x, y = to_drawing((float(row[0]), float(row[1])))
        shapes.append(tag("circle", class_=f"row{want}", cx=_n(x), cy=_n(y), r="11"))
        shapes.append(tag("text", want, class_=f"digit{want}", x=_n(x), y=_n(y + 4.5)))
        if want != got:
            shapes.append(tag("circle", class_="wrong", cx=_n(x), cy=_n(y), r="17"))
            shapes.append(tag("text", "wrong", class_="wrong-word", x=_n(x), y=_n(y + 32)))
    return shapes


def _axes() -> list[Markup]:
    foot, middle = TOP + SIDE, SIDE / 2
    shapes = [tag("rect", class_="frame", x=_n(LEFT), y=_n(TOP), width=_n(SIDE), height=_n(SIDE))]
    for value in (0, 1):
        x, y = to_drawing((value, value))
        shapes.append(tag("text", value, class_="tick", x=_n(x), y=_n(foot + 14), text_anchor="middle"))
        shapes.append(tag("text", value, class_="tick", x=_n(LEFT - 6), y=_n(y + 4), text_anchor="end"))
    shapes.append(tag("text", "input 1", class_="label", x=_n(LEFT + middle), y=_n(foot + 29), text_anchor="middle"))
    turn = f"translate(10 {_n(TOP + middle)}) rotate(-90)"
    shapes.append(tag("text", "input 2", class_="label", transform=turn, text_anchor="middle"))
    return shapes


def _n(value: float) -> str:
    """A coordinate: a tenth of a unit cannot be seen."""
    return f"{value:.1f}".removesuffix(".0")
