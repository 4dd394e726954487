"""The container engine: there, allowed, new enough, able to build, and able to hand out GPUs. Pure."""

from __future__ import annotations

from gpuenv.doctor.checks.host import MEMORY_BUILD_BYTES, MEMORY_RUN_BYTES
from gpuenv.doctor.facts import Clients, Engines, Gpus, Machine, Refusal, Running, Toolkit
from gpuenv.doctor.findings import Finding, error, ok, unknown, warning
from gpuenv.doctor.remedies import find_remedy
from gpuenv.variants.compat import numbers

#: The first API that knows device requests, what `--gpus` is made of (Docker 19.03).
API_WITH_GPUS = (1, 40)
CLIENT_WITH_GPUS = (19, 3)
#: The last clients with BuildKit inside are older than this; later ones need the buildx plugin.
CLIENT_WITHOUT_BUILDKIT = (23,)
#: Storage drivers that work, at a price.
SLOW_STORAGE = {
    "vfs": "every layer is a whole copy: builds are slow and take several times the space",
    "devicemapper": "it was removed from Docker 25: an update of the engine loses its images",
    "aufs": "it was removed from Docker 24: an update of the engine loses its images",
    "overlay": "it was removed from Docker 24: an update of the engine loses its images",
}

_TROUBLE = "the engine does not say (see the check `engine`)"


def check_engine(engines: Engines, machine: Machine) -> list[Finding]:
    """One answers, or what `gpu-shell` would do without."""
    chosen = next((refusal for refusal in engines.refusals if refusal.origin), None)
    if engines.running is not None:
        if engines.running.problem is not None:
            text = f"{engines.running.why} answers, but is in trouble: {engines.running.problem}"
            is_ours = engines.running.is_here
            there = "restart it where it runs  (or forget it: unset DOCKER_HOST; docker context use default)"
            return error("engine", text, find_remedy("restart-engine", machine.system) if is_ours else there)
        if chosen is None:
            return ok("engine", engines.running.why)
        text = f"{chosen.origin} names an engine that does not answer ({chosen.text}); used is {engines.running.why}"
        return warning("engine", text, _forget(chosen))
    tried = "; ".join(refusal.text for refusal in engines.refusals) or "no place to look for one"
    remedy = _engine_remedy(engines, machine)
    if engines.private_obstacle is None:
        first = f"install {', '.join(engines.missing)} and " if engines.missing else ""
        return warning(
            "engine", f"none answers ({tried}); gpu-shell would {first}start a private Docker daemon", remedy
        )
    return warning("engine", f"none answers ({tried}), and {engines.private_obstacle}", remedy)


def _forget(chosen: Refusal) -> str:
    undo = "docker context use default" if chosen.origin.startswith("context") else f"unset {chosen.origin}"
    return f"{undo}  (or start the engine that it names)"


def _engine_remedy(engines: Engines, machine: Machine) -> str:
    """What is nearest to an engine here: one that refuses this user, one that was named, one that does not run."""
    for refusal in engines.refusals:
        if refusal.is_denied:
            return "see the check `socket`"
        if refusal.origin:
            return _forget(refusal)
    if engines.private_obstacle is None and not machine.init:
        # Nothing would start another one here, as in most containers.
        return "make engine"
    if any("did not answer" in one.text for one in engines.refusals):
        return find_remedy("restart-engine", machine.system)
    # Without a socket but with its program it is installed, and does not run.
    is_installed = not engines.missing or any("nothing listens" in one.text for one in engines.refusals)
    return find_remedy("start-engine" if is_installed else "install-engine", machine.system)


def check_socket(engines: Engines, machine: Machine) -> list[Finding]:
    """A socket that this user may not open is an engine that is there for others."""
    denied = [refusal for refusal in engines.refusals if refusal.is_denied]
    if not denied:
        return ok("socket", "no engine refuses this user")
    first = denied[0]
    if "podman" in first.url and engines.running is None:
        # Podman's engine of the system is root's; each user has one of their own.
        text = f"{first.text}: Podman's own engine of this user does not run"
        return warning("socket", text, find_remedy("own-podman", machine.system))
    text, remedy = _judge_denial(first, machine)
    if engines.running is not None:
        return warning("socket", f"{text}; another engine is used", remedy)
    return error("socket", text, remedy)


