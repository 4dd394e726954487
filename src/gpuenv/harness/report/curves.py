"""Pictures of loss curves and of twenty starts (inline SVG). Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gpuenv.harness.judges import training as judges
from gpuenv.harness.report.evidence import PACKAGES, REFERENCE, Evidence, Net, worst_difference
from gpuenv.harness.report.markup import Markup, tag
from gpuenv.harness.targets.model import Target

#: In units of the drawing: all of it, and the room around the plot.
WIDTH, HEIGHT, LEFT, RIGHT, TOP, FOOT = 640.0, 340.0, 52.0, 14.0, 12.0, 42.0
#: Curves that coincide take turns: a dash of each, one after the other.
DASH = 7
#: Names beside curves keep this distance.
LINE_HEIGHT = 15.0
#: The strip of starts ends here: an output this far from its target rounds to the wrong answer.
STRIP_END = 0.5
STRIP_WIDTH, STRIP_HEIGHT = 240.0, 22.0


@dataclass(frozen=True)
class Curve:
    """One net's losses beside those of numpy in the same target."""

    target: str
    package: str
    net: Net
    reference: Net

    @property
    def difference(self) -> float:
        """The largest distance from the reference; not a number if they cannot be compared."""
        return worst_difference(self.net.losses, self.reference.losses)

    @property
    def leaves_at(self) -> int | None:
        """The first step at which the distance is more than the check allows; None if it never is."""
        pairs = list(zip(self.net.losses, self.reference.losses))
        # Not `distance > ...`: a loss that is no number leaves too.
        far = (step for step, (one, other) in enumerate(pairs) if not abs(one - other) <= judges.CURVE_TOLERANCE)
        different_length = len(self.net.losses) != len(self.reference.losses)
        return next(far, len(pairs) if different_length else None)


def find_curves(targets: Iterable[tuple[Target, Evidence]]) -> list[Curve]:
    """All curves that can be compared with a reference, target by target."""
    return [
        Curve(target.title, package, evidence.nets[package], evidence.nets[REFERENCE])
        for target, evidence in targets
        for package in PACKAGES
        if package in evidence.nets and REFERENCE in evidence.nets
    ]


@dataclass(frozen=True)
class Scale:
    """The plot's axes: steps from 0, linear; losses from ``low`` to ``high``, logarithmic."""

    steps: int
    low: float
    high: float

    def x(self, step: float) -> float:
        """Across."""
        return LEFT + step / max(1, self.steps - 1) * (WIDTH - LEFT - RIGHT)

    def y(self, loss: float) -> float:
        """Down."""
        share = math.log(loss / self.low) / math.log(self.high / self.low)
        return TOP + (1 - share) * (HEIGHT - TOP - FOOT)


_TICKS = tuple(digit * 10.0**power for power in range(-9, 6) for digit in (1, 2, 5))


def make_scale(curves: Sequence[Sequence[float]]) -> Scale:
    """Axes that hold all curves; the ends of the vertical one are 1, 2 or 5 times a power of ten."""
    values = [loss for curve in curves for loss in curve if _is_drawable(loss)]
    least, most = min(values, default=0.1), max(values, default=1.0)
    low = max((tick for tick in _TICKS if tick <= least), default=_TICKS[0])
    high = min((tick for tick in _TICKS if tick >= most and tick > low), default=_TICKS[-1])
    return Scale(max(map(len, curves), default=1), low, high)


def _is_drawable(loss: float) -> bool:
    return math.isfinite(loss) and _TICKS[0] <= loss <= _TICKS[-1]


def draw_losses(curves: Sequence[Curve]) -> Markup:
    """All curves over the reference, which is wide and pale; one that leaves it is a full line with a name."""
    references = list(dict.fromkeys(curve.reference.losses for curve in curves))
    scale = make_scale([*references, *(curve.net.losses for curve in curves)])
    near = [curve for curve in curves if curve.leaves_at is None]
    far = [curve for curve in curves if curve.leaves_at is not None]
    shapes = [*_grid(scale)]
    shapes += [tag("path", class_="reference", d=_path(losses, scale)) for losses in references]
    shapes += [_dashed(curve, number, len(near), scale) for number, curve in enumerate(near)]
    shapes += [tag("path", class_=f"curve {curve.package}", d=_path(curve.net.losses, scale)) for curve in far]
    shapes += _names(far, scale)
    text = f"{len(near)} of {len(curves)} curves coincide with the numpy reference to {judges.CURVE_TOLERANCE:g}."
    return tag(
        "svg",
        tag("title", "Loss curves of the two-layer net on XOR", id="losses-title"),
        tag("desc", text, id="losses-desc"),
        shapes,
        class_="losses",
        role="img",
        aria_labelledby="losses-title losses-desc",
        viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}",
    )


