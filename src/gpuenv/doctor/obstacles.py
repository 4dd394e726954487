"""What stands in the way to one environment beside the findings: its place, its packages, its base. Text for people."""

from __future__ import annotations

from collections.abc import Iterator

from gpuenv.conda import spec
from gpuenv.doctor.facts import Facts, Network
from gpuenv.variants.environment import Environment
from gpuenv.variants.kinds import PREFIX_GB
from gpuenv.variants.model import Variant


def of_prefix(facts: Facts, environment: Environment, kind: str) -> Iterator[str]:
    """Why an environment of this machine (venv, conda) cannot be made, beside settings that cannot be used."""
    variant, flavor = environment.variant, environment.flavor
    local, storage, network = facts.pythons, facts.storage, facts.network
    if local is None:
        yield "which Pythons there are could not be found out"
    elif kind == "venv" and local.found.get(variant.python_minor) is None:
        yield f"there is no complete CPython {variant.python_minor} on this machine"
    if kind == "conda":
        yield from _conda(facts, environment)
    has_folder = network is not None and any(answer.kind == "index-folder" for answer in network.answers)
    yield from unreachable(network, "index-folder" if has_folder else "index")
    if storage is not None and storage.cache.free_bytes < PREFIX_GB[flavor] * 10**9:
        yield f"{storage.cache.path} has {storage.cache.free_bytes / 1e9:.1f} GB free"
    if kind == "venv" and flavor == "gpu" and local is not None and variant.name not in local.cuda:
        yield from _archives(network, variant)


def _conda(facts: Facts, environment: Environment) -> Iterator[str]:
    if facts.conda is None:
        yield "whether there is a conda could not be found out"
    elif facts.conda.obstacle is not None:
        yield facts.conda.obstacle
    if environment.variant.conda is None:
        yield f"{environment.variant.name} has no conda environment"
        return
    # Each channel has something that the others lack.
    channels = spec.channels(environment.variant, environment.flavor)
    for answer in facts.network.answers if facts.network else ():
        if answer.kind == "channel" and answer.name in channels and answer.problem is not None:
            yield f"the conda channel {answer.name} cannot be reached: {answer.problem}"


def _archives(network: Network | None, variant: Variant) -> Iterator[str]:
    reason = network.archive_obstacles.get(variant.name) if network else "the network could not be asked"
    if reason is not None:
        yield reason


def of_image(facts: Facts, environment: Environment) -> Iterator[str]:
    """Why the image cannot be built, beside what keeps every image from being built."""
    yield from _room(facts, environment)
    variant, flavor = environment.variant, environment.flavor
    running = facts.engines.running if facts.engines else None
    has_base = running is not None and ((variant.name, flavor) in running.bases or running.has_detour)
    if not has_base:
        yield from _base(facts, variant)
    yield from unreachable(facts.network, "index")
    if flavor == "gpu":
        yield from _archives(facts.network, variant)


def _room(facts: Facts, environment: Environment) -> Iterator[str]:
    running = facts.engines.running if facts.engines else None
    path, free_bytes = (running.root, running.free_bytes) if running else ("", None)
    if running is None and facts.storage is not None:
        path, free_bytes = facts.storage.private.path, facts.storage.private.free_bytes
    needed_gb = environment.variant.disk.needed_gb(environment.flavor)
    if free_bytes is not None and free_bytes < needed_gb * 10**9:
        yield f"{path} has {free_bytes / 1e9:.1f} GB free, {environment.name} needs {needed_gb}"


def _base(facts: Facts, variant: Variant) -> Iterator[str]:
    """Neither the registry answers nor can a base be made here."""
    registry = list(unreachable(facts.network, "registry"))
    if not registry:
        return
    pythons = facts.pythons
    local = pythons.base_obstacles.get(variant.name) if pythons else "which Pythons there are is not known"
    if local is not None:
        yield f"{registry[0]}, and no base can be made here: {local}"
    else:
        yield from unreachable(facts.network, "apt")


def unreachable(network: Network | None, kind: str) -> Iterator[str]:
    """That nothing answers of one kind of address, if so."""
    words = {
        "index": "the package index",
        "index-folder": "the folder of packages",
        "registry": "the container registry",
        "apt": "the distribution's mirror",
    }
    if network is None:
        yield f"whether {words[kind]} can be reached could not be found out"
        return
    failed = [answer for answer in network.answers if answer.kind == kind and answer.problem is not None]
    if failed:
        yield f"{words[kind]} ({failed[0].name}) cannot be reached: {failed[0].problem}"
