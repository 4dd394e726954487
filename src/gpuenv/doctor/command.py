"""`make doctor`: what is right and wrong with this machine, how to mend it, and what to type. Starts nothing.

Probes find facts, at the same time and each with a deadline; checks judge them, in this order; nothing that could not
be found out counts as right.
"""

from __future__ import annotations

import contextlib
import importlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from gpuenv.core import paths
from gpuenv.core.errors import GpuenvError, HostError
from gpuenv.core.settings import Settings
from gpuenv.doctor import findings, remedies
from gpuenv.doctor import routes as doctor_routes
from gpuenv.doctor import text as doctor_text
from gpuenv.doctor.checks import engine as doctor_checks_engine
from gpuenv.doctor.checks import gpu as doctor_checks_gpu
from gpuenv.doctor.checks import host as doctor_checks_host
from gpuenv.doctor.checks import network as doctor_checks_network
from gpuenv.doctor.checks import python as doctor_checks_python
from gpuenv.doctor.checks import variants as doctor_checks_variants
from gpuenv.doctor.facts import (
    Clients,
    Clock,
    Conda,
    Engines,
    Environment,
    Facts,
    Gpus,
    Machine,
    Network,
    Pythons,
    Storage,
    Toolkit,
    Wish,
)
from gpuenv.doctor.findings import Finding
from gpuenv.doctor.gather import Probe, gather
from gpuenv.net.questions import ANSWERS_S
from gpuenv.variants import model as variants

#: nvidia-smi may have to wake every card; an engine with trouble answers late. Neither is waited for without need.
GPU_DEADLINE_S = 30.0
ENGINE_DEADLINE_S = 12.0
#: To read settings, and to ask every address.
NETWORK_DEADLINE_S = ANSWERS_S + 2.0


@dataclass(frozen=True)
class Check:
    """A check, and the types of the facts that it takes, in order."""

    name: str
    judge: Callable[..., list[Finding]]
    needs: tuple[type, ...]


CHECKS = (
    Check("architecture", doctor_checks_host.check_architecture, (Machine,)),
    Check("avx", doctor_checks_host.check_avx, (Machine,)),
    Check("kernel", doctor_checks_host.check_kernel, (Machine,)),
    Check("libc", doctor_checks_host.check_libc, (Machine,)),
    Check("memory", doctor_checks_host.check_memory, (Machine,)),
    Check("engine", doctor_checks_engine.check_engine, (Engines, Machine)),
    Check("socket", doctor_checks_engine.check_socket, (Engines, Machine)),
    Check("engine-version", doctor_checks_engine.check_engine_version, (Engines, Machine)),
    Check("builder", doctor_checks_engine.check_builder, (Engines, Clients, Machine)),
    Check("client", doctor_checks_engine.check_client, (Clients, Machine)),
    Check("storage", doctor_checks_engine.check_storage, (Engines,)),
    Check("engine-memory", doctor_checks_engine.check_engine_memory, (Engines, Machine)),
    Check("disk", doctor_checks_host.check_disk, (Wish, Engines, Storage)),
    Check("driver", doctor_checks_gpu.check_driver, (Gpus, Machine)),
    Check("driver-match", doctor_checks_gpu.check_match, (Gpus, Machine)),
    Check("device-nodes", doctor_checks_gpu.check_nodes, (Gpus,)),
    Check("uvm", doctor_checks_gpu.check_uvm, (Gpus, Machine)),
    Check("gpus", doctor_checks_gpu.check_cards, (Gpus, Machine)),
    Check("gpu-memory", doctor_checks_gpu.check_memory, (Gpus,)),
    Check("variants", doctor_checks_variants.check_variants, (Wish, Gpus)),
    Check("toolkit", doctor_checks_engine.check_toolkit, (Toolkit, Gpus, Engines, Machine)),
    Check("runtime", doctor_checks_engine.check_runtime, (Engines, Toolkit, Gpus)),
    Check("variables", doctor_checks_variants.check_hidden, (Environment, Gpus)),
    Check("library-path", doctor_checks_variants.check_library_path, (Environment,)),
    Check("python", doctor_checks_python.check_python, (Pythons, Wish)),
    Check("conda", doctor_checks_python.check_conda, (Conda,)),
    Check("conda-settings", doctor_checks_python.check_conda_settings, (Conda,)),
    Check("conda-channels", doctor_checks_python.check_channels, (Conda,)),
    Check("conda-ssl", doctor_checks_python.check_verification, (Conda, Machine)),
    Check("tensorflow", doctor_checks_python.check_mixed, (Conda,)),
    Check("proxy", doctor_checks_network.check_proxy, (Network,)),
    Check("ca-bundle", doctor_checks_network.check_bundle, (Network, Machine)),
    Check("pip-settings", doctor_checks_network.check_pip_settings, (Network,)),
    Check("index", doctor_checks_network.check_index, (Network, Machine)),
    Check("registry", doctor_checks_network.check_registry, (Network, Machine, Engines)),
    Check("archives", doctor_checks_network.check_archives, (Network, Machine)),
    Check("channels", doctor_checks_network.check_channels, (Network, Machine, Engines, Pythons, Wish)),
    Check("mirror", doctor_checks_network.check_mirror, (Network, Machine)),
    Check("clock", doctor_checks_network.check_clock, (Clock, Network, Machine)),
)


