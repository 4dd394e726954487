"""Installing, starting and ending a private engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fakes.engine import began
from gpuenv.core.errors import EngineError
from gpuenv.engine import private, private_daemon, private_network
from gpuenv.engine.model import Engine
from gpuenv.engine.private_daemon import Daemon, Folders
from gpuenv.host import packages


def test_ending_tries_politely_first(process: subprocess.Popen[bytes]) -> None:
    private.end(Daemon(process.pid, began(process), "unix:///x"))
    assert process.wait() == -signal.SIGTERM


def test_a_process_that_ignores_the_polite_way_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, "STOP_TIMEOUT_S", 0.2)
    script = "import signal, sys; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        private.end(Daemon(child.pid, began(child), "unix:///x"))
        assert child.wait() == -signal.SIGKILL


def test_the_error_shows_the_end_of_the_log() -> None:
    place = private_daemon.folders()
    place.log.parent.mkdir()
    place.log.write_text("\n".join(f"line {number}" for number in range(50)))
    with subprocess.Popen(["true"]) as process:
        process.wait()
    with pytest.raises(EngineError, match="daemon ended") as caught:
        private._wait_until_ready(place, Daemon(process.pid, 0, place.url), process)
    assert "line 49" in caught.value.why
    assert "line 10" not in caught.value.why
    assert str(place.log) in caught.value.next_step


def test_installing_can_be_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, "obstacle", lambda: None)
    monkeypatch.setattr(packages, "missing", lambda: ["docker.io"])
    monkeypatch.setenv("GPUENV_INSTALL_ENGINE", "0")
    with pytest.raises(EngineError, match="forbids installing"):
        private.install()


def test_nothing_is_installed_where_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, "obstacle", lambda: None)
    monkeypatch.setattr(packages, "missing", list)
    assert private.install() is False


def test_only_root_may_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert private.obstacle() == "a private engine needs root"


def test_two_at_once_install_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """apt's lists have a lock that makes the second one fail: it has to wait, and then finds nothing missing."""
    is_missing, at_work, installed = [True], [0], []

    def install(packages: object, log: Path) -> None:
        at_work[0] += 1
        assert at_work[0] == 1
        time.sleep(0.2)
        is_missing[0] = False
        at_work[0] -= 1
        installed.append(log)

    monkeypatch.setattr(private, "obstacle", lambda: None)
    monkeypatch.setattr(packages, "missing", lambda: ["docker.io"] if is_missing[0] else [])
    monkeypatch.setattr(packages, "install", install)
    threads = [threading.Thread(target=private.install) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(installed) == 1


@pytest.mark.parametrize(("obstacle", "network"), [(None, "bridge"), ("no iptables", "host")])
def test_the_network_of_a_started_daemon_is_recorded(
    place: Folders, monkeypatch: pytest.MonkeyPatch, obstacle: str | None, network: str
) -> None:
    launched = Daemon(1, 2, place.url, "host")
    monkeypatch.setattr(private_network, "remove", lambda *_: None)
    monkeypatch.setattr(private_network, "make_bridge", lambda _: None)
    monkeypatch.setattr(private_network, "allow_forwarding", lambda *_: obstacle)
    monkeypatch.setattr(private, "_launch", lambda *_: launched)
    answer = {"IPAM": {"Config": [{"Subnet": "172.19.0.0/16"}]}}
    monkeypatch.setattr(Engine, "call", lambda *_: answer)
    started = private._start(place)
    assert started.network == network
    assert private_daemon.read_record(place) == started
