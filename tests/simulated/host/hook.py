"""A stand-in for ``nvidia-container-runtime-hook``: puts a simulated driver into a container that is being started.

Docker registers the program of that name as an OCI prestart hook for ``--gpus``. runc calls it when the container's
mounts are made and its root is not yet changed, with the container's state on standard input: everything is mounted
below the root folder, from inside the container's mount namespace, whether or not the root will be read-only.

Where it differs from the real one: a device node is one of /dev/null's kind, since there is no device; and
/proc/driver/nvidia cannot be made in a /proc whose kernel lacks the module, so a small tmpfs on /proc/driver holds it.
Standard library only: it runs on the host, outside of any environment.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

from .selection import Facts, HookError, Request, decide, parse_environment, parse_facts

SCENARIO_FILE = "usr/share/gpuenv-simulated/scenario.txt"
#: Where Debian has libraries; elsewhere they are in the other.
_DEBIAN_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_OTHER_LIBRARIES = "usr/lib64"
#: What each capability brings: file of the simulated host -> how it is called in the container, and its links.
_LIBRARIES = {"compute": "libcuda.so", "utility": "libnvidia-ml.so"}
_NULL_DEVICE = os.makedev(1, 3)
# From <linux/mount.h> and <linux/sched.h>.
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_BIND = 1, 2, 4, 32, 4096
_CLONE_NEWNS = 0x20000
_libc = ctypes.CDLL(None, use_errno=True)


def main(host: Path, arguments: list[str]) -> int:
    """Run as a hook; ``host`` is the root folder of the simulated host. The exit code."""
    if arguments != ["prestart"]:
        return 0
    state = json.load(sys.stdin)
    try:
        prepare(host, state)
    except HookError as error:
        print(f"nvidia-container-cli: {error}", file=sys.stderr)
        return 1
    return 0


def prepare(host: Path, state: dict[str, object]) -> None:
    """Put into the container of ``state`` what it asks for. Raises HookError and OSError."""
    config = json.loads((Path(str(state["bundle"])) / "config.json").read_text(encoding="utf-8"))
    facts = parse_facts((host / SCENARIO_FILE).read_text(encoding="utf-8"))
    request = decide(facts, parse_environment(config["process"]["env"]))
    if request is None:
        return
    root = (Path(str(state["bundle"])) / config["root"]["path"]).resolve()
    enter_mounts_of(int(str(state["pid"])))
    mount_driver(host, root, facts, request)
    make_nodes(host, root, request)
    mount_proc(host, root, request)
    if facts.fault != "no-ldconfig":
        refresh_cache(root)


def mount_driver(host: Path, root: Path, facts: Facts, request: Request) -> None:
    """The libraries under their full names with the links that ldconfig would make, nvidia-smi, and the scenario."""
    is_debian = (root / "etc/debian_version").exists() or (root / _DEBIAN_LIBRARIES).is_dir()
    folder = _DEBIAN_LIBRARIES if is_debian else _OTHER_LIBRARIES
    bind(host / SCENARIO_FILE, root, SCENARIO_FILE)
    for capability, stem in _LIBRARIES.items():
        if capability in request.capabilities:
            bind(host / f"{_DEBIAN_LIBRARIES}/{stem}.1", root, f"{folder}/{stem}.{facts.library}")
            link(root, f"{folder}/{stem}.1", f"{stem}.{facts.library}")
    if "compute" in request.capabilities:
        link(root, f"{folder}/libcuda.so", "libcuda.so.1")
    if "utility" in request.capabilities:
        bind(host / "usr/bin/nvidia-smi", root, "usr/bin/nvidia-smi")


def make_nodes(host: Path, root: Path, request: Request) -> None:
    """The nodes that the host has: the common ones, and those of the chosen devices."""
    chosen = {f"nvidia{device.number}" for device in request.devices}
    for node in sorted(path.name for path in (host / "dev").iterdir()):
        if node in chosen or not node.removeprefix("nvidia").isdigit():
            path = inside(root, f"dev/{node}")
            os.mknod(path, stat.S_IFCHR | 0o666, _NULL_DEVICE)
            path.chmod(0o666)


def mount_proc(host: Path, root: Path, request: Request) -> None:
    """/proc/driver/nvidia, with the chosen devices. Left out where the kernel has no /proc/driver."""
    target = inside(root, "proc/driver")
    if not target.is_dir():
        return
    mount("tmpfs", target, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=555,size=64k")
    source = host / "proc/driver/nvidia"
    addresses = {device.address for device in request.devices}
    for path in sorted(source.rglob("*")):
        parts = path.relative_to(source).parts
        if path.is_file() and (parts[0] != "gpus" or parts[1] in addresses):
            copy = target / "nvidia" / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    mount("tmpfs", target, "tmpfs", _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV, "mode=555,size=64k")


def bind(source: Path, root: Path, name: str) -> None:
    """Mount a file of the host, read-only, at ``name`` in the container; what is there already is covered."""
    target = inside(root, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink():
        target.unlink()  # it could lead anywhere on the host
    if not target.exists():
        target.touch()
    mount(str(source), target, "", _MS_BIND)
    mount(str(source), target, "", _MS_BIND | _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)


def link(root: Path, name: str, target: str) -> None:
    """A link in the container; as ldconfig does, a link is replaced and a file left alone."""
    path = inside(root, name)
    if path.is_symlink():
        path.unlink()
    if not path.exists():
        path.symlink_to(target)


def inside(root: Path, name: str) -> Path:
    """``name`` below ``root``. Raises HookError when a link of the image leads out of it."""
    path = root / name
    folder = path.parent.resolve()
    if root != folder and root not in folder.parents:
        raise HookError(f"mount error: {path} is outside of the container")
    return folder / path.name


def refresh_cache(root: Path) -> None:
    """Run the host's ldconfig on the container's root, as the real hook does."""
    done = subprocess.run(["/sbin/ldconfig", "-r", str(root)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HookError(f"ldcache error: process /sbin/ldconfig failed with error code: {done.returncode}")


def enter_mounts_of(pid: int) -> None:
    """Go into the mount namespace of ``pid``, where the container's root folder has its mounts."""
    with Path(f"/proc/{pid}/ns/mnt").open("rb") as namespace:
        if _libc.setns(namespace.fileno(), _CLONE_NEWNS) != 0:
            raise OSError(ctypes.get_errno(), f"setns: {os.strerror(ctypes.get_errno())}")


def mount(source: str, target: Path, kind: str, flags: int, data: str = "") -> None:
    """mount(2). Raises OSError naming the target."""
    arguments = (source.encode(), str(target).encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())
    if _libc.mount(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{target} cannot be mounted: {os.strerror(ctypes.get_errno())}")
