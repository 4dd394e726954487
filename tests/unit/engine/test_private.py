from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpuenv.core import processes
from gpuenv.core.errors import EngineError
from gpuenv.engine import private, private_daemon, private_network
from gpuenv.engine.private_daemon import Daemon, Folders
from gpuenv.host import packages

PLACE = Folders(Path("/s/data"), Path("/run/gpuenv-0123456789ab"), Path("/s/log"), Path("/s/record"), Path("/s/lock"))


@pytest.fixture
def place(tmp_path: Path) -> Folders:
    (tmp_path / "run").mkdir()
    return Folders(tmp_path / "data", tmp_path / "run", tmp_path / "log", tmp_path / "record", tmp_path / "lock")


@contextmanager
def given(argument: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process with ``argument`` on its command line, which is not there yet in the first moment of a process."""
    script = "import sys; print(flush=True); sys.stdin.read()"
    argv = [sys.executable, "-c", script, argument]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        try:
            yield child
        finally:
            child.kill()


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with any engine."""
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    yield child
    child.kill()
    child.communicate()


def began(process: subprocess.Popen[bytes]) -> int:
    found = processes.start_time(process.pid)
    assert found is not None
    return found


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
def test_the_daemon_never_writes_firewall_rules(bridge: str | None) -> None:
    argv = private_daemon.dockerd_argv(PLACE, bridge)
    assert {"--iptables=false", "--ip6tables=false"} <= set(argv)


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
    from gpuenv.core import paths

    seen = set()
    for name in ("a", "b"):
        monkeypatch.setenv("GPUENV_STATE_DIR", str(tmp_path / name))
        paths.state_dir.cache_clear()
        seen.add(private_daemon.folders().url)
    assert len(seen) == 2


def test_a_record_is_read_back(place: Folders) -> None:
    daemon = Daemon(7, 8, place.url, "bridge", "172.18.0.0/16", "1.41")
    private_daemon.write_record(place, daemon)
    assert private_daemon.read_record(place) == daemon


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', '{"pid": 1, "began": 2, "url": "x", "new_field": 1}'])
def test_a_record_that_says_nothing_is_none(place: Folders, content: str) -> None:
    place.record.write_text(content)
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
    log = "\n".join(f"line {number}" for number in range(50))
    error = private.start_error("ended", log, Path("/s/log"))
    assert "line 49" in error.why
    assert "line 10" not in error.why
    assert "/s/log" in error.next_step


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


def test_installing_runs_apt_without_questions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_apt(tmp_path / "bin", monkeypatch)
    packages.install(["docker.io"], tmp_path / "apt.log")
    log = (tmp_path / "apt.log").read_text()
    assert "noninteractive" in log
    assert "install --yes --no-install-recommends docker.io docker-buildx" in log
    assert log.index("update") < log.index("install --yes")


def test_a_failing_apt_is_told_with_its_last_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_apt(tmp_path / "bin", monkeypatch, code=100)
    with pytest.raises(EngineError, match="exit code 100") as caught:
        packages.install_packages(["docker.io"], tmp_path / "apt.log")
    assert "noninteractive" in caught.value.why


def fake_apt(folder: Path, monkeypatch: pytest.MonkeyPatch, code: int = 0) -> None:
    """apt-get that writes down what it is asked, and an apt-cache that does not know docker-cli."""
    folder.mkdir()
    apt_get = folder / "apt-get"
    apt_get.write_text(f'#!/bin/sh\necho "$DEBIAN_FRONTEND $*"\nexit {code}\n')
    apt_cache = folder / "apt-cache"
    apt_cache.write_text('#!/bin/sh\ntest "$2" != docker-cli\n')
    for program in (apt_get, apt_cache):
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_the_rules_let_out_and_back_and_masquerade() -> None:
    found = [private_network.argv("-I", rule) for rule in private_network.rules("br", "172.18.0.0/16")]
    assert found[0] == [
        *("iptables", "--wait", "-t", "nat", "-I", "POSTROUTING"),
        *("-s", "172.18.0.0/16", "!", "-o", "br", "-j", "MASQUERADE"),
    ]
    assert [command[4:8] for command in found[1:]] == [["-I", "FORWARD", "-i", "br"], ["-I", "FORWARD", "-o", "br"]]


def fake_iptables(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """An iptables that writes down its arguments and does what ``script`` says."""
    folder.mkdir()
    program = folder / "iptables"
    program.write_text(f'#!/bin/sh\necho "$*" >> {folder}/asked\n{script}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder / "asked"


def test_rules_that_are_there_are_not_added_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = fake_iptables(tmp_path / "bin", monkeypatch, "exit 0")
    assert private_network.allow_forwarding("br", "172.18.0.0/16") is None
    assert "-I" not in asked.read_text().split()


def test_a_firewall_that_refuses_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_iptables(tmp_path / "bin", monkeypatch, "echo 'Permission denied' >&2; exit 4")
    assert private_network.allow_forwarding("br", "172.18.0.0/16") == "iptables: Permission denied"


def test_a_missing_firewall_program_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(packages, "search_path", lambda: str(tmp_path))
    reason = private_network.allow_forwarding("br", "172.18.0.0/16")
    assert reason is not None
    assert "No such file" in reason


def test_the_bridge_has_an_address_of_its_own() -> None:
    address = private_network.mac_address("gpuenv456789ab")
    assert address == private_network.mac_address("gpuenv456789ab") != private_network.mac_address("gpuenv456789ac")
    first = int(address.split(":")[0], 16)
    # Locally administered, and not a group's.
    assert (len(address.split(":")), first & 0b11) == (6, 0b10)


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
    monkeypatch.setattr(private, "_subnet", lambda _: "172.19.0.0/16")
    started = private._start(place)
    assert (started.network, started.subnet) == (network, "172.19.0.0/16")
    assert private_daemon.read_record(place) == started
