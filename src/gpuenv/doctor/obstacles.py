"""What stands in the way to an environment, piece by piece: machine, engine, GPU, image. Pure; sentences for people."""

from __future__ import annotations

from collections.abc import Iterator

from gpuenv.conda import spec as conda_spec
from gpuenv.doctor.checks import engine as engine_checks
from gpuenv.doctor.checks import gpu as gpu_checks
from gpuenv.doctor.checks import host as host_checks
from gpuenv.doctor.checks import variants as variant_checks
from gpuenv.doctor.facts import (
    Clients,
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
)
from gpuenv.doctor.findings import ERROR, OK, Finding
from gpuenv.variants.kinds import PREFIX_GB
from gpuenv.variants.model import Variant


def _errors(findings: list[Finding]) -> Iterator[str]:
    return (finding.message for finding in findings if finding.severity == ERROR)


def of_machine(facts: Facts) -> Iterator[str]:
    """What keeps TensorFlow 1 from running here at all."""
    machine = facts.get(Machine)
    if machine is None:
        return
    for check in (host_checks.check_architecture, host_checks.check_avx, host_checks.check_kernel):
        yield from _errors(check(machine))


def of_engine(facts: Facts) -> Iterator[str]:
    """A private engine may have to be installed first."""
    engines, network = facts.get(Engines), facts.get(Network)
    if engines is not None and engines.running is None and engines.missing:
        yield from unreachable(network, "apt")
    if engines is not None and engines.running is not None and engines.running.problem is not None:
        yield f"the engine is in trouble: {engines.running.problem}"
    # Every container gets the bundle.
    if network is not None and network.bundle_problem is not None:
        yield network.bundle_problem


def of_driver(facts: Facts, *, is_container: bool) -> Iterator[str]:
    """What keeps every program from the GPUs, whatever the variant."""
    gpus, machine, environment = facts.get(Gpus), facts.get(Machine), facts.get(Environment)
    if gpus is None or machine is None:
        yield "what the driver has could not be found out"
        return
    if gpus.host.driver is None:
        yield "there is no NVIDIA driver"
        return
    for check in (gpu_checks.check_match, gpu_checks.check_uvm, gpu_checks.check_cards):
        yield from _errors(check(gpus, machine))
    yield from _errors(gpu_checks.check_nodes(gpus))
    name = variant_checks.hiding_variable(environment, gpus.host, is_container=is_container) if environment else None
    if name is not None:
        yield f"{name} hides every GPU"


def of_toolkit(facts: Facts) -> Iterator[str]:
    """What keeps containers from GPUs that programs of this machine can use."""
    gpus, machine, engines, toolkit = facts.get(Gpus), facts.get(Machine), facts.get(Engines), facts.get(Toolkit)
    if machine is not None and engines is not None:
        yield from _errors(engine_checks.check_engine_version(engines, machine))
        if gpus is not None and toolkit is not None:
            yield from _errors(engine_checks.check_toolkit(toolkit, gpus, engines, machine))


def of_prefix(facts: Facts, variant: Variant, flavor: str, kind: str) -> Iterator[str]:
    """Why an environment of this machine (venv, conda) is neither there nor can be made."""
    local, machine, storage, network = facts.get(Pythons), facts.get(Machine), facts.get(Storage), facts.get(Network)
    if machine is not None:
        findings = host_checks.check_libc(machine)
        yield from (finding.message for finding in findings if finding.severity != OK)
    if local is None:
        yield "which Pythons there are could not be found out"
        return
    if (variant.name, flavor, kind) in local.made:
        return
    if kind == "venv" and local.found.get(variant.python_minor) is None:
        yield f"there is no complete CPython {variant.python_minor} on this machine"
    if kind == "conda":
        yield from _conda(facts.get(Conda), variant)
        yield from _channels(network, variant, flavor)
    yield from _settings(network)
    has_folder = network is not None and any(answer.kind == "index-folder" for answer in network.answers)
    yield from unreachable(network, "index-folder" if has_folder else "index")
    if storage is not None and storage.cache.free_bytes < PREFIX_GB[flavor] * 10**9:
        yield f"{storage.cache.path} has {storage.cache.free_bytes / 1e9:.1f} GB free"
    if kind == "venv" and flavor == "gpu" and variant.name not in local.cuda:
        yield from _archives(network, variant)