def _judge_denial(denied: Refusal, machine: Machine) -> tuple[str, str]:
    """Who may open a socket, and how this user becomes one of them."""
    path = denied.url.removeprefix("unix://")
    if denied.is_member:
        text = f"{denied.text}: this user was added to the group {denied.group} after logging in"
        return text, f"newgrp {denied.group}  (or log out, and in again)"
    if denied.group == "":
        text = f"{denied.text}: no group but root's may open it"
        return (
            text,
            f"sudo chgrp docker {path} && sudo chmod 660 {path}  (and see why its daemon did not: --group docker)",
        )
    remedy = find_remedy("join-group", machine.system)
    return denied.text, remedy if denied.group is None else remedy.replace("docker $", f"{denied.group} $").replace(
        "newgrp docker", f"newgrp {denied.group}"
    )


def check_engine_version(engines: Engines, machine: Machine) -> list[Finding]:
    """The engine knows device requests (P04)."""
    running = engines.running
    if running is None:
        return ok("engine-version", "no engine to ask")
    text = f"{running.kind} {running.version or '(version not told)'}, API {running.api_version}"
    if not running.api_version or numbers(running.api_version) >= API_WITH_GPUS:
        return ok("engine-version", text)
    return error(
        "engine-version",
        f"{text}: too old for GPUs, which need API 1.40 (Docker 19.03)",
        find_remedy("update-engine", machine.system),
    )


def check_builder(engines: Engines, clients: Clients, machine: Machine) -> list[Finding]:
    """A program that builds with BuildKit (or Podman's own builder)."""
    running = engines.running
    remedy = find_remedy("install-builder", machine.system)
    if running is not None and running.problem is not None:
        return unknown("builder", _TROUBLE, "docker info")
    if running is not None and running.builder is not None:
        return ok("builder", f"{running.builder} builds for it")
    if running is not None:
        problem = f"nothing here can build with BuildKit: {running.builder_problem}"
        return (
            warning("builder", f"{problem}; what is built already works", remedy)
            if running.images
            else error("builder", problem, remedy)
        )
    able = [client.path for client in clients.docker if client.has_buildx or client.version < CLIENT_WITHOUT_BUILDKIT]
    if able:
        return ok("builder", f"{able[0]} builds with BuildKit")
    if clients.docker:
        return warning(
            "builder", f"{clients.docker[0].path} has no buildx plugin, without which it cannot build", remedy
        )
    return ok("builder", "no client yet: it comes with the engine")


def check_client(clients: Clients, machine: Machine) -> list[Finding]:
    """`docker run --gpus` by hand needs a client of 2019; gpuenv itself asks the engine directly (P03)."""
    if not clients.docker:
        return ok("client", f"no docker program{'; podman is there' if clients.podman else ''}")
    first = clients.docker[0]
    text = f"{first.path} {'.'.join(map(str, first.version))}"
    if first.version >= CLIENT_WITH_GPUS:
        return ok("client", text)
    return warning(
        "client",
        f"{text} is older than 19.03 and does not know --gpus (`unknown flag: --gpus`)",
        find_remedy("update-engine", machine.system),
    )


def check_storage(engines: Engines) -> list[Finding]:
    """How the engine stores layers."""
    running = engines.running
    if running is None:
        return ok("storage", "no engine to ask")
    if running.problem is not None:
        return unknown("storage", _TROUBLE, "docker info")
    price = SLOW_STORAGE.get(running.storage)
    if price is None:
        return ok("storage", f"{running.storage or 'not told'}{f', data in {running.root}' if running.root else ''}")
    return warning("storage", f"storage driver {running.storage}: {price}", find_remedy("storage-driver", "*"))


