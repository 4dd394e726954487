"""The daemon of a private engine: its folders, its record, its processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes.engine import began
from gpuenv.core import processes
from gpuenv.engine import private, private_daemon, private_network
from gpuenv.engine.private_daemon import Daemon, Folders
from gpuenv.host import packages

PLACE = Folders(Path("/s/data"), Path("/run/gpuenv-0123456789ab"), Path("/s/log"), Path("/s/record"), Path("/s/lock"))


@contextmanager
def given(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process with ``arguments`` on its command line, which is not there yet in the first moment of a process."""
    script = "import sys; print(flush=True); sys.stdin.read()"
    argv = [sys.executable, "-c", script, *arguments]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        try:
            yield child
        finally:
            child.kill()


def test_everything_of_the_daemon_is_its_own() -> None:
    argv = private_daemon.dockerd_argv(PLACE, "gpuenv456789ab")
    for option, value in (
        ("--host", "unix:///run/gpuenv-0123456789ab/docker.sock"),
        ("--data-root", "/s/data"),
        ("--exec-root", "/run/gpuenv-0123456789ab/exec"),
        ("--pidfile", "/run/gpuenv-0123456789ab/docker.pid"),
        ("--config-file", "/run/gpuenv-0123456789ab/daemon.json"),
    ):
        assert argv[argv.index(option) + 1] == value
    assert "--bridge=gpuenv456789ab" in argv


@pytest.mark.parametrize("bridge", ["gpuenv456789ab", None])
def test_the_daemon_never_writes_firewall_rules_nor_forwards(bridge: str | None) -> None:
    argv = private_daemon.dockerd_argv(PLACE, bridge)
    assert {"--iptables=false", "--ip6tables=false", "--ip-forward=false"} <= set(argv)


def test_without_a_bridge_the_daemon_gets_none() -> None:
    assert "--bridge=none" in private_daemon.dockerd_argv(PLACE, None)


def test_socket_and_bridge_stay_within_the_limits_of_the_system(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GPUENV_STATE_DIR", str(tmp_path / ("long" * 30)))
    found = private_daemon.folders()
    assert len(found.url.removeprefix("unix://")) < 108
    assert len(private_network.bridge_name(found.run)) <= 15


def test_another_state_folder_is_another_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:

    seen = set()
    for name in ("a", "b", "\udcff"):
        monkeypatch.setenv("GPUENV_STATE_DIR", str(tmp_path / name))
        seen.add(private_daemon.folders().url)
    assert len(seen) == 3


def test_a_record_is_read_back(place: Folders) -> None:
    daemon = Daemon(7, 8, place.url, "bridge", "1.41")
    private_daemon.write_record(place, daemon)
    assert private_daemon.read_record(place) == daemon


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}'])
def test_a_record_that_says_nothing_is_none(place: Folders, content: str) -> None:
    place.record.write_text(content)
    assert private_daemon.read_record(place) is None


def test_a_record_of_another_version_is_read(place: Folders) -> None:
    place.record.write_text('{"pid": 1, "began": 2, "url": "x", "network": "bridge", "subnet": "172.18.0.0/16"}')
    assert private_daemon.read_record(place) == Daemon(1, 2, "x", "bridge")


def test_a_record_that_is_no_text_is_none(place: Folders) -> None:
    place.record.write_bytes(b'{"pid": 1, "began": 2, "url": "\xff"}')
    assert private_daemon.read_record(place) is None


def test_a_foreign_process_with_the_same_number_is_not_the_daemon(
    place: Folders, process: subprocess.Popen[bytes]
) -> None:
    private_daemon.write_record(place, Daemon(process.pid, began(process), place.url))
    assert private_daemon.find_daemon(place) is None


def test_a_process_that_began_later_is_not_the_daemon(place: Folders) -> None:
    with given(place.url) as same:
        recorded = Daemon(same.pid, began(same), place.url)
        assert private_daemon.is_running(recorded, place)
        assert not private_daemon.is_running(Daemon(same.pid, began(same) - 1, place.url), place)


def test_a_daemon_without_a_record_is_found_by_its_own_file(place: Folders) -> None:
    with given(place.url) as same:
        place.pid_file.write_text(f"{same.pid}\n")
        found = private_daemon.find_daemon(place)
        assert found is not None
        assert found.pid == same.pid


@pytest.mark.parametrize("content", ["NUMBER", "", "words"])
def test_numbers_that_are_not_ours_are_forgotten(
    place: Folders, process: subprocess.Popen[bytes], content: str
) -> None:
    containerd = place.run / "exec/containerd/containerd.pid"
    containerd.parent.mkdir(parents=True)
    for path in (place.pid_file, containerd):
        path.write_text(content.replace("NUMBER", str(process.pid)))
    private_daemon.forget_stale_numbers(place)
    assert not place.pid_file.exists()
    assert not containerd.exists()


def test_the_number_of_a_containerd_of_ours_is_kept(place: Folders) -> None:
    containerd = place.run / "exec/containerd/containerd.pid"
    containerd.parent.mkdir(parents=True)
    with given(f"{place.run}/exec/containerd/containerd.toml") as ours:
        containerd.write_text(str(ours.pid))
        private_daemon.forget_stale_numbers(place)
        assert containerd.exists()


def test_a_process_that_is_gone_is_no_daemon(place: Folders) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pid = child.pid
    assert processes.start_time(pid) is None
    place.pid_file.write_text(str(pid))
    assert private_daemon.find_daemon(place) is None


def test_a_zombie_counts_as_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert processes.start_time(child.pid) is None


def test_processes_are_found_by_what_they_are_given(tmp_path: Path) -> None:
    with given(f"{tmp_path}/x.sock") as child:
        # The kernel tells the parent of the exec a moment before it shows the new arguments.
        deadline = time.monotonic() + 10
        while not processes.command_line(child.pid) and time.monotonic() < deadline:
            time.sleep(0.005)
        assert processes.find_naming(tmp_path) == [child.pid]
        assert processes.find_naming(tmp_path / "x") == []


def test_a_private_engine_of_another_state_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [Folders(tmp_path, tmp_path / f"gpuenv-{name}", tmp_path, tmp_path, tmp_path) for name in ("a", "b", "c")]
    own, other, dead = places
    for place in places:
        place.run.mkdir()
    with (
        given("--host", own.url, "--data-root", "/own/engine/data") as first,
        given("--host", other.url, "--data-root", "/home/of another/engine/data") as second,
        given("--data-root", "/no/daemon") as third,
    ):
        for place, process in zip(places, (first, second, third)):
            place.pid_file.write_text(str(process.pid))
        assert private_daemon.find_others(own) == [Path("/home/of another")]
        assert private_daemon.find_others(dead) == [Path("/own"), Path("/home/of another")]
        monkeypatch.setattr(private, "folders", lambda: own)
        monkeypatch.setattr(packages, "missing", list)
        end = "; another one runs: to use that, set GPUENV_STATE_DIR=/home/of another)"
        assert private.describe_start() == f"start a private Docker daemon (data in {tmp_path}{end}"
    dead.pid_file.write_text("no number")
    assert private_daemon.find_others(own) == []
