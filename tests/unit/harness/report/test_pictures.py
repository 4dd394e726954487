"""The mathematics behind the pictures of report.html."""

from __future__ import annotations

import dataclasses
import math
import re

import pytest

from fakes import report as fake
from gpuenv.harness.judges import training as judges
from gpuenv.harness.report import contour
from gpuenv.harness.report import curves as report_curves
from gpuenv.harness.report import decisions as report_decisions
from gpuenv.harness.report import pictures as report_pictures
from gpuenv.harness.report.contour import Point
from gpuenv.harness.report.evidence import Evidence, Net, Perceptron, parse_evidence
from gpuenv.harness.report.pictures import AXIS, HIGH, INPUTS, LOW, WANTED

GOOD = parse_evidence(fake.findings(fake.GOOD))
FAILING = parse_evidence(fake.findings(fake.FAILING))
CONSTANT = Perceptron((0.0, 0.0), 1.0, (1, 1, 1, 1), 1, 1)


def area(outline: list[Point]) -> float:
    pairs = zip(outline, [*outline[1:], outline[0]])
    return abs(sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairs)) / 2


def is_inside(point: Point, outlines: list[list[Point]]) -> bool:
    """By the even-odd rule, as the browser fills."""
    x, y = point
    crossings = 0
    for outline in outlines:
        for (x1, y1), (x2, y2) in zip(outline, [*outline[1:], outline[0]]):
            crossings += (y1 > y) != (y2 > y) and x < x1 + (y - y1) / (y2 - y1) * (x2 - x1)
    return crossings % 2 == 1


# --- outlines ---------------------------------------------------------------------------------------


def test_outline_of_a_circle() -> None:
    axis = [-2 + step / 10 for step in range(41)]
    (outline,) = contour.outlines(contour.sample(lambda x, y: -math.hypot(x, y), axis), axis, -1.0)
    assert all(abs(math.hypot(x, y) - 1) < 0.01 for x, y in outline)
    assert area(outline) == pytest.approx(math.pi, rel=0.01)


def test_region_that_reaches_the_edge_is_closed_along_it() -> None:
    axis = [0.0, 1.0, 2.0]
    (everything,) = contour.outlines(contour.sample(lambda _x, _y: 1.0, axis), axis, 0.0)
    assert area(everything) == pytest.approx(4.0)
    (half,) = contour.outlines(contour.sample(lambda x, _y: x, axis), axis, 0.5)
    assert area(half) == pytest.approx(3.0)
    assert contour.outlines(contour.sample(lambda _x, _y: 0.0, axis), axis, 0.5) == []


@pytest.mark.parametrize(("middle", "number"), [(0.4, 2), (0.6, 1)])
def test_saddle_is_decided_by_its_middle(middle: float, number: int) -> None:
    other = 2 * middle - 1.0
    outlines = contour.outlines([[1.0, other], [other, 1.0]], [0.0, 1.0], 0.5)
    assert len(outlines) == number


def test_hole_in_a_region() -> None:
    axis = [-2 + step / 10 for step in range(41)]
    ring = contour.outlines(contour.sample(lambda x, y: -abs(math.hypot(x, y) - 1), axis), axis, -0.5)
    assert len(ring) == 2
    assert [is_inside((x, 0.0), ring) for x in (0.0, 1.0, 1.8)] == [False, True, False]


# --- the perceptron ---------------------------------------------------------------------------------


@pytest.mark.parametrize("gate", ["AND", "OR", "NAND", "XOR"])
def test_line_is_where_the_weights_say(gate: str) -> None:
    perceptron = GOOD.perceptrons[gate]
    ends = report_pictures.boundary(perceptron)
    assert ends is not None
    for x, y in ends:
        assert perceptron.value(x, y) == pytest.approx(0.0)
        assert LOW <= x <= HIGH
        assert LOW <= y <= HIGH
        assert x in (LOW, HIGH) or y in (LOW, HIGH)
    assert ends[0] != ends[1]


def test_line_of_and_in_the_drawing() -> None:
    # 2x + y - 2 = 0 meets the lower edge (y = -0.4) at x = 1.2 and the upper one (y = 1.4) at x = 0.3.
    ends = report_pictures.boundary(GOOD.perceptrons["AND"])
    assert ends is not None
    assert [value for end in ends for value in end] == pytest.approx([0.3, 1.4, 1.2, -0.4])
    assert report_pictures.to_drawing((LOW, LOW)) == (34.0, 246.0)
    assert report_pictures.to_drawing((HIGH, HIGH)) == (274.0, 6.0)
    svg = report_pictures.draw_perceptron(GOOD.perceptrons["AND"], "AND", "k")
    assert re.search(r'<line class="boundary" x1="127.3" y1="6" x2="247.3" y2="246">', svg)


@pytest.mark.parametrize("perceptron", [CONSTANT, dataclasses.replace(CONSTANT, weights=(1.0, 0.0), bias=5.0)])
def test_perceptron_without_a_line_in_the_picture(perceptron: Perceptron) -> None:
    assert report_pictures.boundary(perceptron) is None
    assert '<line class="boundary"' not in report_pictures.draw_perceptron(perceptron, "AND", "k")


