"""Turn drawings of matplotlib into inline SVG, whose colors and letters are those of the page, in light and dark.

An artist's gid ``css NAME`` becomes a class, and what matplotlib's own styles say is taken out.
"""

from __future__ import annotations

import importlib
import io
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from markupsafe import Markup

from gpuenv.core import paths

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINK = "{http://www.w3.org/1999/xlink}href"
#: What of matplotlib's styles stays: the rest is in report.css.
_KEPT = re.compile(r"(text-anchor|stroke-dasharray|stroke-dashoffset): ([^;]+)")


def why_none() -> str:
    """Why no picture can be drawn on this machine; empty if they can."""
    # Its cache of fonts belongs to this project, too; and a user's own settings are not read.
    os.environ.setdefault("MPLCONFIGDIR", str(paths.cache_dir() / "matplotlib"))
    try:
        with matplotlib_settings():
            importlib.import_module("matplotlib.figure")
    except ImportError as error:
        where = "in a checkout make test-env adds it to .venv, elsewhere: pip install '.[report]'"
        return f"matplotlib cannot be imported ({error}); {where}"
    return ""


class Drawing:
    """A picture that is being drawn: ``axes`` to draw on, ``svg`` when it is done."""

    def __init__(self, size: tuple[float, float], plot: tuple[float, float, float, float]) -> None:
        """``plot`` is the room at the left, the foot, the right and the top, in the units of ``size``."""
        from matplotlib.figure import Figure

        (width, height), (left, foot, right, top) = size, plot
        self.size = size
        self.figure = Figure((width / 72, height / 72), dpi=72)
        self.figure.patch.set_visible(False)
        box = (left / width, foot / height, (width - left - right) / width, (height - foot - top) / height)
        self.axes: Axes = self.figure.add_axes(box)
        self.axes.patch.set_visible(False)
        self.axes.tick_params(left=False, bottom=False)

    def label(self, across: str, up: str) -> None:
        """Name the axes."""
        self.axes.set_xlabel(across)
        self.axes.set_ylabel(up, rotation_mode="anchor")

    def svg(self, css: str, key: str, title: str, description: str) -> Markup:
        """The picture for a page, with the texts that a screen reader reads."""
        stream = io.StringIO()
        self.figure.savefig(stream, format="svg")
        drawn = ET.fromstring(stream.getvalue())  # noqa: S314 - it is matplotlib's own
        _dress(drawn, key)
        names = (f"{key}-title", f"{key}-desc")
        view = " ".join(f"{number:g}" for number in (0, 0, *self.size))
        svg = ET.Element("svg", {"class": css, "role": "img", "aria-labelledby": " ".join(names), "viewBox": view})
        for tag, name, text in zip(("title", "desc"), names, (title, description)):
            ET.SubElement(svg, tag, {"id": name}).text = text
        svg.extend(drawn)
        return Markup(ET.tostring(svg, encoding="unicode"))  # noqa: S704 - ElementTree has escaped it


def _dress(element: ET.Element, key: str) -> None:
    """Take out of an SVG of matplotlib's what would reach beyond it on a page: styles, ids, links; short figures."""
    for child in list(element):
        child.tag = child.tag.rpartition("}")[2]
        _dress(child, key)
        if child.tag in ("metadata", "style", "clipPath") or (child.tag == "defs" and not len(child)):
            element.remove(child)
    # Line ends between elements; the words of a text stay.
    element.text, element.tail = (element.text or "").strip() or None, None
    had = dict(element.attrib)
    element.attrib.clear()
    element.attrib.update(_KEPT.findall(had.get("style", "")))
    for name in ("d", "x", "y", "transform"):
        if name in had and not had[name].startswith("rotate(-0 "):
            # A tenth of a unit cannot be seen.
            element.attrib[name] = re.sub(r"-?(?<!\d)\d+\.\d+", lambda one: f"{float(one[0]):.1f}", had[name]).strip()
    # The shape of a mark is drawn by reference; every other id is only a name.
    if element.tag == "path" and "id" in had:
        element.attrib["id"] = f"{key}-{had['id']}"
    if _LINK in had:
        element.attrib["href"] = f"#{key}-{had[_LINK][1:]}"
    if css := re.match(r"css (.+)|matplotlib\.(axis)", had.get("id", "")):
        element.attrib["class"] = css[1] or css[2]


@contextmanager
def matplotlib_settings() -> Iterator[None]:
    """matplotlib's own settings, whatever the user's are, and the same bytes for the same picture."""
    with warnings.catch_warnings():
        # About letters that its font does not have (the browser has its own fonts), and of older releases about others.
        warnings.simplefilter("ignore")
        import matplotlib as mpl

        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "gpuenv", "font.size": 12})
            mpl.rcParams.update({"lines.scale_dashes": False, "text.parse_math": False})
            mpl.rcParams.update({"axes.autolimit_mode": "round_numbers", "axes.xmargin": 0, "axes.ymargin": 0})
            yield