def check_engine_memory(engines: Engines, machine: Machine) -> list[Finding]:
    """What an engine in a virtual machine was given; one on this system has all there is."""
    running = engines.running
    if running is not None and running.problem is not None:
        return unknown("engine-memory", _TROUBLE, "docker info")
    if running is None or running.memory_bytes is None:
        return ok("engine-memory", "no engine to ask" if running is None else "not told")
    text = f"the engine has {running.memory_bytes / 1e9:.1f} GB"
    if running.memory_bytes >= MEMORY_BUILD_BYTES:
        return ok("engine-memory", text)
    remedy = find_remedy("more-engine-memory", machine.system)
    if running.memory_bytes < MEMORY_RUN_BYTES:
        return error("engine-memory", f"{text}: TensorFlow itself needs {MEMORY_RUN_BYTES / 1e9:.0f} GB", remedy)
    return warning("engine-memory", f"{text}: a build needs {MEMORY_BUILD_BYTES / 1e9:.0f} GB", remedy)


def check_toolkit(toolkit: Toolkit, gpus: Gpus, engines: Engines, machine: Machine) -> list[Finding]:
    """NVIDIA's container toolkit, which hands GPUs to containers (P01)."""
    running = engines.running
    if gpus.host.driver is None:
        return ok("toolkit", "not needed: there is no NVIDIA driver")
    if running is None and engines.private_obstacle is not None:
        return ok("toolkit", "not needed: there is no engine")
    if running is not None and not running.is_here:
        return unknown(
            "toolkit",
            f"the engine runs elsewhere ({running.system or running.url}), and what it has cannot be seen from here",
            "docker run --rm --gpus all ubuntu nvidia-smi",
        )
    if running is not None and running.kind == "podman":
        return _check_cdi(toolkit, machine)
    return _check_hook(toolkit, running, machine)


def _check_hook(toolkit: Toolkit, running: Running | None, machine: Machine) -> list[Finding]:
    """Docker looks for the hook on its PATH when it starts."""
    if toolkit.hook is not None:
        return ok("toolkit", toolkit.hook)
    remedy = find_remedy("install-toolkit", machine.system)
    if toolkit.cdi or (running is not None and "nvidia" in running.runtimes):
        there = f"{toolkit.cdi[0]} describes the GPUs" if toolkit.cdi else "the engine has a runtime `nvidia`"
        return warning("toolkit", f"{there}, but the nvidia-container-runtime-hook of --gpus is not found", remedy)
    return error(
        "toolkit",
        "NVIDIA's container toolkit is missing: the engine cannot select a device driver for --gpus",
        remedy,
    )


def _check_cdi(toolkit: Toolkit, machine: Machine) -> list[Finding]:
    if toolkit.cdi:
        return ok("toolkit", f"{toolkit.cdi[0]} describes the GPUs")
    if toolkit.ctk is not None:
        return error(
            "toolkit", "Podman finds GPUs by a CDI specification, and there is none", find_remedy("make-cdi", "*")
        )
    return error(
        "toolkit",
        "NVIDIA's container toolkit is missing, and Podman has no CDI specification of the GPUs",
        f"{find_remedy('install-toolkit', machine.system)}; {find_remedy('make-cdi', '*')}",
    )


def check_runtime(engines: Engines, toolkit: Toolkit, gpus: Gpus) -> list[Finding]:
    """The runtime `nvidia`, for those who say --runtime=nvidia or compose files that do (P02)."""
    running: Running | None = engines.running
    if gpus.host.driver is None or running is None or running.kind == "podman":
        return ok("runtime", "not needed")
    if "nvidia" in running.runtimes:
        return ok("runtime", "the engine has the runtime `nvidia`")
    if toolkit.hook is None:
        return ok("runtime", "see the check `toolkit`")
    return ok("runtime", "--gpus works with the hook; --runtime=nvidia would need `nvidia-ctk runtime configure`")
