"""`make explain LOG=file` names the root cause of a failure, the lines of the log that prove it, and what to do.

It looks up the catalog and never guesses: what is not there is called unknown.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from gpuenv.core import ui
from gpuenv.core.settings import Settings
from gpuenv.explain import answer
from gpuenv.explain.answer import Context, Signs
from gpuenv.explain.catalog import Entry, load_catalog
from gpuenv.explain.lines import Line, Suspects
from gpuenv.explain.match import Matcher, Ordered, order
from gpuenv.explain.text import clean, open_pieces
from gpuenv.host import systems

KNOWN = 0
UNKNOWN = 3
#: A failure of our own is explained by the end of what was printed (bytes).
TAIL_BYTES = 256 * 1024


@dataclass(frozen=True)
class Reading:
    """What a log gave: the matches in order, or else the lines that look most like an error."""

    found: Ordered | None
    suspects: list[Line]
    signs: Signs


def run(settings: Settings) -> int:
    """Explain one log; 0 if a cause is known, 3 if not."""
    with open_pieces(settings.log) as pieces:
        reading = read(pieces, load_catalog())
    context = make_context(reading.signs)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A log holds characters that not every terminal has.
        sys.stdout.reconfigure(errors="replace")
    if settings.json:
        ui.show_json(render_json(reading, context), ensure_ascii=False)
    elif reading.found:
        ui.show(answer.render_known(reading.found, context))
    else:
        ui.show(answer.render_unknown(reading.suspects, context))
    return KNOWN if reading.found else UNKNOWN


def read(pieces: Iterable[bytes], entries: Iterable[Entry]) -> Reading:
    """Take a whole log in, piece by piece."""
    matcher, suspects, signs = Matcher(entries), Suspects(), Signs()
    for piece in pieces:
        unit = matcher.feed(piece)
        signs.feed(piece)
        if not matcher.matches:
            suspects.feed(unit)
    found = order(matcher.matches)
    return Reading(found, [] if found else suspects.lines, signs)


def make_context(signs: Signs) -> Context:
    """For whom the answer is: a log from Windows is about Windows, wherever it is read."""
    return Context(answer.choose_language(), signs.system or systems.detect(), signs.target)


def render_json(reading: Reading, context: Context) -> dict[str, object]:
    """The answer for programs; docs/catalogue.md describes it."""
    causes = [
        {
            "id": match.entry.id,
            "row": match.entry.row,
            "stage": match.entry.stage,
            "cause": answer.cause(match, context),
            "remedy": [step.on_one_line(context) for step in answer.steps(match, context)],
            "evidence": [line.shown for line in match.evidence],
        }
        for match in (reading.found.all if reading.found else ())
    ]
    return {"known": bool(causes), "causes": causes}


@dataclass(frozen=True)
class Diagnosis:
    """What the catalog knows of some output: the root cause, and what to try first ('' if there is no command)."""

    cause: str
    remedy: str


def diagnose(text: str) -> Diagnosis | None:
    """The root cause that some output shows and what to try first; None if it is not known.

    For failures of our own: whatever goes wrong here must not hide what failed there.
    """
    try:
        found = read([clean(text.encode("utf-8", "replace")[-TAIL_BYTES:] + b"\n")], load_catalog()).found
        if found is None:
            return None
        context = Context(answer.choose_language(), systems.detect(), None)
        step = next((one for one in answer.steps(found.root, context) if one.command), None)
        return Diagnosis(answer.cause(found.root, context), step.on_one_line(context) if step else "")
    except Exception:  # noqa: BLE001 - see above
        return None


def note(output: str) -> str:
    """Lines to be put under the three of a failed check: what else its output shows. Empty if nothing is known."""
    # Not called its cause: a check may fail for a reason of its own.
    known = diagnose(output)
    return "  shows: " + "\n         ".join(filter(None, (known.cause, known.remedy))) + "\n" if known else ""
