"""The ways to an environment on this machine, what stands in each, and the one to recommend.

A way is a variant, a flavor and an engine, as `gpu-shell` would take them; the facts are its own modules' answers.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gpuenv.doctor import findings, obstacles
from gpuenv.doctor.facts import Facts, Wish
from gpuenv.doctor.findings import Finding
from gpuenv.host import gpu
from gpuenv.variants.environment import Environment
from gpuenv.variants.kinds import FLAVORS, TITLES
from gpuenv.variants.model import Variant

PRIVATE = "private"


@dataclass(frozen=True)
class Route:
    """A way to an environment; it can be taken if ``obstacles`` is empty. ``gpus`` are the cards it can use."""

    environment: Environment
    engine: str
    obstacles: tuple[str, ...]
    doubts: tuple[str, ...] = ()
    gpus: tuple[int, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether nothing that is known stands in it."""
        return not self.obstacles


def list_routes(facts: Facts, found: Sequence[Finding]) -> list[Route]:
    """Every way, the best first: containers before environments of this machine, GPU before CPU, the default before
    the rest.
    """
    wish = facts.wish
    others = [variant for variant in reversed(wish.variants) if variant != wish.default]
    engine = engine_of(facts)
    # A virtual environment before conda, as `gpu-shell` chooses.
    kinds = [engine, *TITLES] if engine else [*TITLES]
    return [
        _route(facts, found, Environment(one, flavor), kind)
        for kind in kinds
        for flavor in FLAVORS
        for one in (wish.default, *others)
    ]


def wanted(routes: Sequence[Route], wish: Wish) -> list[Route]:
    """The ways to what was asked for; all of them if nothing was."""
    return [route for route in routes if wish.asked is None or route.environment.variant == wish.asked]


def find_best(routes: Sequence[Route], wish: Wish) -> Route | None:
    """The first way that can be taken."""
    return next((route for route in wanted(routes, wish) if route.is_open), None)


def engine_of(facts: Facts) -> str | None:
    """The kind of engine that `gpu-shell` would take: one that answers, a private one, or none."""
    engines = facts.engines
    if engines is None:
        return None
    if engines.running is not None:
        return engines.running.kind
    return PRIVATE if engines.private_obstacle is None else None


def _route(facts: Facts, found: Sequence[Finding], environment: Environment, engine: str) -> Route:
    variant, flavor = environment.variant, environment.flavor
    gpus, reasons = _serving(facts, variant) if flavor == "gpu" else ((), ())

    def blocked(*uses: str) -> list[str]:
        return [finding.message for use in uses for finding in found if use in finding.blocks]

    in_the_way = blocked(findings.MACHINE)
    if flavor == "gpu":
        in_the_way += [
            *blocked(findings.GPU),
            *reasons,
            *blocked(findings.PREFIX_GPU if engine in TITLES else findings.CONTAINER_GPU),
        ]
    if engine in TITLES:
        in_the_way += blocked(findings.PREFIX)
        if facts.pythons is None or (variant.name, flavor, engine) not in facts.pythons.made:
            in_the_way += [*blocked(findings.INSTALL), *obstacles.of_prefix(facts, environment, engine)]
    else:
        running = facts.engines.running if facts.engines else None
        if running is None and facts.engines and facts.engines.missing:
            # A private engine has to be installed first.
            in_the_way += obstacles.unreachable(facts.network, "apt")
        in_the_way += blocked(findings.CONTAINER)
        if running is None or (variant.name, flavor) not in running.images:
            in_the_way += [*blocked(findings.BUILD, findings.INSTALL), *obstacles.of_image(facts, environment)]
    return Route(environment, engine, tuple(dict.fromkeys(in_the_way)), tuple(_doubts(facts, engine)), gpus)


def _serving(facts: Facts, variant: Variant) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The cards that serve a variant, and why none does."""
    if facts.gpus is None:
        return (), ("what the driver has could not be found out",)
    for serving in facts.gpus.judge([variant]):
        return serving.cards, () if serving.is_served else serving.reasons
    return (), ()


def _doubts(facts: Facts, engine: str) -> Iterator[str]:
    yield from (f"{one.about} could not be found out" for one in facts.unanswered.values())
    network = facts.network
    if engine == "conda" and (network is None or not any(one.kind == "channel" for one in network.answers)):
        yield "conda's channels were not asked"


def render_command(route: Route, facts: Facts) -> str:
    """What to type: only what `gpu-shell` would not choose by itself."""
    gpus = facts.gpus
    parts = ["make gpu-shell"]
    if not route.environment.variant.is_default:
        parts.append(f"VARIANT={route.environment.variant.name}")
    if route.engine in TITLES:
        # Said although nothing else would be taken now: another engine may be there tomorrow.
        parts.append(f"ENGINE={route.engine}")
    if gpus is None or route.environment.flavor != gpu.default_flavor(gpus.host):
        parts.append(f"FLAVOR={route.environment.flavor}")
    if gpus is not None and route.environment.flavor == "gpu" and 0 < len(route.gpus) < len(gpus.cards):
        parts.append(f"GPUS={','.join(map(str, route.gpus))}")
    if facts.wish.sources_dir is not None:
        parts.append(f"SOURCES_DIR={shlex.quote(str(facts.wish.sources_dir))}")
    return " ".join(parts)
