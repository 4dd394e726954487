"""Memory, the container engine (there, allowed, new enough, able to build), and room for what it builds."""

from __future__ import annotations

import shlex

from gpuenv.doctor.facts import Clients, Engines, Machine, Place, Storage, Wish
from gpuenv.doctor.findings import BUILD, CONTAINER, CONTAINER_GPU, Finding, Mend, error, ok, unknown, warning
from gpuenv.engine.endpoints import DENIED, SILENT, STOPPED
from gpuenv.variants.model import Variant, numbers

#: The first API that knows device requests, what `--gpus` is made of (Docker 19.03).
API_WITH_GPUS = (1, 40)
CLIENT_WITH_GPUS = (19, 3)
#: Compiling the packages without wheels, and TensorFlow's own import and a small training.
MEMORY_BUILD_BYTES = 2 * 10**9
MEMORY_RUN_BYTES = 10**9
#: Storage drivers that work, at a price.
SLOW_STORAGE = {
    "vfs": "every layer is a whole copy: builds are slow and take several times the space",
    "devicemapper": "it was removed from Docker 25: an update of the engine loses its images",
    "aufs": "it was removed from Docker 24: an update of the engine loses its images",
    "overlay": "it was removed from Docker 24: an update of the engine loses its images",
}

_TROUBLE = unknown("the engine does not say (see the check `engine`)", "docker info")
_NO_ENGINE = ok("no engine to ask")


def memory(machine: Machine) -> Finding:
    """A build compiles, and training needs memory for TensorFlow itself."""
    if machine.memory_bytes is None:
        return unknown("the system does not say how much memory is available", Mend("ask-memory"))
    return _judge_memory(f"{machine.memory_bytes / 1e9:.1f} GB available", machine.memory_bytes, "more-memory")


def _judge_memory(text: str, memory_bytes: int, remedy_name: str) -> Finding:
    """Whether a machine, or an engine's virtual one, has enough memory."""
    if memory_bytes < MEMORY_RUN_BYTES:
        return error(f"{text}: TensorFlow itself needs {MEMORY_RUN_BYTES / 1e9:.0f} GB", Mend(remedy_name))
    if memory_bytes < MEMORY_BUILD_BYTES:
        return warning(f"{text}: a build needs {MEMORY_BUILD_BYTES / 1e9:.0f} GB", Mend(remedy_name))
    return ok(text)


def engine(engines: Engines, machine: Machine) -> Finding:
    """One answers, or what `gpu-shell` would do without."""
    running = engines.running
    if running is not None and running.problem is not None:
        text = f"{running.engine.why} answers, but is in trouble: {running.problem}"
        return error(text, Mend("restart-engine" if running.is_here else "restart-elsewhere"), CONTAINER)
    if running is not None:
        chosen = next((one for one in engines.refusals if one.endpoint.undo), None)
        if chosen is None:
            return ok(running.engine.why)
        text = f"{chosen.endpoint.origin} names an engine that does not answer ({chosen.error})"
        return warning(f"{text}; used is {running.engine.why}", Mend("start-named", forget=chosen.endpoint.undo))
    tried = "; ".join(str(one.error) for one in engines.refusals) or "no place to look for one"
    then = f", and {engines.private_obstacle}"
    if engines.private_obstacle is None:
        first = f"install {', '.join(engines.missing)} and " if engines.missing else ""
        then = f"; gpu-shell would {first}start a private Docker daemon"
    return warning(f"none answers ({tried}){then}", _engine_remedy(engines, machine))


def _engine_remedy(engines: Engines, machine: Machine) -> Mend | str:
    """What is nearest to an engine here: one that refuses this user, one that was named, one that does not run."""
    for one in engines.refusals:
        if one.error.kind == DENIED:
            return "see the check `socket`"
        if one.endpoint.undo:
            return Mend("start-named", forget=one.endpoint.undo)
    if engines.private_obstacle is None and not machine.init:
        # Nothing would start another one here, as in most containers.
        return "make engine"
    if engines.refused(SILENT):
        return Mend("restart-engine")
    # Without a socket but with its program it is installed, and does not run.
    return Mend("start-engine" if engines.refused(STOPPED) or not engines.missing else "install-engine")


def socket(engines: Engines) -> Finding:
    """A socket that this user may not open is an engine that is there for others."""
    denied = engines.refused(DENIED)
    if denied is None:
        return ok("no engine refuses this user")
    text, path = str(denied.error), shlex.quote(denied.endpoint.url.removeprefix("unix://"))
    if denied.endpoint.is_podman and engines.running is None:
        # Podman's engine of the system is root's; each user has one of their own.
        return warning(f"{text}: Podman's own engine of this user does not run", Mend("own-podman"))
    mend = Mend("join-group", group=engines.group or "docker", path=path)
    if engines.is_member:
        text = f"{text}: this user was added to the group {engines.group} after logging in"
        mend = Mend("log-in-again", group=engines.group or "")
    elif engines.group == "":
        text = f"{text}: no group but root's may open it"
        mend = Mend("open-socket", path=path)
    return error(text, mend) if engines.running is None else warning(f"{text}; another engine is used", mend)


