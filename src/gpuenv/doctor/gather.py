"""Asking a machine many questions at a time, each with a deadline; a question without an answer is told as such."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gpuenv.core import ui
from gpuenv.core.errors import GpuenvError
from gpuenv.doctor.facts import Facts, Unanswered

#: A probe that only looks at this machine; the slowest one on an idle machine takes a tenth of it.
DEADLINE_S = 5.0
#: After that a person is told what is waited for.
PATIENCE_S = 6.0


@dataclass(frozen=True)
class Probe:
    """A question: the type of the fact that answers it, what it is about, how it is asked, and how long it may take.

    ``by_hand`` is the command that asks the same.
    """

    kind: type
    about: str
    ask: Callable[[], object]
    by_hand: str
    deadline_s: float = DEADLINE_S


@dataclass
class _Asked:
    """A probe that runs in a thread of its own."""

    probe: Probe
    done: threading.Event = field(default_factory=threading.Event)
    answer: object = None
    problem: str | None = None

    def run(self) -> None:
        try:
            self.answer = self.probe.ask()
        except GpuenvError as error:
            self.problem = f"{error.what}: {error.why}"
        except Exception as error:  # noqa: BLE001 (whatever a machine has in store: it is told, and the others go on)
            self.problem = f"{type(error).__name__}: {error}"
        self.done.set()


def gather(probes: Sequence[Probe]) -> Facts:
    """Ask all at the same time. Takes as long as the longest deadline at most, however many hang."""
    began = time.monotonic()
    asked = [_Asked(probe) for probe in probes]
    for one in asked:
        # Daemons: one that hangs must not hold up the end of the process.
        threading.Thread(target=one.run, daemon=True).start()
    known: dict[type, object] = {}
    unanswered: dict[type, Unanswered] = {}
    for one in asked:
        if one.probe.deadline_s > PATIENCE_S and not _wait(one, began + PATIENCE_S):
            ui.say(f"still waiting for {one.probe.about} ({one.probe.deadline_s:g} s at most)")
        if not _wait(one, began + one.probe.deadline_s):
            reason = f"no answer within {one.probe.deadline_s:g} s"
        elif one.problem is not None:
            reason = one.problem
        else:
            known[one.probe.kind] = one.answer
            continue
        unanswered[one.probe.kind] = Unanswered(one.probe.about, reason, one.probe.by_hand)
    return Facts(known, unanswered)


def _wait(asked: _Asked, until: float) -> bool:
    return asked.done.wait(max(0.0, until - time.monotonic()))
