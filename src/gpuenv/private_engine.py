"""A Docker daemon of our own, beside any other: own data, own socket, started and stopped by us.

Its data is in the state folder; its socket is in ``/run``, because the path of a Unix socket may
have at most 107 bytes. What runs is recorded with process number and start time, so that a
record left by `kill -9` or a reboot never leads to a foreign process being taken for the daemon.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from gpuenv import engine_install, filelock, paths, processes, ui
from gpuenv.endpoints import Endpoint, UnreachableError, ping
from gpuenv.errors import EngineError

#: A daemon with much data on a slow disk; it says when it is ready long before on most machines (1-3 s).
START_TIMEOUT_S = 90
#: The daemon itself gives its containers 15 s to end.
STOP_TIMEOUT_S = 60
LOG_TAIL_LINES = 8

#: What dockerd says when the kernel or its rights do not let it set up a bridge.
_NO_BRIDGE = re.compile(r"iptables|nftables|network controller|create.*bridge", re.IGNORECASE)
_BRIDGE = "docker0"


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


@dataclass(frozen=True)
class Daemon:
    """A private daemon. ``began`` is the start time in ticks, see :mod:`gpuenv.processes`."""

    pid: int
    began: int
    url: str
    network: str
    #: Whether the bridge came with this daemon (and goes with it) or is another engine's.
    made_bridge: bool
    api_version: str = ""


def folders() -> Folders:
    """The private engine's folders for the current state folder."""
    state = paths.state_dir() / "engine"
    name = hashlib.sha256(str(state).encode()).hexdigest()[:12]
    run = Path("/run") / f"gpuenv-{name}"
    return Folders(state / "data", run, state / "dockerd.log", state / "daemon.json", state / "lock")


def obstacle() -> str | None:
    """Why a private engine cannot be started on this machine, or None."""
    if os.getuid() != 0:
        return "a private engine needs root"
    return engine_install.obstacle()


def describe_start() -> str:
    """What :func:`install` and :func:`start` would do, for a question or an announcement."""
    missing = engine_install.missing()
    first = f"Install {', '.join(missing)} with apt-get and start" if missing else "Start"
    return f"{first} a private Docker daemon (data in {folders().data})"


def install(*, may_install: bool) -> bool:
    """Install what is missing; returns whether anything was. Raises EngineError if that is not possible."""
    reason = obstacle()
    if reason is not None:
        raise EngineError("a private engine cannot be started", reason, "install Docker or Podman, or set ENGINE=venv")
    missing = engine_install.missing()
    if not missing:
        return False
    if not may_install:
        raise EngineError(
            f"a private engine needs {', '.join(missing)}",
            "GPUENV_INSTALL_ENGINE=0 forbids installing",
            "install it by hand, or allow it with GPUENV_INSTALL_ENGINE=1",
        )
    engine_install.install(missing, paths.state_dir() / "engine" / "apt.log")
    return True


def running() -> Daemon | None:
    """The private daemon if it runs and answers."""
    place = folders()
    daemon = _read_record(place)
    if daemon is None or not _is_ours(daemon, place):
        return None
    return _answering(daemon)


def start() -> Daemon:
    """Start the private daemon unless it runs already; two at once start one. Raises EngineError."""
    place = folders()
    with filelock.held(place.lock, "waiting for another gpuenv that starts the private engine"):
        daemon = running()
        if daemon is not None:
            return daemon
        _check_program()
        was_ours = _end_unresponsive(place)
        ui.say(f"starting a private Docker daemon (data in {place.data}; `make engine-stop` ends it)")
        made_bridge = was_ours or not _has_bridge()
        network = "bridge" if made_bridge else "host"
        try:
            daemon = _launch(place, network, made_bridge=made_bridge)
        except _NoBridgeError:
            network = "host"
            daemon = _launch(place, network, made_bridge=False)
        if network == "host":
            why = "another engine has the bridge" if not made_bridge else "this machine does not let it make a bridge"
            ui.say(f"the private engine uses the host's network ({why})")
        return daemon


def stop() -> bool:
    """Stop the private daemon and whatever runs in it; returns whether it ran. Raises EngineError."""
    place = folders()
    with filelock.held(place.lock, "waiting for another gpuenv that starts or stops the private engine"):
        daemon = _read_record(place)
        did_run = daemon is not None and _is_ours(daemon, place)
        if daemon is not None and did_run:
            _end(daemon)
        if daemon is not None and daemon.made_bridge and shutil.which("ip"):
            subprocess.run(["ip", "link", "delete", _BRIDGE], capture_output=True, check=False)
        shutil.rmtree(place.run, ignore_errors=True)
        place.record.unlink(missing_ok=True)
        return did_run


class _NoBridgeError(EngineError):
    """The daemon ended because it could not set up its network."""