def engine_version(engines: Engines) -> Finding:
    """The engine knows device requests (P04)."""
    running = engines.running
    if running is None:
        return _NO_ENGINE
    api_version = running.engine.api_version or ""
    text = f"{running.engine.kind} {running.version or '(version not told)'}, API {api_version}"
    if not api_version or numbers(api_version) >= API_WITH_GPUS:
        return ok(text)
    text = f"{text}: too old for GPUs, which need API 1.40 (Docker 19.03)"
    return error(text, Mend("update-engine"), CONTAINER_GPU)


def builder(engines: Engines, clients: Clients) -> Finding:
    """A program that builds with BuildKit (or Podman's own builder)."""
    running, mend = engines.running, Mend("install-builder")
    if running is not None and running.problem is not None:
        return _TROUBLE
    if running is not None:
        if running.builder is not None:
            return ok(f"{running.builder} builds for it")
        problem = f"nothing here can build with BuildKit: {running.builder_problem}"
        is_built = bool(running.images)
        return (warning if is_built else error)(f"{problem}{'; what is built already works' * is_built}", mend, BUILD)
    able = next((client.path for client in clients.docker if client.refusal is None), None)
    if able is not None:
        return ok(f"{able} builds with BuildKit")
    # The client of an engine that is still to be installed comes with it.
    blocks = [] if engines.missing else [BUILD]
    if clients.docker:
        return warning(f"{clients.docker[0].refusal}, without which it cannot build", mend, *blocks)
    return ok(f"no client yet{'' if blocks else ': it comes with the engine'}", *blocks)


def client(clients: Clients, engines: Engines) -> Finding:
    """Any client starts the containers of gpu-shell; `docker run --gpus` by hand needs one of 2019 (P03)."""
    running = engines.running
    if not clients.docker:
        if running is not None and not (clients.podman and running.engine.kind == "podman"):
            text = f"there is no client program to start a container with in {running.engine.why}"
            return error(text, Mend("install-client"), CONTAINER)
        return ok(f"no docker program{'; podman is there' if clients.podman else ''}")
    first = clients.docker[0]
    text = f"{first.path} {'.'.join(map(str, first.version))}"
    if first.version >= CLIENT_WITH_GPUS:
        return ok(text)
    text = f"{text} is older than 19.03 and does not know --gpus (`unknown flag: --gpus`)"
    return warning(text, Mend("update-engine"))


def storage(engines: Engines) -> Finding:
    """How the engine stores layers."""
    running = engines.running
    if running is None:
        return _NO_ENGINE
    if running.problem is not None:
        return _TROUBLE
    price = SLOW_STORAGE.get(running.storage)
    if price is None:
        return ok(f"{running.storage or 'not told'}{f', data in {running.data.path}' if running.data.path else ''}")
    return warning(f"storage driver {running.storage}: {price}", Mend("storage-driver"))


def engine_memory(engines: Engines) -> Finding:
    """What an engine in a virtual machine was given; one on this system has all there is."""
    running = engines.running
    if running is None:
        return _NO_ENGINE
    if running.problem is not None:
        return _TROUBLE
    if running.memory_bytes is None:
        return ok("not told")
    text = f"the engine has {running.memory_bytes / 1e9:.1f} GB"
    return _judge_memory(text, running.memory_bytes, "more-engine-memory")


def disk(wish: Wish, engines: Engines, storage: Storage) -> Finding:
    """Room for what is not built yet, where it would be built."""
    variant, running = wish.default, engines.running
    if running is None and engines.private_obstacle is None:
        return _judge_room(variant, storage.private, "make-room-private")
    if running is None:
        return _judge_room(variant, storage.cache, "make-room-here", has_gpu=False)
    if {(variant.name, "gpu"), (variant.name, "cpu")} <= running.images:
        return ok(f"{variant.name} is built already")
    if running.data.free_bytes is None:
        where = running.data.path or running.engine.url
        return unknown(f"what is free in {where} cannot be seen from here", "docker system df")
    return _judge_room(variant, running.data, "make-room")


def _judge_room(variant: Variant, place: Place, remedy_name: str, *, has_gpu: bool = True) -> Finding:
    free_bytes = place.free_bytes or 0
    free = f"{free_bytes / 1e9:.1f} GB free in {place.path}"
    if free_bytes < variant.disk.cpu_gb * 10**9:
        return error(f"{free}: {variant.name} needs {variant.disk.cpu_gb} GB", Mend(remedy_name))
    if has_gpu and free_bytes < variant.disk.gpu_gb * 10**9:
        text = f"{free}: enough for {variant.name}-cpu, while {variant.name}-gpu needs {variant.disk.gpu_gb} GB"
        return warning(text, Mend(remedy_name))
    return ok(free)
