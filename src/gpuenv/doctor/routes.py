"""The ways to an environment on this machine, what stands in each, and the one to recommend.

A way is a variant, a flavor and an engine, as `gpu-shell` would take them; the facts are its own modules' answers.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gpuenv.conda import spec
from gpuenv.doctor import findings
from gpuenv.doctor.facts import Place, Wish
from gpuenv.doctor.findings import Finding
from gpuenv.doctor.gather import Facts
from gpuenv.host import gpu
from gpuenv.variants.environment import Environment
from gpuenv.variants.kinds import FLAVORS, PREFIX_GB, TITLES
from gpuenv.variants.model import Variant

PRIVATE = "private"
#: Kinds of addresses, for people.
_WORDS = {
    "index": "the package index",
    "index-folder": "the folder of packages",
    "registry": "the container registry",
    "apt": "the distribution's mirror",
}


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
    obstacles = dict.fromkeys(_obstacles(facts, found, environment, engine))
    doubts = facts.doubts(*facts.unanswered)
    if engine == "conda" and not facts.network.of_kind("channel"):
        doubts.append("conda's channels were not asked")
    servings = facts.gpus.judge([environment.variant]) if environment.flavor == "gpu" else []
    return Route(environment, engine, tuple(obstacles), tuple(doubts), servings[0].cards if servings else ())


def _obstacles(facts: Facts, found: Sequence[Finding], environment: Environment, engine: str) -> Iterator[str]:
    """Why an environment cannot be had by one engine, for people; a reason may come twice."""

    def blocked(*uses: str) -> Iterator[str]:
        return (finding.message for use in uses for finding in found if use in finding.blocks)

    variant, flavor = environment.variant, environment.flavor
    is_prefix = engine in TITLES
    yield from blocked(findings.MACHINE)
    if flavor == "gpu":
        yield from blocked(findings.GPU)
        yield from facts.doubts("gpus")
        for serving in facts.gpus.judge([variant]):
            if not serving.is_served:
                yield from serving.reasons
        yield from blocked(findings.PREFIX_GPU if is_prefix else findings.CONTAINER_GPU)
    if is_prefix:
        yield from blocked(findings.PREFIX)
        if (variant.name, flavor, engine) not in facts.pythons.made:
            yield from blocked(findings.INSTALL)
            yield from _of_prefix(facts, environment, engine)
        return
    running = facts.engines.running
    if running is None and facts.engines.missing:
        # A private engine has to be installed first.
        yield from _unreachable(facts, "apt")
    yield from blocked(findings.CONTAINER)
    if running is None or (variant.name, flavor) not in running.images:
        yield from blocked(findings.BUILD, findings.INSTALL)
        yield from _of_image(facts, environment)


def _of_prefix(facts: Facts, environment: Environment, kind: str) -> Iterator[str]:
    """Why an environment of this machine cannot be made, beside settings that cannot be used."""
    variant, flavor = environment.variant, environment.flavor
    is_unknown = facts.doubts("pythons")
    yield from is_unknown
    if kind == "venv" and not is_unknown and facts.pythons.found.get(variant.python_minor) is None:
        yield f"there is no complete CPython {variant.python_minor} on this machine"
    if kind == "conda":
        yield from _conda(facts, environment)
    yield from _unreachable(facts, "index-folder" if facts.network.of_kind("index-folder") else "index")
    yield from _room(facts.storage.cache, environment, PREFIX_GB[flavor])
    if kind == "venv" and flavor == "gpu" and variant.name not in facts.pythons.cuda:
        yield from filter(None, [facts.network.cuda_obstacle(variant.name)])


def _conda(facts: Facts, environment: Environment) -> Iterator[str]:
    yield from facts.doubts("conda")
    if facts.conda.obstacle is not None:
        yield facts.conda.obstacle
    if environment.variant.conda is None:
        yield f"{environment.variant.name} has no conda environment"
        return
    # Each channel has something that the others lack.
    channels = spec.channels(environment)
    for answer in facts.network.failures("channel"):
        if answer.name in channels:
            yield f"the conda channel {answer.name} cannot be reached: {answer.problem}"


def _of_image(facts: Facts, environment: Environment) -> Iterator[str]:
    """Why the image cannot be built, beside what keeps every image from being built."""
    variant, flavor = environment.variant, environment.flavor
    running = facts.engines.running
    yield from _room(running.data if running else facts.storage.private, environment, variant.disk.needed_gb(flavor))
    if running is None or not (running.has_detour or (variant.name, flavor) in running.bases):
        yield from _base(facts, variant)
    yield from _unreachable(facts, "index")
    if flavor == "gpu":
        yield from filter(None, [facts.network.cuda_obstacle(variant.name)])


def _room(place: Place, environment: Environment, needed_gb: int) -> Iterator[str]:
    if place.free_bytes is not None and place.free_bytes < needed_gb * 10**9:
        yield f"{place.path} has {place.free_bytes / 1e9:.1f} GB free, {environment.name} needs {needed_gb}"


def _base(facts: Facts, variant: Variant) -> Iterator[str]:
    """Neither the registry answers nor can a base be made here."""
    registry = list(_unreachable(facts, "registry"))
    local = [*facts.doubts("pythons"), *filter(None, [facts.pythons.base_obstacles.get(variant.name)])]
    if registry and local:
        yield f"{registry[0]}, and no base can be made here: {local[0]}"
    elif registry:
        yield from _unreachable(facts, "apt")


def _unreachable(facts: Facts, kind: str) -> Iterator[str]:
    """That nothing answers of one kind of address, if so."""
    yield from facts.doubts("network")
    for answer in facts.network.failures(kind)[:1]:
        yield f"{_WORDS[kind]} ({answer.name}) cannot be reached: {answer.problem}"


def wanted(routes: Sequence[Route], wish: Wish) -> list[Route]:
    """The ways to what was asked for; all of them if nothing was."""
    return [route for route in routes if wish.asked is None or route.environment.variant == wish.asked]


def find_best(routes: Sequence[Route], wish: Wish) -> Route | None:
    """The first way that can be taken."""
    return next((route for route in wanted(routes, wish) if route.is_open), None)


def engine_of(facts: Facts) -> str | None:
    """The kind of engine that `gpu-shell` would take: one that answers, a private one, or none."""
    if facts.engines.running is not None:
        return facts.engines.running.engine.kind
    is_known = "engines" not in facts.unanswered
    return PRIVATE if is_known and facts.engines.private_obstacle is None else None


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
