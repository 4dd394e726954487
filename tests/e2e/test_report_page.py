"""report.html in a real browser: laid out, colored, readable in light and dark and on a phone, and never online.

The run it shows is made up (tests/fakes/report.py); the training behind its pictures is real.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import struct
import subprocess
import zlib
from collections import Counter
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Callable

import pytest

from fakes import report as fake
from gpuenv.harness.report.files import render_page

Color = tuple[int, int, int]
SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    # A container's /dev/shm may be too small for it.
    "--disable-dev-shm-usage",
    # Every name is unknown to this browser: what a page wants from outside cannot come.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
#: It takes a second; a browser that hangs is no fault of the page, and another one is tried.
PATIENCE_S = 40
ATTEMPTS = 3
#: Chromium's own setting for what a page is told of the reader's preference.
DARK = "--blink-settings=preferredColorScheme=0"


@pytest.fixture
def browser(tmp_path: Path) -> Callable[..., str]:
    """Runs headless Chromium on a page; what it prints."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("not tested: no chromium on this machine (Debian, Ubuntu: apt-get install chromium)")

    def run(page: Path, *switches: str) -> str:
        for attempt in range(ATTEMPTS):
            profile = f"--user-data-dir={tmp_path / f'profile-{attempt}'}"
            answer = run_to_the_end([program, *SWITCHES, profile, *switches, page.as_uri()], tmp_path)
            if answer is not None:
                return answer
        pytest.fail(f"the browser did not come to an end in {PATIENCE_S} s, {ATTEMPTS} times")

    return run


def run_to_the_end(argv: list[str], folder: Path) -> str | None:
    """What the browser prints; None if it hangs: then it is ended, with all its processes.

    Its output goes into files: a pipe would stay open as long as one of those processes lives.
    """
    with (folder / "out.txt").open("wb") as out, (folder / "err.txt").open("wb") as err:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)
        try:
            code = process.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert code == 0, (folder / "err.txt").read_text(errors="replace")
    return (folder / "out.txt").read_text()


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    path.write_text(render_page(fake.make_report()))
    return path


def rows_of(png: bytes) -> Iterator[bytes]:
    """The rows of a PNG of 8-bit red, green, blue (and perhaps alpha), each as red, green, blue."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height, depth, kind = struct.unpack(">IIBB", png[16:26])
    channels = {2: 3, 6: 4}[kind]
    assert depth == 8
    packed, position = b"", 8
    while position < len(png):
        length, name = struct.unpack(">I4s", png[position : position + 8])
        packed += png[position + 8 : position + 8 + length] if name == b"IDAT" else b""
        position += 12 + length
    data, size = zlib.decompress(packed), width * channels
    above = bytearray(size)
    for row in range(height):
        start = row * (size + 1)
        above = _unfilter(data[start], bytearray(data[start + 1 : start + 1 + size]), above, channels)
        yield bytes(value for index, value in enumerate(above) if index % channels < 3)


def _unfilter(kind: int, row: bytearray, above: bytearray, channels: int) -> bytearray:
    """Undo a row's prediction (PNG specification, section 9)."""
    if kind == 0:
        return row
    for index in range(len(row)):
        left, corner = (row[index - channels], above[index - channels]) if index >= channels else (0, 0)
        up = above[index]
        row[index] = (row[index] + (left, up, (left + up) // 2, _paeth(left, up, corner))[kind - 1]) & 255
    return row


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((abs(guess - left), 0, left), (abs(guess - up), 1, up), (abs(guess - corner), 2, corner))[2]


def colors_of(path: Path) -> Counter[Color]:
    """How many pixels of each color a screenshot has."""
    found: Counter[Color] = Counter()
    for row in rows_of(path.read_bytes()):
        found.update(zip(row[::3], row[1::3], row[2::3]))
    return found


def named_colors(*, dark: bool) -> dict[str, Color]:
    """The colors of report.css by their names; the first definition is for light, the second for dark."""
    text = (files("gpuenv.harness.report") / "templates" / "report.css").read_text()
    found = re.findall(r"--([a-z0-9-]+): #([0-9a-f]{6});", text)
    half = len(found) // 2
    chosen = found[half:] if dark else found[:half]
    assert {name for name, _ in found[:half]} == {name for name, _ in found[half:]}
    return {name: (int(hexes[:2], 16), int(hexes[2:4], 16), int(hexes[4:], 16)) for name, hexes in chosen}


@pytest.mark.parametrize("dark", [False, True])
def test_pictures_and_matrix_are_painted(page: Path, browser: Callable[..., str], tmp_path: Path, dark: bool) -> None:
    picture = tmp_path / "page.png"
    browser(page, f"--screenshot={picture}", "--window-size=1280,2900", *([DARK] if dark else []))
    seen, names = colors_of(picture), named_colors(dark=dark)
    most, _ = seen.most_common(1)[0]
    assert most == names["paper"]
    # Cells of the matrix, failures, both halves of the plane, the net's certain answers: areas, not specks.
    for name in ("good-soft", "bad-soft", "open-soft", "b1", "b8", "b0", "b9"):
        assert seen[names[name]] > 4000, name
    # Bands of the contour between them, the numpy curve, lines, text.
    for name in ("b2", "b3", "b6", "b7", "reference", "curve-1", "curve-2", "curve-3", "ink", "bad"):
        assert seen[names[name]] > 50, name
    other = named_colors(dark=not dark)
    assert seen[other["b0"]] == seen[other["good-soft"]] == 0


def measure(page: Path, browser: Callable[..., str], width: int) -> dict[str, float]:
    """Sizes of the laid-out page: a script in a copy of it, without the policy that forbids scripts, says."""
    script = """<script>
        const box = (query) => document.querySelector(query).getBoundingClientRect();
        const sizes = {page: document.documentElement.scrollWidth, decision: box('.decision').width,
            losses: box('.losses').width, starts: box('.starts').width,
            digit: box('.digit1').height, name: box('.name').height,
            headline: parseFloat(getComputedStyle(document.querySelector('h1')).fontSize)};
        document.body.innerHTML = Object.entries(sizes).map(([key, value]) => key + '=' + value + ';').join('');
        </script></body>"""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy".*?>', "", page.read_text())
    copy = page.with_name("measured.html")
    copy.write_text(text.replace("</body>", script))
    found = re.findall(r"(\w+)=([\d.]+);", browser(copy, "--dump-dom", f"--window-size={width},1000"))
    return {name: float(value) for name, value in found}


@pytest.mark.parametrize("width", [1280, 500])
def test_page_fits_the_window(page: Path, browser: Callable[..., str], width: int) -> None:
    sizes = measure(page, browser, width)
    # Wide tables scroll by themselves: the page does not.
    assert sizes["page"] <= width
    assert sizes["decision"] >= 240
    assert sizes["losses"] >= 400
    assert sizes["starts"] == 240
    # Letters in pictures stay legible.
    assert min(sizes["digit"], sizes["name"]) >= 10
    assert sizes["headline"] >= 22


def test_content_is_in_the_document_and_nothing_runs(page: Path, browser: Callable[..., str]) -> None:
    page.write_text(page.read_text().replace("</main>", "<script>document.title = 'ran'</script></main>"))
    text = browser(page, "--dump-dom")
    assert "<title>gpuenv: failed: 76 passed, 2 failed, 3 not tested" in text
    assert text.count("<svg") == text.count("</svg>") >= 7
    assert text.count('<td class="cell') == 7 + 8 + 7 + 1
    assert "&lt;script&gt;alert('x')&lt;/script&gt;" in text
    assert "cuFFT, cuSOLVER: stand-ins" in text