def dockerd_argv(place: Folders, network: str) -> list[str]:
    """The daemon's command line; nothing of the machine's own daemon.json reaches it."""
    argv = ["dockerd", "--host", place.url, "--data-root", str(place.data)]
    argv += ["--exec-root", str(place.run / "exec"), "--pidfile", str(place.run / "docker.pid")]
    # The storage driver is left to the daemon: it knows where overlay2 works (not on an overlay).
    argv += ["--config-file", str(place.run / "daemon.json")]
    if network == "host":
        argv += ["--iptables=false", "--bridge=none"]
    return argv


def _launch(place: Folders, network: str, *, made_bridge: bool) -> Daemon:
    """Start dockerd, record it, wait for its answer. Raises EngineError with the end of its log."""
    place.data.mkdir(parents=True, exist_ok=True)
    place.run.mkdir(mode=0o700, exist_ok=True)
    (place.run / "daemon.json").write_text("{}\n")
    (place.run / "docker.pid").unlink(missing_ok=True)
    with place.log.open("wb") as log:
        process = subprocess.Popen(
            dockerd_argv(place, network),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,
        )
    began = processes.start_time(process.pid)
    daemon = Daemon(process.pid, began or 0, place.url, network, made_bridge)
    _write_record(place, daemon)
    try:
        return _wait_until_ready(place, daemon, process)
    except BaseException:
        # Also on Ctrl-C: a daemon that nobody waits for would be taken for a running one.
        if process.poll() is None:
            _end(daemon)
        place.record.unlink(missing_ok=True)
        raise


def _wait_until_ready(place: Folders, daemon: Daemon, process: subprocess.Popen[bytes]) -> Daemon:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        answering = _answering(daemon)
        if answering is not None:
            _write_record(place, answering)
            # It outlives this process on purpose; without this Python warns about an unwaited child.
            process.returncode = 0
            return answering
        if process.poll() is not None:
            break
        time.sleep(0.1)
    tail = log_tail(place.log.read_text(errors="replace"))
    fatal = tail.splitlines()[-1] if tail else ""
    kind = _NoBridgeError if daemon.network == "bridge" and _NO_BRIDGE.search(fatal) else EngineError
    how = "ended" if process.poll() is not None else f"did not answer within {START_TIMEOUT_S} s"
    raise kind(
        f"the private Docker daemon {how}", f"the end of its log:\n{tail}", f"see {place.log}, or set ENGINE=venv"
    )


def log_tail(text: str) -> str:
    """The last lines of dockerd's log, indented for an error."""
    return "\n".join(f"    {line}" for line in text.splitlines()[-LOG_TAIL_LINES:])


def _check_program() -> None:
    if shutil.which("dockerd") is None:
        raise EngineError(
            "a private engine cannot be started", "there is no `dockerd` program", "install the package docker.io"
        )


def _answering(daemon: Daemon) -> Daemon | None:
    try:
        pong = ping(Endpoint(daemon.url, "the private engine"))
    except UnreachableError:
        return None
    return Daemon(daemon.pid, daemon.began, daemon.url, daemon.network, daemon.made_bridge, pong.api_version)


def _end_unresponsive(place: Folders) -> bool:
    """End a daemon of ours that no longer answers; returns whether the bridge that is there is ours."""
    daemon = _read_record(place)
    if daemon is None:
        return False
    if _is_ours(daemon, place):
        ui.warn("the private engine does not answer; it is started anew")
        _end(daemon)
    return daemon.made_bridge


def _end(daemon: Daemon) -> None:
    """SIGTERM, then SIGKILL. Only ever called for a process that was known again."""
    for number, timeout_s in ((signal.SIGTERM, STOP_TIMEOUT_S), (signal.SIGKILL, 10)):
        try:
            os.kill(daemon.pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if not processes.is_same(daemon.pid, daemon.began):
                return
            time.sleep(0.05)
    raise EngineError(
        f"the private engine (process {daemon.pid}) does not end", "it hangs in the kernel", "look at `dmesg`"
    )


def _is_ours(daemon: Daemon, place: Folders) -> bool:
    """Whether the recorded process is still the daemon that was recorded, not a later one with its number."""
    return processes.is_same(daemon.pid, daemon.began) and place.url in processes.command_line(daemon.pid)


def _has_bridge() -> bool:
    return (Path("/sys/class/net") / _BRIDGE).exists()


def _write_record(place: Folders, daemon: Daemon) -> None:
    new = place.record.with_suffix(".new")
    new.write_text(json.dumps(asdict(daemon)) + "\n")
    new.replace(place.record)


def _read_record(place: Folders) -> Daemon | None:
    try:
        return Daemon(**json.loads(place.record.read_text()))
    except (OSError, ValueError, TypeError):
        return None
