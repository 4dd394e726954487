"""The ways to an environment on this machine, what stands in each, and the one to recommend.

A way is a variant, a flavor and an engine, as `gpu-shell` would take them; the facts are its own modules' answers.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gpuenv.doctor.facts import Facts, Wish
from gpuenv.doctor.findings import Finding
from gpuenv.doctor.obstacles import find_obstacles
from gpuenv.host import gpu
from gpuenv.variants.environment import Environment
from gpuenv.variants.kinds import FLAVORS, TITLES

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
    return [
        _route(facts, found, Environment(one, flavor), kind)
        for kind in (*([engine] if engine else []), *TITLES)
        for flavor in FLAVORS
        for one in (wish.default, *others)
    ]


def _route(facts: Facts, found: Sequence[Finding], environment: Environment, engine: str) -> Route:
    obstacles = dict.fromkeys(find_obstacles(facts, found, environment, engine))
    servings = facts.gpus.judge([environment.variant]) if environment.flavor == "gpu" else []
    cards = servings[0].cards if servings else ()
    return Route(environment, engine, tuple(obstacles), tuple(_doubts(facts, engine)), cards)


def _doubts(facts: Facts, engine: str) -> Iterator[str]:
    yield from facts.doubts(*facts.unanswered)
    if engine == "conda" and not facts.network.of_kind("channel"):
        yield "conda's channels were not asked"


def wanted(routes: Sequence[Route], wish: Wish) -> list[Route]:
    """The ways to what was asked for; all of them if nothing was."""
    return [route for route in routes if wish.asked is None or route.environment.variant == wish.asked]


def find_best(routes: Sequence[Route], wish: Wish) -> Route | None:
    """The first way that can be taken."""
    return next((route for route in wanted(routes, wish) if route.is_open), None)


def engine_of(facts: Facts) -> str | None:
    """The kind of engine that `gpu-shell` would take: one that answers, a private one, or none."""
    if facts.engines.running is not None:
        return facts.engines.running.kind
    return PRIVATE if facts.engines.private_obstacle is None else None


def render_command(route: Route, facts: Facts) -> str:
    """What to type: only what `gpu-shell` would not choose by itself."""
    variant, flavor = route.environment.variant, route.environment.flavor
    parts = ["make gpu-shell"]
    if not variant.is_default:
        parts.append(f"VARIANT={variant.name}")
    if route.engine in TITLES:
        # Said although nothing else would be taken now: another engine may be there tomorrow.
        parts.append(f"ENGINE={route.engine}")
    if "gpus" in facts.unanswered or flavor != gpu.default_flavor(facts.gpus.host):
        parts.append(f"FLAVOR={flavor}")
    if 0 < len(route.gpus) < len(facts.gpus.cards):
        parts.append(f"GPUS={','.join(map(str, route.gpus))}")
    if facts.wish.sources_dir is not None:
        parts.append(f"SOURCES_DIR={shlex.quote(str(facts.wish.sources_dir))}")
    return " ".join(parts)
