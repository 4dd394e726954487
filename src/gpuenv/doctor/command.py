"""`make doctor`: what is right and wrong with this machine, how to mend it, and what to type. Starts nothing.

Probes find facts, at the same time and each with a deadline; checks judge them, in this order; nothing that could not
be found out counts as right.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from gpuenv.core import paths, ui
from gpuenv.core.errors import GpuenvError, HostError
from gpuenv.core.settings import Settings
from gpuenv.doctor import findings, routes, text
from gpuenv.doctor.checks import engine, gpu, host, network, python, variants
from gpuenv.doctor.facts import Wish
from gpuenv.doctor.findings import Finding, Findings
from gpuenv.doctor.gather import DEADLINE_S, Facts, Probe, gather
from gpuenv.doctor.routes import Route
from gpuenv.net.questions import ANSWERS_S
from gpuenv.variants import model

#: The driver may have to wake every card; an engine with trouble answers late. Neither is waited for without need.
GPU_DEADLINE_S = 30.0
ENGINE_DEADLINE_S = 12.0
#: To read settings, and to ask every address.
NETWORK_DEADLINE_S = ANSWERS_S + 2.0

#: Every public function of these modules by its name in the report (``"gpu-memory"``), in the order of the report. Each
#: takes the facts that its parameters name.
CHECKS: dict[str, Callable[..., Findings]] = {
    name.replace("_", "-"): check
    for module in (host, engine, gpu, variants, python, network)
    for name, check in vars(module).items()
    if inspect.isfunction(check) and check.__module__ == module.__name__ and not name.startswith("_")
}


def make_probes(wish: Wish) -> tuple[Probe, ...]:
    """Every question that is asked of this machine."""
    return (
        _probe("host", "machine", "processor, kernel and memory", "uname -a"),
        _probe("host", "storage", "free disk space", "df -h"),
        _probe("engine", "engines", "the container engine", "docker info", wish, deadline_s=ENGINE_DEADLINE_S),
        _probe("engine", "clients", "the engine's client", "docker version"),
        _probe("engine", "toolkit", "NVIDIA's container toolkit", "nvidia-ctk --version"),
        _probe("gpu", "gpus", "the NVIDIA driver", "nvidia-smi", deadline_s=GPU_DEADLINE_S),
        _probe("host", "variables", "the environment's variables", "env"),
        _probe("conda", "conda", "conda's settings", "conda config --show-sources"),
        _probe("host", "pythons", "the local Pythons", "which -a python3", wish),
        _probe("network", "network", "the network", "curl --head <address>", wish, deadline_s=NETWORK_DEADLINE_S),
        _probe("host", "clock", "the clock", "date"),
    )


def _probe(module: str, name: str, about: str, by_hand: str, *args: object, deadline_s: float = DEADLINE_S) -> Probe:
    """The function ``name`` of a module of probes. On Windows some cannot be imported: their answer is unknown."""
    try:
        ask = partial(getattr(importlib.import_module(f"gpuenv.doctor.probes.{module}"), name), *args)
    except ImportError as error:
        ask = partial(_refuse, f"it cannot be asked on this system ({error})")
    return Probe(name, about, ask, by_hand, deadline_s)


def _refuse(why: str) -> object:
    raise HostError("no answer", why, "use a Linux")


def run(settings: Settings) -> int:
    """Examine this machine; 0: it works, 2: something cannot. Raises UsageError for an unknown variant."""
    asked = model.find_variant(settings.variant) if settings.variant else None
    wish = Wish(tuple(model.load_all()), asked, settings.sources_dir)
    with contextlib.suppress(GpuenvError):
        # Once, before probes ask for them at the same time: they may have something to say to the user.
        paths.cache_dir(), paths.state_dir()
    return report(gather(make_probes(wish), wish), is_json=settings.json, is_verbose=settings.verbose)


def report(facts: Facts, *, is_json: bool, is_verbose: bool = False) -> int:
    """Judge the facts, print the report (with what is fine if ``is_verbose``), and return the exit code."""
    examined = examine(facts)
    ways = routes.list_routes(facts, examined)
    found = [*examined, *judge_routes(ways, facts.wish)]
    if is_json:
        ui.show_json(text.render_json(found, facts, ways))
    else:
        text.show(found, facts, ways, is_verbose=is_verbose)
    # A machine with warnings works.
    return 2 if any(finding.severity == findings.ERROR for finding in found) else 0


def examine(facts: Facts) -> list[Finding]:
    """What every check says, in order."""
    return [finding for name in CHECKS for finding in apply(name, facts)]


def apply(name: str, facts: Facts) -> list[Finding]:
    """What one check says, with remedies in words for this user and this system."""
    kinds = facts.machine.kinds
    said = _ask(CHECKS[name], facts)
    return [replace(one, check=name, remedy=findings.render(one.remedy, kinds)) for one in said]


def _ask(check: Callable[..., Findings], facts: Facts) -> list[Finding]:
    """What a check returns; else that it needs what nobody found out."""
    needs = inspect.signature(check).parameters
    missing = [facts.unanswered[name] for name in needs if name in facts.unanswered]
    if missing:
        message = f"{missing[0].about} could not be found out: {missing[0].reason}"
        return [findings.unknown(message, missing[0].by_hand)]
    try:
        said = check(**{name: getattr(facts, name) for name in needs})
        return [said] if isinstance(said, Finding) else list(said)
    except (ValueError, LookupError) as error:
        # A machine that says what nobody foresaw must not cost the rest of the report.
        return [findings.unknown(f"it could not be judged ({type(error).__name__}: {error})", "report this line")]


def judge_routes(ways: Sequence[Route], wish: Wish) -> list[Finding]:
    """That there is a way at all: without one nothing works, whatever else is only a warning."""
    if routes.find_best(ways, wish) is not None:
        return []
    nearest = min(routes.wanted(ways, wish), key=lambda route: len(route.obstacles))
    message = f"no environment can be had on this machine; nearest is {text.name(nearest)}"
    remedy = "mend what it names: the lines above say how"
    return [Finding(findings.ERROR, f"{message}: {'; '.join(nearest.obstacles)}", remedy, check="recommendation")]
