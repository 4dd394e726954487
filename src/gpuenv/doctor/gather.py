"""Run probes concurrently, each with a deadline; failures become `Unanswered`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gpuenv.core import ui
from gpuenv.core.deadline import Asked
from gpuenv.core.errors import GpuenvError
from gpuenv.doctor.facts import Facts, Unanswered, Wish

#: A probe that only looks at this machine; the slowest one on an idle machine takes a tenth of it.
DEADLINE_S = 5.0
#: After that a person is told what is waited for.
PATIENCE_S = 6.0


@dataclass(frozen=True)
class Probe:
    """A question: the field of the facts that it fills, what it is about, how it is asked, and how long it may take.

    ``by_hand`` is the command that asks the same.
    """

    field: str
    about: str
    ask: Callable[[], object]
    by_hand: str
    deadline_s: float = DEADLINE_S


def gather(probes: Sequence[Probe], wish: Wish) -> Facts:
    """Ask all at the same time. Takes as long as the longest deadline at most, however many hang."""
    asked: Asked[str, object] = Asked()
    for probe in probes:
        asked.ask(probe.field, probe.ask)
    known: dict[str, Any] = {}
    unanswered: dict[str, Unanswered] = {}
    for probe in probes:
        if probe.deadline_s > PATIENCE_S and probe.field not in asked.wait([probe.field], PATIENCE_S):
            ui.say(f"still waiting for {probe.about} ({probe.deadline_s:g} s at most)")
        silence = TimeoutError(f"no answer within {probe.deadline_s:g} s")
        answer = asked.wait([probe.field], probe.deadline_s).get(probe.field, silence)
        if isinstance(answer, Exception):
            unanswered[probe.field] = Unanswered(probe.about, _describe(answer), probe.by_hand)
        else:
            known[probe.field] = answer
    return Facts(wish, **known, unanswered=unanswered)


def _describe(error: Exception) -> str:
    if isinstance(error, GpuenvError):
        return f"{error.what}: {error.why}"
    return str(error) if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
