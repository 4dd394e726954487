"""Containers of this project: what they may do, how they are made, and that none is left behind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from gpuenv.core import processes, ui
from gpuenv.core.errors import EngineError
from gpuenv.engine import podman, reaper
from gpuenv.engine.model import Engine, RefusedError
from gpuenv.engine.refusals import explain_refusal, is_missing_gpu_driver, is_missing_init, is_missing_limit

T = TypeVar("T")

#: What root may do with files outside, root may do inside; nothing else, and nobody else anything.
ROOT_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER")
#: The user that the image itself names.
IMAGE_USER = "1000:1000"
HOME = "/home/user"
#: What a read-only container gets for its temporary files.
TMP = {"/tmp": "mode=1777,exec"}  # noqa: S108 - inside the container
#: Engines give 64 MB, in which data loaders of several processes die. Without a size the kernel takes half of the
#: memory of the machine on which the engine runs, as it does for that machine's own.
SHARED_MEMORY = {"/dev/shm": "mode=1777"}  # noqa: S108 - inside the container
#: Processes and threads of one container. What goes astray in a notebook takes an eighth of the machine's: the kernel
#: has numbers for 32768, and for 1024 per core (measured: 2 cores, 32768). Counted: 16 loaders of data that each have
#: the pools of TensorFlow, of Eigen and of NumPy's BLAS, a thread per core in each, are 48 per core.
_FEWEST_TASKS, _TASKS_PER_CORE = 4096, 64
_SELINUX = Path("/sys/fs/selinux/enforce")


@dataclass(frozen=True)
class Mount:
    """A folder or file of the host (absolute ``source``) or a named volume, at ``target``."""

    source: str
    target: str
    is_volume: bool = False
    read_only: bool = False

    def as_json(self) -> dict[str, Any]:
        """As the engine wants it. A volume that is not there yet is made, with the project's label."""
        value = {"Source": self.source, "Target": self.target, "ReadOnly": self.read_only}
        if not self.is_volume:
            return {"Type": "bind", **value}
        return {"Type": "volume", **value, "VolumeOptions": {"Labels": {"gpuenv.project": "gpuenv"}}}


