"""Run probes concurrently, each with a deadline; failures become `Unanswered`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gpuenv.core import ui
from gpuenv.core.errors import GpuenvError
from gpuenv.doctor import facts
from gpuenv.net.deadline import Asked

#: A probe that only looks at this machine; the slowest one on an idle machine takes a tenth of it.
DEADLINE_S = 5.0
#: After that a person is told what is waited for.
PATIENCE_S = 6.0


@dataclass(frozen=True)
class Probe:
    """A question: the name of the fact that it finds, what it is about, how it is asked, and how long it may take.

    ``by_hand`` is the command that asks the same.
    """

    name: str
    about: str
    ask: Callable[[], object]
    by_hand: str
    deadline_s: float = DEADLINE_S


@dataclass(frozen=True)
class Unanswered:
    """A probe that failed or did not end in time: what it was about, why, and the command to look by hand."""

    about: str
    reason: str
    by_hand: str


@dataclass(frozen=True)
class Facts:
    """Everything that was found out; what could not be is empty here, and in ``unanswered`` by the field's name."""

    wish: facts.Wish
    machine: facts.Machine = field(default_factory=facts.Machine)
    storage: facts.Storage = field(default_factory=facts.Storage)
    engines: facts.Engines = field(default_factory=facts.Engines)
    clients: facts.Clients = field(default_factory=facts.Clients)
    toolkit: facts.Toolkit = field(default_factory=facts.Toolkit)
    gpus: facts.Gpus = field(default_factory=facts.Gpus)
    variables: facts.Variables = field(default_factory=facts.Variables)
    conda: facts.Conda = field(default_factory=facts.Conda)
    pythons: facts.Pythons = field(default_factory=facts.Pythons)
    network: facts.Network = field(default_factory=facts.Network)
    clock: facts.Clock = field(default_factory=facts.Clock)
    unanswered: Mapping[str, Unanswered] = field(default_factory=dict)

    def doubts(self, *names: str) -> list[str]:
        """That these facts could not be found out, as far as that is so."""
        return [f"{self.unanswered[name].about} could not be found out" for name in names if name in self.unanswered]


def gather(probes: Sequence[Probe], wish: facts.Wish) -> Facts:
    """Ask all at the same time. Takes as long as the longest deadline at most, however many hang."""
    asked: Asked[str, object] = Asked()
    for probe in probes:
        asked.ask(probe.name, probe.ask)
    known: dict[str, Any] = {}
    unanswered: dict[str, Unanswered] = {}
    for probe in probes:
        if probe.deadline_s > PATIENCE_S and probe.name not in asked.wait([probe.name], PATIENCE_S):
            ui.say(f"still waiting for {probe.about} ({probe.deadline_s:g} s at most)")
        silence = TimeoutError(f"no answer within {probe.deadline_s:g} s")
        answer = asked.wait([probe.name], probe.deadline_s).get(probe.name, silence)
        if isinstance(answer, Exception):
            unanswered[probe.name] = Unanswered(probe.about, _describe(answer), probe.by_hand)
        else:
            known[probe.name] = answer
    return Facts(wish, **known, unanswered=unanswered)


def _describe(error: Exception) -> str:
    if isinstance(error, GpuenvError):
        return f"{error.what}: {error.why}"
    return str(error) if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
