"""The pictures of report.html: what is where on them, and what they leave on the page."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from fakes import report as fake
from gpuenv.harness.judges import training as judges
from gpuenv.harness.report import files, learned, pictures, svg
from gpuenv.harness.report.evidence import Curve, Evidence, Perceptron, parse_evidence
from gpuenv.harness.report.pictures import AXIS, HIGH, INPUTS, LOW, SIDE, WANTED

GOOD = parse_evidence(fake.findings(fake.GOOD))
FAILING = parse_evidence(fake.findings(fake.FAILING))
CONSTANT = Perceptron((0.0, 0.0), 1.0, (1, 1, 1, 1), 1, 1)
Point = tuple[float, float]


@pytest.fixture(autouse=True)
def _needs_matplotlib() -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra `report`, which make test-env adds to .venv")


def to_plane(point: Point) -> Point:
    """The inputs that a point of a drawing stands for."""
    x, y = point
    return LOW + (x - 34) / SIDE * (HIGH - LOW), LOW + (6 + SIDE - y) / SIDE * (HIGH - LOW)


def paths_of(picture: str, css: str) -> list[list[Point]]:
    """The lines and outlines of one class, as points of the plane."""
    groups = [group for group in ET.fromstring(picture).iter("g") if group.get("class") == css]
    found = []
    for path in (path for group in groups for path in group.iter("path")):
        for part in filter(None, str(path.get("d")).split("M ")):
            numbers = [float(number) for number in re.findall(r"-?[\d.]+", part)]
            found.append([to_plane(point) for point in zip(numbers[::2], numbers[1::2])])
    return found


def is_inside(point: Point, outlines: list[list[Point]]) -> bool:
    """By the even-odd rule."""
    x, y = point
    crossings = 0
    for outline in outlines:
        for (x1, y1), (x2, y2) in zip(outline, [*outline[1:], outline[0]]):
            crossings += (y1 > y) != (y2 > y) and x < x1 + (y - y1) / (y2 - y1) * (x2 - x1)
    return crossings % 2 == 1


def count(picture: str, css: str) -> int:
    return picture.count(f'<g class="{css}">')


# --- what is left on the page -------------------------------------------------------------------------


def test_pictures_bring_no_style_no_link_and_no_name_of_their_own() -> None:
    both = pictures.draw_starts([0.1, 0.4], "one"), pictures.draw_starts([0.1, 0.4], "two")
    for picture, key in zip(both, ("one", "two")):
        assert not re.search(r"https?:|url\(|<style|style=|xmlns|<metadata|font", picture)
        ids = re.findall(r'id="(.*?)"', picture)
        assert ids
        assert all(name.startswith(key) for name in ids)
        assert set(re.findall(r'href="#(.*?)"', picture)) <= set(ids)
    assert pictures.draw_starts([0.1, 0.4], "one") == both[0]


def test_what_the_user_set_for_matplotlib_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib as mpl

    expected = pictures.draw_perceptron(GOOD.perceptrons["AND"], "AND", "k")
    monkeypatch.setitem(mpl.rcParams, "svg.fonttype", "path")
    monkeypatch.setitem(mpl.rcParams, "font.size", 30)
    assert pictures.draw_perceptron(GOOD.perceptrons["AND"], "AND", "k") == expected


def test_without_matplotlib_the_page_says_so_and_keeps_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    html = files.render_page(fake.make_report())
    assert html.count("No pictures: matplotlib cannot be imported") == 1
    assert "<svg" not in html
    for words in ("Learned: 4 of 4 rows right", "0.7752, leaves numpy at step 1", "20 of 20 starts learn XOR"):
        assert words in html


def test_matplotlib_keeps_its_files_in_the_cache_of_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GPUENV_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    assert svg.why_none() == ""
    assert os.environ["MPLCONFIGDIR"].startswith(str(tmp_path))


# --- the perceptron ---------------------------------------------------------------------------------


@pytest.mark.parametrize("gate", ["AND", "XOR"])
def test_line_is_where_the_weights_say(gate: str) -> None:
    perceptron = GOOD.perceptrons[gate]
    picture = pictures.draw_perceptron(perceptron, gate, "k")
    ((first, *_, last),) = paths_of(picture, "boundary")
    for x, y in (first, last):
        assert perceptron.value(x, y) == pytest.approx(0.0, abs=0.01)
        assert min(abs(value - edge) for value in (x, y) for edge in (LOW, HIGH)) < 0.001
    region = paths_of(picture, "b8")
    assert [int(is_inside((x + 0.01, y + 0.02), region)) for x, y in INPUTS] == [
        int(perceptron.value(x + 0.01, y + 0.02) > 0) for x, y in INPUTS
    ]


def test_line_of_and_in_the_plane() -> None:
    # 2x + y - 2 = 0 meets the lower edge (y = -0.4) at x = 1.2 and the upper one (y = 1.4) at x = 0.3.
    (line,) = paths_of(pictures.draw_perceptron(GOOD.perceptrons["AND"], "AND", "k"), "boundary")
    assert [value for end in sorted(line) for value in end] == pytest.approx([0.3, 1.4, 1.2, -0.4], abs=0.001)


@pytest.mark.parametrize("perceptron", [CONSTANT, dataclasses.replace(CONSTANT, weights=(1.0, 0.0), bias=5.0)])
def test_perceptron_without_a_line_in_the_picture(perceptron: Perceptron) -> None:
    picture = pictures.draw_perceptron(perceptron, "AND", "k")
    assert count(picture, "boundary") == 0
    assert all(is_inside((float(x), float(y)), paths_of(picture, "b8")) for x, y in INPUTS)


def test_no_line_separates_xor_and_the_picture_says_which_rows_are_wrong() -> None:
    perceptron = GOOD.perceptrons["XOR"]
    wrong = sum(want != got for want, got in zip(WANTED["XOR"], perceptron.table))
    assert wrong >= 1
    assert count(pictures.draw_perceptron(perceptron, "XOR", "k"), "wrong") == wrong
    assert count(pictures.draw_perceptron(GOOD.perceptrons["AND"], "AND", "k"), "wrong") == 0


# --- the two-layer net ------------------------------------------------------------------------------


def test_contour_classifies_the_four_points_right() -> None:
    picture = pictures.draw_net(GOOD.nets["xor_keras"], "k")
    assert [is_inside((float(x), float(y)), paths_of(picture, "b5")) for x, y in INPUTS] == [False, True, True, False]


def test_output_from_the_weights_is_what_the_program_printed() -> None:
    net = GOOD.nets["xor_keras"]
    assert [net.value(x, y) for x, y in INPUTS] == pytest.approx(net.output, abs=1e-6)


def test_picture_of_the_net_has_every_band_and_the_line_in_the_middle() -> None:
    picture = pictures.draw_net(GOOD.nets["xor_keras"], "k")
    assert all(count(picture, f"b{band}") for band in range(10))
    # Two lines cross the picture: none follows its edge.
    lines = paths_of(picture, "boundary")
    assert len(lines) == 2
    values = [GOOD.nets["xor_keras"].value(x, y) for line in lines for x, y in line]
    assert values == pytest.approx([0.5] * len(values), abs=0.02)
    assert "nan" not in picture
    assert count(picture, "wrong") == 0
    assert count(pictures.draw_net(FAILING.nets["xor_tfkeras"], "k"), "wrong") == 2


def test_net_that_diverged_has_no_picture() -> None:
    net = dataclasses.replace(GOOD.nets["xor_keras"], weights=(*GOOD.nets["xor_keras"].weights[:3], (math.nan,)))
    with pytest.raises(ValueError, match="no numbers"):
        pictures.draw_net(net, "k")
    known = dataclasses.replace(GOOD, nets={"xor_keras": net})
    *_, figure = learned.find_figures([(fake.GOOD, known)])
    assert (figure.picture, figure.gap) == (None, "its weights are no numbers any more")
    broken = dataclasses.replace(GOOD.perceptrons["AND"], weights=(math.nan, 1.0))
    known = dataclasses.replace(GOOD, perceptrons={"AND": broken}, nets={})
    (figure, *_) = learned.find_figures([(fake.GOOD, known)])
    assert (figure.picture, figure.gap) == (None, "its weights are no numbers any more")


def test_pictures_that_look_the_same_are_one() -> None:
    a, b, c = (
        (("a", ""), GOOD.nets["xor_keras"]),
        (("b", ""), FAILING.nets["xor_tfkeras"]),
        (("c", ""), GOOD.nets["xor_graph"]),
    )
    nets = [a, b, c]
    groups = learned.group(nets, learned.looks_same)
    assert [[title for title, _ in members] for _, members in groups] == [["a", "c"], ["b"]]


# --- loss curves and starts -------------------------------------------------------------------------


def curves_of(evidence: Evidence) -> list[Curve]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learned, "why_none", lambda: "only what is drawn is asked for")
        ((_, cells),) = learned.learn([(fake.GOOD, evidence)])["curves"]
    return [one for one in cells if isinstance(one, Curve)]


def test_curves_that_coincide_are_dashes_on_the_reference() -> None:
    curves = curves_of(GOOD)
    assert [curve.leaves_at for curve in curves] == [None, None, None]
    assert all(0 < curve.difference <= 1.1e-7 for curve in curves)
    picture = pictures.draw_losses(curves)
    assert count(picture, "reference") == 1
    dashes = re.findall(r'stroke-dasharray="(\d+),(\d+)" stroke-dashoffset="(\d+)"', picture)
    assert [(on, off) for on, off, _ in dashes] == [("7", "14")] * 3
    # One dash each, in turn.
    assert sorted(int(offset) % 21 for *_, offset in dashes) == [0, 7, 14]
    assert "3 of 3 curves coincide" in picture
    assert picture.index('class="reference"') < picture.index("stroke-dasharray")


def test_curve_that_leaves_is_a_full_line_with_its_name() -> None:
    (keras, tf_keras) = curves_of(FAILING)
    assert (keras.leaves_at, tf_keras.leaves_at) == (None, 1)
    picture = pictures.draw_losses([keras, tf_keras])
    assert "cuda10.0-cpu, tf.keras" in picture
    assert picture.count("stroke-dasharray") == 1


def test_names_of_curves_that_end_together_do_not_overlap() -> None:
    (_, curve) = curves_of(FAILING)
    picture = pictures.draw_losses([dataclasses.replace(curve, target=f"t{number}") for number in range(4)])
    heights = sorted(float(y) for y in re.findall(r'class="name[^>]*><text[^>]* y="([\d.]+)"', picture))
    assert len(heights) == 4
    assert all(other - one >= pictures.LINE_HEIGHT - 0.1 for one, other in zip(heights, heights[1:]))


@pytest.mark.parametrize("losses", [(0.7, math.nan, 0.5), (0.7, math.inf), (0.0,), (-1.0, 1e9)])
def test_losses_that_cannot_be_drawn_are_gaps(losses: tuple[float, ...]) -> None:
    (curve, *_) = curves_of(GOOD)
    odd = dataclasses.replace(curve, net=dataclasses.replace(curve.net, losses=losses))
    assert odd.leaves_at is not None
    for picture in (pictures.draw_losses([odd]), pictures.draw_losses([dataclasses.replace(odd, reference=odd.net)])):
        assert "nan" not in picture
        assert "inf" not in picture


def test_axes_of_the_losses_hold_all_values_and_end_at_round_ones() -> None:
    picture = pictures.draw_losses(curves_of(GOOD))
    labels = re.findall(r">([\d.]+)</text>", picture)
    assert {"0", "400", "0.01", "0.1", "1"} <= set(labels)
    (line,) = re.findall(r'<g class="reference"><path d="(.*?)"', picture)
    heights = [float(y) for _, y in re.findall(r"([\d.]+) ([\d.]+)", line)]
    assert min(heights) >= 12
    assert max(heights) <= 298


def test_starts_beyond_the_limit_are_marked() -> None:
    picture = pictures.draw_starts([0.02, judges.XOR_ERROR_MAX, 0.43, 0.9, math.nan], "k")
    marks = {group.get("class"): list(group.iter("use")) for group in ET.fromstring(picture).iter("g")}
    assert (len(marks["start"]), len(marks["start bad"])) == (2, 3)
    assert max(float(str(mark.get("x"))) for mark in marks["start bad"]) <= 240 - 8
    assert len(AXIS) == 41
