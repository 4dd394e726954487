"""Join Nanum Gothic's letters to matplotlib's own font; nothing of this file ends in the image.

    fonts.py FOLDER                              writes fonts for /usr/share/fonts into FOLDER

matplotlib for Python 3.6 takes one font for a text, and none for the letters that it lacks: its own has no Hangul,
Nanum Gothic no minus sign and few accented letters. In the joined font Latin text looks as before. Nanum Gothic
itself gets the place that Debian gives it, where programs look for it.

Runs under the Python of the image, with fonttools: syntax of Python 3.6.
"""

import sys
import sysconfig
from multiprocessing import Pool
from pathlib import Path

PACKAGES = Path(sysconfig.get_path("purelib"))
MATPLOTLIB = PACKAGES / "matplotlib/mpl-data/fonts/ttf"
NANUM = PACKAGES / "koreanize_matplotlib/fonts"
#: The license of the one forbids its name to the joined font, that of the other does not.
FAMILY, JOINED = "DejaVu Sans", "DejaVu Sans Hangul"
#: Hangul has no italics.
PARTS = {"DejaVuSans.ttf": "NanumGothic.ttf", "DejaVuSans-Bold.ttf": "NanumGothicBold.ttf"}
#: Chinese characters would double the time and the size.
LEFT_OUT = (range(0x4E00, 0xA000), range(0xF900, 0xFB00), range(0x10000, 0x110000))
#: Name records: copyright; family, unique name, full name (also as the typographic family); PostScript's name.
COPYRIGHT, NAMES, POSTSCRIPT = 0, (1, 3, 4, 16), 6


def main(folder):
    """Write the fonts; none where the environment has no matplotlib."""
    if not NANUM.is_dir() or not MATPLOTLIB.is_dir():
        return
    (folder / "gpuenv").mkdir()
    (folder / "nanum").mkdir()
    for name in PARTS.values():
        (folder / "nanum" / name).symlink_to(NANUM / name)
    with Pool() as pool:
        pool.starmap(join, [(own, more, folder / "gpuenv" / own) for own, more in PARTS.items()])


def join(own, more, target):
    """Write font ``own`` with the characters that only ``more`` has."""
    from fontTools.ttLib import TTFont

    # As before: the sizes of letters that stay, and the limits, which those of Hangul do not exceed.
    font, other = TTFont(str(MATPLOTLIB / own), recalcBBoxes=False), TTFont(str(NANUM / more))
    scale = font["head"].unitsPerEm / other["head"].unitsPerEm
    known, letters = font.getBestCmap(), other.getBestCmap()
    left_out = (*LEFT_OUT, known)
    added = {code: "uni%04X" % code for code in letters if not any(code in part for part in left_out)}
    for code, name in added.items():
        source = letters[code]
        font["glyf"].glyphs[name] = outline(other["glyf"], source, scale)
        font["hmtx"][name] = (round(other["hmtx"][source][0] * scale), font["glyf"].glyphs[name].xMin)
    order = [*font.getGlyphOrder(), *added.values()]
    font.setGlyphOrder(order)
    font["glyf"].glyphOrder = order
    for table in font["cmap"].tables:
        if table.isUnicode():
            table.cmap.update(added)
    rename(font["name"].names, str(other["name"].getDebugName(COPYRIGHT)))
    font.save(str(target))


def outline(glyphs, name, scale):
    """A letter's contours in another size, without its parts' names and without hints."""
    from fontTools.ttLib.tables._g_l_y_f import Glyph
    from fontTools.ttLib.tables.ttProgram import Program

    coordinates, ends, flags = glyphs[name].getCoordinates(glyphs)
    coordinates.scale((scale, scale))
    coordinates.toInt()
    glyph = Glyph()
    glyph.program = Program()
    glyph.program.fromBytecode(b"")
    glyph.numberOfContours = len(ends)
    glyph.coordinates, glyph.endPtsOfContours, glyph.flags = coordinates, list(ends), flags
    glyph.recalcBounds(glyphs)
    return glyph


def rename(records, copyright_of_other):
    """Give the joined font a name of its own, and both copyrights."""
    for record in records:
        text = record.toUnicode()
        if record.nameID in NAMES:
            record.string = text.replace(FAMILY, JOINED)
        elif record.nameID == POSTSCRIPT:
            record.string = text.replace(FAMILY.replace(" ", ""), JOINED.replace(" ", ""))
        elif record.nameID == COPYRIGHT:
            record.string = text + "\nHangul: " + copyright_of_other + " SIL Open Font License 1.1"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
