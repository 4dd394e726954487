"""Starts and stops the private Docker daemon, which has data and socket of its own beside any other."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress

import msgspec

from gpuenv.core import closed, locking, mounts, paths, processes, signals, ui
from gpuenv.core.errors import EngineError
from gpuenv.core.ui import end_of_output
from gpuenv.engine import private_network
from gpuenv.engine.private_daemon import (
    Daemon,
    Folders,
    answering,
    dockerd_argv,
    find_daemon,
    find_helpers,
    find_others,
    folders,
    forget_stale_numbers,
    write_record,
)
from gpuenv.host import packages

#: A daemon with much data on a slow disk; most are ready within 3 s.
START_TIMEOUT_S = 90
#: The daemon itself gives its containers 15 s to end.
STOP_TIMEOUT_S = 60
#: containerd ends 0.1 s after the daemon (measured; 0.5 s on a busy machine).
HELPERS_TIMEOUT_S = 5


def obstacle() -> str | None:
    """Why a private engine cannot be started on this machine, or None."""
    if os.getuid() != 0:
        return "a private engine needs root"
    return packages.obstacle()


def describe_start() -> str:
    """What :func:`install` and :func:`start` would do, for a question or an announcement."""
    missing = packages.missing()
    first = f"install {', '.join(missing)} with apt-get and start" if missing else "start"
    return f"{first} a private Docker daemon (data in {folders().data}{_beside(folders())})"


def _beside(place: Folders) -> str:
    """How to use the private engine that runs already, if one does in another state folder."""
    return "".join(
        f"; another one runs: to use that, set GPUENV_STATE_DIR={folder}" for folder in find_others(place)[:1]
    )


def install() -> bool:
    """Install what is missing; returns whether anything was. Raises EngineError if that is not possible."""
    reason = obstacle()
    if reason is not None:
        raise EngineError("a private engine cannot be started", reason, "install Docker or Podman, or set ENGINE=venv")
    if not packages.missing():
        return False
    if not packages.is_allowed():
        raise EngineError(
            f"a private engine needs {', '.join(packages.missing())}",
            "GPUENV_INSTALL_ENGINE=0 forbids installing",
            "install it by hand, or allow it with GPUENV_INSTALL_ENGINE=1",
        )
    folder = paths.state_dir() / "engine"
    # apt waits for its own lock when it installs, but fails at once when another one fetches the lists.
    with locking.held(folder / "apt.lock", "another gpuenv is installing the engine; waiting for it"):
        missing = packages.missing()
        if missing:
            packages.install(missing, folder / "apt.log")
    return True


def running() -> Daemon | None:
    """The private daemon if it runs and answers."""
    daemon = find_daemon(folders())
    return answering(daemon) if daemon is not None else None


def start() -> Daemon:
    """Start the private daemon unless it runs already; two at once start one. Raises EngineError."""
    place = folders()
    with locking.held(place.lock, "waiting for another gpuenv that starts or stops the private engine"):
        daemon = find_daemon(place)
        if daemon is not None:
            answer = answering(daemon)
            if answer is not None:
                return answer
            ui.warn("the private engine does not answer; it is started anew")
            end(daemon)
        how = f"data in {place.data}; `make engine-stop` ends it{_beside(place)}"
        ui.say(f"starting a private Docker daemon ({how})")
        return _start(place)


def stop() -> bool:
    """Stop the private daemon and whatever runs in it; returns whether it ran. Raises EngineError."""
    place = folders()
    with locking.held(place.lock, "waiting for another gpuenv that starts or stops the private engine"):
        daemon = find_daemon(place)
        if daemon is not None:
            end(daemon)
        elif find_helpers(place):
            # It was killed, and its containers live on: only a daemon can end them properly.
            end(_start(place))
        _tidy(place)
        return daemon is not None


def _start(place: Folders) -> Daemon:
    """Start it where none runs. What a killed one left in ``/run`` stays: by it dockerd finds old containers."""
    _end_builds(place)
    bridge = private_network.bridge_name(place.run)
    private_network.remove(bridge)
    obstacle = private_network.make_bridge(bridge)
    daemon = _launch(place, None if obstacle else bridge)
    if not obstacle:
        # The daemon chose one that nothing on this machine uses.
        subnet = str(daemon.engine.call("GET", "/networks/bridge")["IPAM"]["Config"][0]["Subnet"])
        obstacle = private_network.allow_forwarding(bridge, subnet)
        daemon = msgspec.structs.replace(daemon, network="host" if obstacle else "bridge")
        write_record(place, daemon)
    if obstacle:
        ui.say(f"containers get no network of their own here and use this machine's ({obstacle})")
    return daemon


def _end_builds(place: Folders) -> None:
    """End what a killed daemon was building, and unmount its data: no later one knows of either."""
    for bundle in place.data.glob("buildkit/executor/*/config.json"):
        private_network.run(["runc", "delete", "--force", bundle.parent.name])
    mounts.unmount_below(place.data)


def _end_helpers(place: Folders) -> None:
    """Wait for the daemon's own programs to end; one whose container is gone without its knowledge never does."""
    deadline = time.monotonic() + HELPERS_TIMEOUT_S
    while (helpers := find_helpers(place)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in helpers:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _tidy(place: Folders) -> None:
    """Remove what a daemon that is gone leaves: builds, rules, bridge, mounts, socket, record."""
    _end_helpers(place)
    _end_builds(place)
    private_network.remove(private_network.bridge_name(place.run))
    # A network of its containers is mounted in its run folder.
    mounts.unmount_below(place.run)
    shutil.rmtree(place.run, ignore_errors=True)
    place.record.unlink(missing_ok=True)


def end(daemon: Daemon) -> None:
    """SIGTERM, then SIGKILL. Only for a process that was known again. Raises EngineError if it stays."""
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


def _launch(place: Folders, bridge: str | None) -> Daemon:
    """Start dockerd, record it, wait for its answer. Raises EngineError with the end of its log."""
    with signals.deferred() as deliver:
        process = _spawn(place, bridge)
        daemon = Daemon(process.pid, processes.start_time(process.pid) or 0, place.url)
        try:
            write_record(place, daemon)
            deliver()
            daemon = _wait_until_ready(place, daemon, process)
            write_record(place, daemon)
        except BaseException:
            # Also on Ctrl-C: nobody would wait for that daemon any more.
            if process.poll() is None:
                process.terminate()
                process.wait(STOP_TIMEOUT_S)
            _tidy(place)
            raise
    # It outlives this process on purpose; Python would warn about a child that nobody waited for.
    process.returncode = 0
    return daemon


def _spawn(place: Folders, bridge: str | None) -> subprocess.Popen[bytes]:
    place.data.mkdir(parents=True, exist_ok=True)
    place.run.mkdir(mode=0o700, exist_ok=True)
    forget_stale_numbers(place)
    (place.run / "daemon.json").write_text("{}\n", encoding="utf-8")
    # Not every root has the administrators' folders on PATH, and dockerd itself runs containerd and iptables.
    environment = {**os.environ, "PATH": packages.search_path()}
    program = shutil.which("dockerd", path=environment["PATH"])
    if program is None:
        raise EngineError(
            "a private engine cannot be started", "there is no `dockerd`", "install the package docker.io"
        )
    with open(place.log, "wb", opener=closed.opener) as log:
        return subprocess.Popen(
            dockerd_argv(place, bridge),
            executable=program,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,
        )


def _wait_until_ready(place: Folders, daemon: Daemon, process: subprocess.Popen[bytes]) -> Daemon:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        ready = answering(daemon)
        if ready is not None:
            return ready
        time.sleep(0.1)
    why = end_of_output(place.log.read_text(encoding="utf-8", errors="replace"), "log")
    how = "ended" if process.poll() is not None else f"did not answer within {START_TIMEOUT_S} s"
    raise EngineError(f"the private Docker daemon {how}", why, f"see {place.log}, or set ENGINE=venv")