def _conda(conda: Conda | None, variant: Variant) -> Iterator[str]:
    if conda is None:
        yield "whether there is a conda could not be found out"
    elif conda.obstacle is not None:
        yield conda.obstacle
    if variant.conda is None:
        yield f"{variant.name} has no conda environment"


def _settings(network: Network | None) -> Iterator[str]:
    """Whatever installs packages stops at settings that cannot be used."""
    problems = (network.bundle_problem, network.pip_problem) if network else ()
    yield from (problem for problem in problems if problem is not None)


def _channels(network: Network | None, variant: Variant, flavor: str) -> Iterator[str]:
    """Each channel of the environment has to answer: every one has something that the others lack."""
    channels = conda_spec.channels(variant, flavor) if variant.conda is not None else ()
    for answer in network.answers if network else ():
        if answer.kind == "channel" and answer.name in channels and answer.problem is not None:
            yield f"the conda channel {answer.name} cannot be reached: {answer.problem}"


def _archives(network: Network | None, variant: Variant) -> Iterator[str]:
    reason = network.archive_obstacles.get(variant.name) if network else "the network could not be asked"
    if reason is not None:
        yield reason


def of_image(facts: Facts, variant: Variant, flavor: str) -> Iterator[str]:
    """Why the image is neither there nor can be built."""
    engines, network = facts.get(Engines), facts.get(Network)
    running = engines.running if engines else None
    if running is not None and (variant.name, flavor) in running.images:
        return
    yield from _builder_obstacles(facts)
    yield from _room_obstacles(facts, variant, flavor)
    has_base = running is not None and ((variant.name, flavor) in running.bases or running.has_detour)
    if not has_base:
        yield from _base_obstacles(facts, variant)
    yield from _settings(network)
    yield from unreachable(network, "index")
    if flavor == "gpu":
        yield from _archives(network, variant)


def _builder_obstacles(facts: Facts) -> Iterator[str]:
    engines, clients, machine = facts.get(Engines), facts.get(Clients), facts.get(Machine)
    running = engines.running if engines else None
    if running is not None and running.builder_problem is not None:
        yield f"nothing can build: {running.builder_problem}"
    elif running is None and engines and not engines.missing and clients and machine:
        # The client of an engine that is still to be installed comes with it.
        findings = engine_checks.check_builder(engines, clients, machine)
        yield from (finding.message for finding in findings if finding.severity != OK)
        if not clients.docker:
            yield "there is no docker program"


def _room_obstacles(facts: Facts, variant: Variant, flavor: str) -> Iterator[str]:
    engines, storage = facts.get(Engines), facts.get(Storage)
    running = engines.running if engines else None
    place = (running.root, running.free_bytes) if running else ("", None)
    if running is None and storage is not None:
        place = (storage.private.path, storage.private.free_bytes)
    needed_gb = variant.disk.needed_gb(flavor)
    if place[1] is not None and place[1] < needed_gb * 10**9:
        yield f"{place[0]} has {place[1] / 1e9:.1f} GB free, {variant.name}-{flavor} needs {needed_gb}"


def _base_obstacles(facts: Facts, variant: Variant) -> Iterator[str]:
    """Neither the registry answers nor can a base be made here."""
    registry = list(unreachable(facts.get(Network), "registry"))
    if not registry:
        return
    pythons = facts.get(Pythons)
    local = pythons.base_obstacles.get(variant.name) if pythons else "which Pythons there are is not known"
    if local is not None:
        yield f"{registry[0]}, and no base can be made here: {local}"
    else:
        yield from unreachable(facts.get(Network), "apt")


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
    answers = [answer for answer in network.answers if answer.kind == kind]
    failed = [answer for answer in answers if answer.problem is not None]
    if failed:
        yield f"{words[kind]} ({failed[0].name}) cannot be reached: {failed[0].problem}"
