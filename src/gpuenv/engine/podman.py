"""A container as Podman's own API wants it; its Docker API drops requests for GPUs and takes no comma in a path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpuenv.engine.container import Mount, Spec

CREATE_PATH = "/libpod/containers/create"
#: Of a log that is limited at all; Podman keeps one file.
LOG_BYTES = 1 << 20


def cdi_devices(requests: Sequence[Mapping[str, Any]]) -> list[str]:
    """Docker's requests for GPUs as names of the Container Device Interface, such as ``nvidia.com/gpu=0``."""
    return [f"nvidia.com/gpu={number}" for request in requests for number in request["DeviceIDs"] or ["all"]]


def create_body(spec: Spec, host: Mapping[str, Any]) -> dict[str, Any]:
    """The request that makes ``spec``; ``host`` is the ``HostConfig`` of the request to Docker (see `container`)."""
    body: dict[str, Any] = {
        "name": spec.name,
        "image": spec.image,
        "command": list(spec.command),
        "entrypoint": [],
        "user": spec.user,
        "groups": host["GroupAdd"],
        "env": dict(spec.environment),
        "labels": dict(spec.labels),
        "terminal": spec.tty,
        "stdin": spec.stdin,
        "init": host["Init"],
        # Its own entry has a number for a name; a shell writes one (see `shell.workspace.names`).
        "manage_password": False,
        # Who removes it has asked it to end before.
        "stop_timeout": 0,
        "cap_drop": host["CapDrop"],
        "cap_add": host["CapAdd"],
        "no_new_privileges": True,
        "selinux_opts": ["disable"] if "label=disable" in host["SecurityOpt"] else [],
        "mounts": [_bind(mount) for mount in spec.mounts if not mount.is_volume]
        + [_tmpfs(target, options) for target, options in host["Tmpfs"].items()],
        "volumes": [{"Name": mount.source, "Dest": mount.target} for mount in spec.mounts if mount.is_volume],
        "devices": [{"path": name} for name in cdi_devices(spec.device_requests)],
        "read_only_filesystem": spec.read_only,
        "portmappings": [_port(spec.port)] if "PortBindings" in host else [],
    }
    if host["PidsLimit"] is not None:
        body["resource_limits"] = {"pids": {"limit": host["PidsLimit"]}}
    # Not named it is a bridge, or, for a rootless Podman, what stands in for one.
    if spec.network != "bridge":
        body["netns"] = {"nsmode": spec.network}
    if spec.working_dir:
        body["work_dir"] = spec.working_dir
    if spec.log:
        body["log_configuration"] = {"driver": spec.log["Type"], "size": LOG_BYTES}
    return body


def _bind(mount: Mount) -> dict[str, Any]:
    options = ["rbind", "ro" if mount.read_only else "rw"]
    return {"type": "bind", "source": mount.source, "destination": mount.target, "options": options}


def _tmpfs(target: str, options: str) -> dict[str, Any]:
    """Docker's options, but for an owner's numbers, which Podman knows as ``U``: whoever the container runs as."""
    kept = [option for option in options.split(",") if not option.startswith(("uid=", "gid="))]
    owner = ["U"] if "uid=" in options else []
    return {"type": "tmpfs", "source": "tmpfs", "destination": target, "options": [*kept, *owner]}


def _port(number: int | None) -> dict[str, Any]:
    return {"host_ip": "127.0.0.1", "host_port": number, "container_port": number, "protocol": "tcp"}