def _grid(scale: Scale) -> Iterator[Markup]:
    foot = HEIGHT - FOOT
    for loss in _TICKS:
        if scale.low <= loss <= scale.high:
            y = f"{scale.y(loss):.1f}"
            yield tag("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y)
            yield tag("text", f"{loss:g}", class_="tick", x=LEFT - 8, y=f"{scale.y(loss) + 4:.1f}", text_anchor="end")
    for step in range(0, scale.steps + 1, max(1, scale.steps // 4)):
        x = f"{scale.x(min(step, scale.steps - 1)):.1f}"
        yield tag("text", step, class_="tick", x=x, y=foot + 17, text_anchor="end" if step == scale.steps else "middle")
    yield tag("text", "training step", class_="label", x=(LEFT + WIDTH) / 2, y=foot + 35, text_anchor="middle")
    turn = f"translate(12 {(TOP + foot) / 2}) rotate(-90)"
    yield tag("text", "loss (log scale)", class_="label", transform=turn, text_anchor="middle")


def _path(losses: Sequence[float], scale: Scale) -> str:
    """The curve; what has no place on it (infinite, not a number) is a gap."""
    words = []
    is_gap = True
    for step, loss in enumerate(losses):
        if _is_drawable(loss):
            words.append(f"{'M' if is_gap else 'L'}{scale.x(step):.1f} {scale.y(loss):.1f}")
        is_gap = not _is_drawable(loss)
    return "".join(words)


def _dashed(curve: Curve, number: int, count: int, scale: Scale) -> Markup:
    pattern = f"{DASH} {DASH * (count - 1)}" if count > 1 else f"{DASH} {DASH}"
    return tag(
        "path",
        class_=f"curve {curve.package}",
        stroke_dasharray=pattern,
        stroke_dashoffset=-DASH * number,
        d=_path(curve.net.losses, scale),
    )


def _names(curves: Sequence[Curve], scale: Scale) -> Iterator[Markup]:
    """Names above the right ends of curves (below, where there is no room), moved apart where they would overlap."""
    drawable = [(scale.y(curve.net.losses[-1]), curve) for curve in curves if _is_drawable(curve.net.losses[-1])]
    ends = sorted(drawable, key=lambda end: end[0])
    below = TOP
    for y, curve in ends:
        above_it, below_it = y - 9, y + 17
        below = max(above_it if above_it - LINE_HEIGHT > TOP else below_it, below + LINE_HEIGHT)
        name = f"{curve.target}, {PACKAGES[curve.package]}"
        yield tag(
            "text", name, class_=f"name {curve.package}", x=WIDTH - RIGHT - 4, y=f"{below:.1f}", text_anchor="end"
        )


def draw_starts(worst: Sequence[float], key: str) -> Markup:
    """A strip with a dot for each start, by how far its worst output is from the target; a line at the limit."""
    middle = STRIP_HEIGHT / 2
    limit = f"{_strip_x(judges.XOR_ERROR_MAX):.1f}"
    shapes = [
        tag("line", class_="grid", x1=_strip_x(0), x2=_strip_x(STRIP_END), y1=middle, y2=middle),
        tag("line", class_="limit", x1=limit, x2=limit, y1=2, y2=STRIP_HEIGHT - 2),
    ]
    for value in worst:
        is_good = value <= judges.XOR_ERROR_MAX
        place = _strip_x(min(value, STRIP_END) if math.isfinite(value) else STRIP_END)
        shapes.append(tag("circle", class_="start" if is_good else "start bad", cx=f"{place:.1f}", cy=middle, r=4))
    values = ", ".join(f"{value:.3f}" for value in worst)
    text = f"From 0 to {STRIP_END:g}: {values}; the limit is {judges.XOR_ERROR_MAX:g}."
    return tag(
        "svg",
        tag("title", "Distance of the worst output from its target, for each start", id=f"{key}-title"),
        tag("desc", text, id=f"{key}-desc"),
        shapes,
        class_="starts",
        role="img",
        aria_labelledby=f"{key}-title {key}-desc",
        viewBox=f"0 0 {STRIP_WIDTH:g} {STRIP_HEIGHT:g}",
    )


def _strip_x(value: float) -> float:
    return 8 + value / STRIP_END * (STRIP_WIDTH - 16)
