"""`make explain LOG=file` names the root cause of a failure, the lines of the log that prove it, and what to do.

It looks up the catalog and never guesses: what is not there is called unknown.
"""

from __future__ import annotations

import io
import sys
import time
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
#: What a log may take whatever its size, and for each byte (processor time: a log may come from a program that runs).
#: 100 MB take 5 s, those of nothing but fragments 34 s, on a machine that is busy with something else three times that.
BUDGET_S = 20.0
S_PER_BYTE = 1.5e-6
#: The same for a failure of our own, of which nobody asked for an explanation: what it looks at takes 30 ms.
OWN_BUDGET_S = 3.0
#: A failure of our own is explained by the end of what was printed (bytes).
TAIL_BYTES = 256 * 1024


@dataclass(frozen=True)
class Reading:
    """What a log gave: the matches in order, or else the lines that look most like an error.

    ``unread_from`` is the line from which on the log was not looked at, its time being over; None if all of it was.
    """

    found: Ordered | None
    suspects: list[Line]
    signs: Signs
    unread_from: int | None = None


class Budget:
    """The processor time that a log may take: ``seconds``, and more for each byte that was read."""

    def __init__(self, seconds: float) -> None:
        self._end = time.process_time() + seconds
        self.is_over = False

    def add(self, size: int) -> None:
        """So many bytes are looked at, too."""
        self._end += size * S_PER_BYTE

    def ask(self) -> bool:
        """Whether it is used up."""
        self.is_over = self.is_over or time.process_time() > self._end
        return self.is_over


def run(settings: Settings) -> int:
    """Explain one log; 0 if a cause is known, 3 if not."""
    with open_pieces(settings.log) as pieces:
        reading = read(pieces, load_catalog(), BUDGET_S)
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
    if reading.unread_from and not settings.json:
        ui.show(f"\n{context.word('unread').format(number=reading.unread_from)}")
    return KNOWN if reading.found else UNKNOWN


def read(pieces: Iterable[bytes], entries: Iterable[Entry], seconds: float = BUDGET_S) -> Reading:
    """Take a log in, piece by piece, until it ends or its time is over."""
    budget = Budget(seconds)
    matcher, suspects, signs = Matcher(entries, budget.ask), Suspects(), Signs()
    unread_from = None
    for piece in pieces:
        budget.add(len(piece))
        begins = matcher.next_line
        unit = matcher.feed(piece)
        if budget.is_over:
            unread_from = begins
            break
        signs.feed(piece)
        if not matcher.matches:
            suspects.feed(unit)
    found = order(matcher.matches)
    return Reading(found, [] if found else suspects.lines, signs, unread_from)


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
    return {"known": bool(causes), "causes": causes, "unread_from": reading.unread_from}


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
        found = read([clean(text.encode("utf-8", "replace")[-TAIL_BYTES:] + b"\n")], load_catalog(), OWN_BUDGET_S).found
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