def test_no_line_separates_xor_and_the_picture_says_which_rows_are_wrong() -> None:
    perceptron = GOOD.perceptrons["XOR"]
    wrong = sum(want != got for want, got in zip(WANTED["XOR"], perceptron.table))
    assert wrong >= 1
    svg = report_pictures.draw_perceptron(perceptron, "XOR", "k")
    assert svg.count('class="wrong"') == wrong
    assert 'class="wrong"' not in report_pictures.draw_perceptron(GOOD.perceptrons["AND"], "AND", "k")


# --- the two-layer net ------------------------------------------------------------------------------


def test_contour_classifies_the_four_points_right() -> None:
    net = GOOD.nets["xor_keras"]
    region = contour.outlines(contour.sample(net.value, AXIS), AXIS, 0.5)
    assert [is_inside((float(x), float(y)), region) for x, y in INPUTS] == [False, True, True, False]


def test_output_from_the_weights_is_what_the_program_printed() -> None:
    net = GOOD.nets["xor_keras"]
    assert [net.value(x, y) for x, y in INPUTS] == pytest.approx(net.output, abs=1e-6)


def test_picture_of_the_net_has_every_band_and_the_line_in_the_middle() -> None:
    svg = report_pictures.draw_net(GOOD.nets["xor_keras"], "k")
    assert all(f'class="b{band}"' in svg for band in range(10))
    # Two lines cross the picture; the rest of the outline follows its edge.
    assert svg.count('<path class="boundary"') in (2, 3, 4)
    assert "nan" not in svg
    assert 'class="wrong"' not in svg
    assert 'class="wrong"' in report_pictures.draw_net(FAILING.nets["xor_tfkeras"], "k")


def test_net_that_diverged_has_no_picture() -> None:
    net = dataclasses.replace(GOOD.nets["xor_keras"], weights=(*GOOD.nets["xor_keras"].weights[:3], (math.nan,)))
    with pytest.raises(ValueError, match="no numbers"):
        report_pictures.draw_net(net, "k")
    target = dataclasses.replace(GOOD, nets={"xor_keras": net})
    assert "No picture: its weights are no numbers" in "".join(report_decisions.render_decisions([(fake.GOOD, target)]))


def test_pictures_that_look_the_same_are_one() -> None:
    nets: list[tuple[str, Net]] = [("a", GOOD.nets["xor_keras"]), ("b", FAILING.nets["xor_tfkeras"])]
    nets.append(("c", GOOD.nets["xor_graph"]))
    groups = report_decisions.group(nets, report_decisions.looks_same)
    assert [names for _, names in groups] == [["a", "c"], ["b"]]


# --- loss curves and starts -------------------------------------------------------------------------


def curves_of(*evidence: Evidence) -> list[report_curves.Curve]:
    return report_curves.find_curves([(fake.GOOD, one) for one in evidence])


def test_curves_that_coincide_are_dashes_on_the_reference() -> None:
    curves = curves_of(GOOD)
    assert [curve.leaves_at for curve in curves] == [None, None, None]
    assert all(0 < curve.difference <= 1.1e-7 for curve in curves)
    svg = report_curves.draw_losses(curves)
    assert svg.count('class="reference"') == 1
    assert re.findall(r'stroke-dasharray="(.*?)" stroke-dashoffset="(.*?)"', svg) == [
        ("7 14", "0"), ("7 14", "-7"), ("7 14", "-14")]  # fmt: skip
    assert "3 of 3 curves coincide" in svg
    assert svg.index('class="reference"') < svg.index("stroke-dasharray")


def test_curve_that_leaves_is_a_full_line_with_its_name() -> None:
    (keras, tf_keras) = curves_of(FAILING)
    assert (keras.leaves_at, tf_keras.leaves_at) == (None, 1)
    svg = report_curves.draw_losses([keras, tf_keras])
    assert "cuda10.0-cpu, tf.keras" in svg
    assert svg.count("stroke-dasharray") == 1


@pytest.mark.parametrize("losses", [(0.7, math.nan, 0.5), (0.7, math.inf), (0.0,), (-1.0, 1e9)])
def test_losses_that_cannot_be_drawn_are_gaps(losses: tuple[float, ...]) -> None:
    (curve, *_) = curves_of(GOOD)
    odd = dataclasses.replace(curve, net=dataclasses.replace(curve.net, losses=losses))
    assert odd.leaves_at is not None
    svg = report_curves.draw_losses([odd])
    assert "nan" not in svg
    assert "inf" not in svg.replace("infinite", "")


def test_scale_holds_all_values() -> None:
    scale = report_curves.make_scale([(0.775, 0.0108), (0.03,)])
    assert (scale.low, scale.high, scale.steps) == (0.01, 1.0, 2)
    assert scale.y(scale.high) == report_curves.TOP
    assert scale.y(scale.low) == pytest.approx(report_curves.HEIGHT - report_curves.FOOT)
    assert scale.y(0.1) == pytest.approx((scale.y(1.0) + scale.y(0.01)) / 2)


def test_starts_beyond_the_limit_are_marked() -> None:
    svg = report_curves.draw_starts([0.02, judges.XOR_ERROR_MAX, 0.43, 0.9, math.nan], "k")
    assert svg.count('class="start"') == 2
    assert svg.count('class="start bad"') == 3
    assert max(float(x) for x in re.findall(r'cx="(.*?)"', svg)) <= report_curves.STRIP_WIDTH
