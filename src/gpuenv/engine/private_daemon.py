"""Records and recognizes the private daemon; its folders and its command line.

What runs is recorded with process number and start time, so that a record left by `kill -9` or a
reboot never leads to a foreign process being taken for the daemon.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gpuenv.core import atomic, paths, processes
from gpuenv.engine.endpoints import Endpoint, UnreachableError, ping
from gpuenv.engine.model import Engine


@dataclass(frozen=True)
class Folders:
    """Where the private engine keeps its things."""

    data: Path
    run: Path
    log: Path
    record: Path
    lock: Path

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"unix://{self.run}/docker.sock"

    @property
    def pid_file(self) -> Path:
        """Where dockerd writes its process number."""
        return self.run / "docker.pid"


class Daemon(msgspec.Struct, frozen=True):
    """A private daemon. ``began`` is the start time in ticks, see :mod:`gpuenv.core.processes`.

    ``network``: ``"bridge"`` or ``"host"``, as in :class:`gpuenv.engine.model.Engine`.
    """

    pid: int
    began: int
    url: str
    network: str = "host"
    api_version: str = ""

    @property
    def engine(self) -> Engine:
        """The daemon as an engine like any other."""
        why = f"the private engine at {self.url}"
        return Engine("private", self.url, why, self.api_version, network=self.network)


def folders() -> Folders:
    """The private engine's folders for the current state folder.

    The socket is in ``/run``, because the path of a Unix socket may have at most 107 bytes.
    """
    state = paths.state_dir() / "engine"
    name = hashlib.sha256(os.fsencode(state)).hexdigest()[:12]
    return Folders(
        data=state / "data",
        run=Path("/run") / f"gpuenv-{name}",
        log=state / "dockerd.log",
        record=state / "daemon.json",
        lock=state / "lock",
    )


def dockerd_argv(place: Folders, bridge: str | None) -> list[str]:
    """The daemon's command line; nothing of the machine's own daemon.json reaches it."""
    argv = ["dockerd", "--host", place.url, "--data-root", str(place.data)]
    argv += ["--exec-root", str(place.run / "exec"), "--pidfile", str(place.pid_file)]
    # The storage driver is left to the daemon: it knows where overlay2 works (not on an overlay).
    argv += ["--config-file", str(place.run / "daemon.json")]
    # Why it may neither use docker0 nor write firewall rules nor turn forwarding on: see `private_network.py`.
    return [*argv, "--iptables=false", "--ip6tables=false", "--ip-forward=false", f"--bridge={bridge or 'none'}"]


def is_running(daemon: Daemon, place: Folders) -> bool:
    """Whether the recorded process is still the daemon that was recorded, not a later one with its number."""
    return processes.is_same(daemon.pid, daemon.began) and place.url in processes.command_line(daemon.pid)


def answering(daemon: Daemon) -> Daemon | None:
    """The daemon, with the version it speaks, if it answers."""
    try:
        pong = ping(Endpoint(daemon.url, "the private engine"))
    except UnreachableError:
        return None
    return msgspec.structs.replace(daemon, api_version=pong.api_version)


def write_record(place: Folders, daemon: Daemon) -> None:
    """Write down what runs."""
    atomic.write_text(place.record, msgspec.json.encode(daemon).decode() + "\n", mode=0o600)


def find_daemon(place: Folders) -> Daemon | None:
    """The daemon that runs in these folders, whether it answers or not.

    dockerd's own file serves where the record does not: it was killed before the record was written,
    or another version of this program wrote it.
    """
    recorded = read_record(place)
    if recorded is not None and is_running(recorded, place):
        return recorded
    pid = _number_in(place.pid_file)
    if pid is None:
        return None
    found = Daemon(pid, processes.start_time(pid) or 0, place.url)
    return found if is_running(found, place) else None


def find_helpers(place: Folders) -> list[int]:
    """The programs of the daemon in these folders, besides itself: containerd, and a shim for each container."""
    pids = processes.find_naming(place.run)
    return [pid for pid in pids if Path([*processes.command_line(pid), ""][0]).name.startswith("containerd")]


def find_others(place: Folders) -> list[Path]:
    """The state folders of private engines that run besides the one in these folders: of another HOME, or setting."""
    found = []
    for pid_file in sorted(place.run.parent.glob("gpuenv-*/docker.pid")):
        argv = processes.command_line(_number_in(pid_file) or 0)
        if pid_file != place.pid_file and {f"unix://{pid_file.parent}/docker.sock", "--data-root"} <= set(argv):
            found.append(Path(argv[argv.index("--data-root") + 1]).parents[1])
    return found


def forget_stale_numbers(place: Folders) -> None:
    """Remove the files in which dockerd would take a foreign process, or a dead one, for its own from before.

    It only asks whether a process with that number exists.
    """
    alive = processes.find_naming(place.run)
    for path in (place.pid_file, place.run / "exec" / "containerd" / "containerd.pid"):
        if _number_in(path) not in alive:
            path.unlink(missing_ok=True)


def _number_in(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def read_record(place: Folders) -> Daemon | None:
    """What was written down last; None if nothing was, or by another version of this program."""
    try:
        return msgspec.json.decode(place.record.read_bytes(), type=Daemon)
    except (OSError, ValueError, msgspec.MsgspecError):
        return None