def make_probes(wish: Wish) -> tuple[Probe, ...]:
    """Every question that is asked of this machine."""
    engines = _asker("engine", "engines", wish)
    network = _asker("network", "network_facts", wish)
    local_pythons = _asker("host", "local_pythons", wish)
    return (
        Probe(Machine, "processor, kernel and memory", _asker("host", "machine"), "uname -a"),
        Probe(Storage, "free disk space", _asker("host", "storage"), "df -h"),
        Probe(Engines, "the container engine", engines, "docker info", ENGINE_DEADLINE_S),
        Probe(Clients, "the engine's client", _asker("engine", "clients"), "docker version"),
        Probe(Toolkit, "NVIDIA's container toolkit", _asker("engine", "toolkit"), "nvidia-ctk --version"),
        Probe(Gpus, "the NVIDIA driver", _asker("gpu", "gpus"), "nvidia-smi", GPU_DEADLINE_S),
        Probe(Environment, "the environment's variables", _asker("host", "environment"), "env"),
        Probe(Conda, "conda's settings", _asker("conda", "conda"), "conda config --show-sources"),
        Probe(Pythons, "the local Pythons", local_pythons, "which -a python3"),
        Probe(Network, "the network", network, "curl --head <address>", NETWORK_DEADLINE_S),
        Probe(Clock, "the clock", _asker("host", "clock"), "date"),
    )


def _asker(module: str, name: str, *args: object) -> Callable[[], object]:
    """A probe by its name. On Windows some cannot be imported: what they would find out is unknown there."""
    try:
        probe = getattr(importlib.import_module(f"gpuenv.doctor.probes.{module}"), name)
    except ImportError as error:
        return partial(_refuse, f"it cannot be asked on this system ({error})")
    return partial(probe, *args)


def _refuse(why: str) -> object:
    raise HostError("no answer", why, "use a Linux")


def run(settings: Settings) -> int:
    """Examine this machine; 0: it works, 2: something cannot. Raises UsageError for an unknown variant."""
    wish = Wish(tuple(variants.load_all()), variants.find_variant(settings.variant) if settings.variant else None)
    with contextlib.suppress(GpuenvError):
        # Once, before probes ask for them at the same time: they may have something to say to the user.
        paths.cache_dir(), paths.state_dir()
    return report(gather(make_probes(wish)), wish, is_json=settings.json, is_verbose=settings.verbose)


def report(facts: Facts, wish: Wish, *, is_json: bool, is_verbose: bool = False) -> int:
    """Judge the facts, print the report (with what is fine if ``is_verbose``), and return the exit code."""
    facts = replace(facts, known={**facts.known, Wish: wish})
    routes = doctor_routes.list_routes(facts)
    found = [*examine(facts), *judge_routes(routes, wish)]
    if is_json:
        print(json.dumps(doctor_text.render_json(found, facts, routes), indent=2), flush=True)
    else:
        doctor_text.show(found, facts, routes, is_verbose=is_verbose)
    return findings.exit_code(found)


def examine(facts: Facts) -> list[Finding]:
    """What every check says, in order, with remedies for this user and this system."""
    return [_fitted(finding, facts.get(Machine)) for check in CHECKS for finding in apply(check, facts)]


def _fitted(finding: Finding, machine: Machine | None) -> Finding:
    if finding.remedy is None or machine is None:
        return finding
    return replace(finding, remedy=remedies.fit(finding.remedy, is_root=machine.is_root, init=machine.init))


def apply(check: Check, facts: Facts) -> list[Finding]:
    """One check; what it needs and nobody found out is said instead."""
    missing = [facts.unanswered[kind] for kind in check.needs if facts.get(kind) is None and kind in facts.unanswered]
    if missing:
        about, reason, by_hand = missing[0].about, missing[0].reason, missing[0].by_hand
        return findings.unknown(check.name, f"{about} could not be found out: {reason}", by_hand)
    try:
        return check.judge(*(facts.get(kind) for kind in check.needs))
    except (ValueError, LookupError) as error:
        # A machine that says what nobody foresaw must not cost the rest of the report.
        text = f"it could not be judged ({type(error).__name__}: {error})"
        return findings.unknown(check.name, text, "report this line")


def judge_routes(routes: Sequence[doctor_routes.Route], wish: Wish) -> list[Finding]:
    """That there is a way at all: without one nothing works, whatever else is only a warning."""
    if doctor_routes.find_best(routes, wish) is not None:
        return []
    nearest = min(doctor_routes.wanted(routes, wish), key=lambda route: len(route.obstacles))
    text = f"no environment can be had on this machine; nearest is {doctor_text.name(nearest)}"
    return findings.error(
        "recommendation", f"{text}: {'; '.join(nearest.obstacles)}", "mend what it names: the lines above say how"
    )
