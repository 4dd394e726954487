"""A Docker daemon for one test session: own data, own socket, own PATH; it ends with the process that started it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpuenv.core.errors import EngineError
from gpuenv.engine import private_network
from gpuenv.engine.endpoints import Endpoint, UnreachableError, ping
from gpuenv.host import packages

from .build import HOOK_NAME

START_TIMEOUT_S = 60
#: The daemon gives its containers 15 s to end.
STOP_TIMEOUT_S = 45


@contextmanager
def running(folder: Path, bin_folder: Path | None) -> Iterator[str]:
    """The address of a daemon that looks for hooks in ``bin_folder`` first. Raises EngineError.

    It has a bridge of its own and writes no firewall rules, so its containers reach nothing. ``--bridge=none`` would
    not do: with it a daemon deletes ``docker0``, which may be that of another one on this machine.
    """
    # The path of a Unix socket may have at most 107 bytes, which a test's folder easily exceeds.
    run = Path(tempfile.mkdtemp(prefix="gpuenv-simulated-", dir="/run"))
    bridge = private_network.bridge_name(run)
    try:
        reason = private_network.make_bridge(bridge)
        if reason is not None:
            raise EngineError("the simulated host needs a bridge", reason, "run the tests as root")
        process = _spawn(folder, run, bin_folder)
        try:
            yield _wait_until_ready(folder, run, process)
        finally:
            _stop(process)
    finally:
        for mount_point in mounts_below(Path("/proc/self/mounts").read_text(encoding="utf-8"), run, folder):
            subprocess.run(["umount", "--lazy", mount_point], capture_output=True, check=False)
        private_network.remove(bridge)
        shutil.rmtree(run, ignore_errors=True)
        shutil.rmtree(folder / "data", ignore_errors=True)


def dockerd_argv(folder: Path, run: Path) -> list[str]:
    """The daemon's command line; nothing of the machine's own daemon.json reaches it."""
    argv = ["dockerd", "--host", f"unix://{run}/docker.sock", "--data-root", str(folder / "data")]
    argv += ["--exec-root", str(run / "exec"), "--pidfile", str(run / "docker.pid")]
    argv += ["--config-file", str(run / "daemon.json")]
    argv += ["--bridge", private_network.bridge_name(run)]
    return [*argv, "--iptables=false", "--ip6tables=false", "--ip-forward=false"]


def without_hooks(search_path: str) -> str:
    """The folders that hold no runtime hook: the machine's own, and another simulation's, are not to be found."""
    return os.pathsep.join(one for one in search_path.split(os.pathsep) if not (Path(one) / HOOK_NAME).exists())


def mounts_below(table: str, *folders: Path) -> list[str]:
    """The mount points below ``folders`` in a table like /proc/self/mounts, the deepest first."""
    points = [line.split(" ")[1] for line in table.splitlines()]
    return sorted((one for one in points if any(one.startswith(f"{folder}/") for folder in folders)), reverse=True)


def _spawn(folder: Path, run: Path, bin_folder: Path | None) -> subprocess.Popen[bytes]:
    (run / "daemon.json").write_text("{}\n", encoding="utf-8")
    search_path = without_hooks(packages.search_path())
    if bin_folder is not None:
        search_path = f"{bin_folder}{os.pathsep}{search_path}"
    # The kernel ends it should the tests be killed.
    argv = ["setpriv", "--pdeathsig", "TERM", "--", *dockerd_argv(folder, run)]
    with (folder / "dockerd.log").open("wb") as log:
        return subprocess.Popen(
            argv,
            env={**os.environ, "PATH": search_path},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,
        )


def _wait_until_ready(folder: Path, run: Path, process: subprocess.Popen[bytes]) -> str:
    url = f"unix://{run}/docker.sock"
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        if _answers(url):
            return url
        time.sleep(0.1)
    tail = (folder / "dockerd.log").read_text(encoding="utf-8", errors="replace")[-2000:]
    raise EngineError("the Docker daemon of the simulated host does not start", tail, "run the tests as root")


def _answers(url: str) -> bool:
    try:
        ping(Endpoint(url, "the simulated host"))
    except UnreachableError:
        return False
    return True


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