@dataclass(frozen=True)
class Spec:
    """A container to be made. ``user`` is ``uid:gid`` inside, ``groups`` further group numbers.

    ``log`` is the engine's ``LogConfig``; empty for its own choice. ``tasks`` is the most processes and threads at a
    time; None for the engine's own choice.
    """

    name: str
    image: str
    command: tuple[str, ...]
    user: str
    network: str
    groups: tuple[int, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    device_requests: Sequence[Mapping[str, Any]] = ()
    working_dir: str | None = None
    port: int | None = None
    tty: bool = False
    stdin: bool = False
    read_only: bool = False
    tmpfs: Mapping[str, str] = field(default_factory=dict)
    log: Mapping[str, Any] = field(default_factory=dict)
    tasks: int | None = max(_FEWEST_TASKS, _TASKS_PER_CORE * (os.cpu_count() or 1))


def new_name(purpose: str) -> str:
    """A name that no other container has; chosen here, so that whoever cleans up knows it beforehand."""
    return f"gpuenv-{purpose}-{os.getpid()}-{os.urandom(4).hex()}"


def own_labels() -> dict[str, str]:
    """The labels by which :mod:`gpuenv.engine.reaper` tells whose container it is."""
    pid = os.getpid()
    owner = f"{pid}:{processes.start_time(pid)}"
    return {"gpuenv.project": "gpuenv", "gpuenv.owner": owner, "gpuenv.host": reaper.host_id()}


def volumes(uid: int) -> tuple[Mount, ...]:
    """What outlives the containers of ``uid``: Keras' data sets, and CUDA's compiled kernels."""
    return (
        Mount(f"gpuenv-keras-{uid}", f"{HOME}/.keras", is_volume=True),
        Mount(f"gpuenv-nv-{uid}", f"{HOME}/.nv", is_volume=True),
    )


def user_inside(engine: Engine) -> str:
    """The ``uid:gid`` to run as, so that files written to a mounted folder belong to the caller.

    In a rootless engine 0 *is* its owner outside, and files of any other number the caller cannot even remove. Only
    one whose socket does not belong to root can be rootless, so only such a one is asked (a request less).
    """
    parts = urlsplit(engine.url)
    with suppress(OSError):
        if parts.scheme == "unix" and Path(parts.path).stat().st_uid != 0 and is_rootless(engine.call("GET", "/info")):
            return "0:0"
    return f"{os.getuid()}:{os.getgid()}"


def is_rootless(information: Mapping[str, Any]) -> bool:
    """Whether the answer to ``/info`` is a rootless engine's: Docker names it among the options, Podman apart."""
    options = information.get("SecurityOptions") or ()
    return bool(information.get("Rootless")) or any("name=rootless" in option for option in options)


def shared_groups(*files: Path) -> tuple[int, ...]:
    """Supplementary groups of the caller that own one of ``files``; only those are of use inside."""
    own = set(os.getgroups()) - {0, os.getgid()}
    owners = {path.stat().st_gid for path in files if path.exists()}
    return tuple(sorted(own & owners))


def create_body(spec: Spec, *, has_init: bool, has_selinux: bool) -> dict[str, Any]:
    """The request that makes ``spec``: no privileges, no capability (root: see above), a real init as process 1."""
    is_root = spec.user.split(":")[0] == "0"
    # Relabeling somebody's home folder for SELinux would be worse than leaving this one container unlabeled.
    security = ["no-new-privileges", *(["label=disable"] if has_selinux else [])]
    host: dict[str, Any] = {
        "Init": has_init,
        "CapDrop": ["ALL"],
        "CapAdd": list(ROOT_CAPABILITIES) if is_root else [],
        "SecurityOpt": security,
        "GroupAdd": [str(group) for group in spec.groups],
        "NetworkMode": spec.network,
        "Mounts": [mount.as_json() for mount in spec.mounts],
        "DeviceRequests": [dict(request) for request in spec.device_requests],
        "ReadonlyRootfs": spec.read_only,
        "Tmpfs": {**SHARED_MEMORY, **(TMP if spec.read_only else {}), **spec.tmpfs},
        "LogConfig": dict(spec.log),
        "PidsLimit": spec.tasks,
    }
    body: dict[str, Any] = {
        "Image": spec.image,
        "Cmd": list(spec.command),
        "Entrypoint": [],
        "User": spec.user,
        "Env": [f"{name}={value}" for name, value in spec.environment.items()],
        "Labels": dict(spec.labels),
        "Tty": spec.tty,
        "OpenStdin": spec.stdin,
        "StdinOnce": spec.stdin,
        "AttachStdin": spec.stdin,
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": host,
    }
    if spec.working_dir:
        body["WorkingDir"] = spec.working_dir
    if spec.port and spec.network != "host":
        body["ExposedPorts"] = {f"{spec.port}/tcp": {}}
        # Not to the whole network: a notebook is a shell for whoever reaches it.
        host["PortBindings"] = {f"{spec.port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(spec.port)}]}
    return body


def create(engine: Engine, spec: Spec, *, has_init: bool = True) -> str:
    """Make the container and return its id. Raises RefusedError, or another EngineError."""
    body = create_body(spec, has_init=has_init, has_selinux=_SELINUX.exists())
    if engine.kind != "podman":
        return str(engine.call("POST", "/containers/create", body, {"name": spec.name})["Id"])
    for mount in body["HostConfig"]["Mounts"]:
        if mount["Type"] == "volume":
            engine.call("POST", "/volumes/create", {"Name": mount["Source"], **mount["VolumeOptions"]})
    return str(engine.call("POST", podman.CREATE_PATH, podman.create_body(spec, body["HostConfig"]))["Id"])


def start(engine: Engine, spec: Spec, launch: Callable[[str], T]) -> T:
    """Make the container and have ``launch`` start it, which is given its id; returns what that returns.

    Where that is refused (RefusedError), it gets another chance without an init program if the engine has none, without
    a limit of processes if it cannot set one, and with GPUs by CDI if it has no other way to them. Raises EngineError.
    """
    has_init = True
    while True:
        try:
            return launch(create(engine, spec, has_init=has_init))
        except RefusedError as error:
            if has_init and is_missing_init(error.why):
                ui.warn("this engine has no init program: signals may not reach every program in the container")
                has_init = False
            elif spec.tasks is not None and is_missing_limit(error.why):
                ui.warn(
                    "this engine cannot limit the processes of a container: one that starts too many stops the machine"
                )
                spec = replace(spec, tasks=None)
            elif is_missing_gpu_driver(error.why) and [r["Driver"] for r in spec.device_requests] == [""]:
                ui.say("this engine has no driver for GPUs (--gpus); trying the Container Device Interface")
                by_name = {"Driver": "cdi", "DeviceIDs": podman.cdi_devices(spec.device_requests)}
                spec = replace(spec, device_requests=[by_name])
            else:
                raise explain_refusal(spec, error) from error
        engine.remove_container(spec.name)


@contextmanager
def running(engine: Engine, **options: Any) -> Iterator[str]:
    """The name of a started container, removed at the end whatever happens, `kill -9` of this process included.

    ``options``: what of :class:`Spec` is not to be as usual; labels are added to our own.
    """
    usual: dict[str, Any] = {
        "name": new_name("check"),
        "command": ("sleep", "infinity"),
        "user": user_inside(engine),
        "network": engine.network,
    }
    spec = Spec(**{**usual, **options, "labels": {**own_labels(), **options.get("labels", {})}})
    with reaper.watching(engine, spec.name) as tell:
        try:
            start(engine, spec, lambda container_id: engine.call("POST", f"/containers/{container_id}/start"))
            yield spec.name
        finally:
            # If this fails, the watcher tries on.
            with suppress(EngineError):
                if engine.remove_container(spec.name):
                    tell(reaper.DONE)
