"""The private engine for real: a dockerd of its own for each test. Needs root and an installed docker.io."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fakes.engine import sdk
from gpuenv.core import mounts, processes
from gpuenv.core.errors import EngineError
from gpuenv.engine import private, private_daemon, private_network
from gpuenv.engine.find import find_engine
from gpuenv.engine.model import Engine
from gpuenv.engine.private_daemon import Daemon, Folders
from gpuenv.host import packages

pytestmark = pytest.mark.skipif(
    os.getuid() != 0 or bool(packages.missing()), reason="needs root, dockerd, iptables and ip"
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folders]:
    """A state folder of its own; whatever engine is in it at the end is stopped."""
    monkeypatch.setenv("GPUENV_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("GPUENV_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    place = private_daemon.folders()
    yield place
    private.stop()
    assert mounts.find_below(place.data) == []
    assert not place.run.exists()


def gpuenv(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gpuenv", *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def wait_for(condition: Callable[[], bool], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def other_rules() -> list[str]:
    """The firewall's rules, without those for private engines."""
    done = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if line.startswith("-A") and "gpuenv" not in line]


def test_it_starts_answers_and_stops_without_a_trace(place: Folders) -> None:
    rules_before, had_docker0 = other_rules(), Path("/sys/class/net/docker0").exists()
    daemon = private.start()
    assert private.running() == daemon
    assert private.start() == daemon
    engine = find_engine("private")
    assert engine is not None
    assert sdk(engine).info()["DockerRootDir"] == str(place.data)
    assert other_rules() == rules_before, "the rules of other engines are none of its business"
    assert private.stop() is True
    assert private.running() is None
    assert not processes.is_same(daemon.pid, daemon.began)
    assert not place.run.exists()
    assert not (Path("/sys/class/net") / private_network.bridge_name(place.run)).exists()
    assert (other_rules(), Path("/sys/class/net/docker0").exists()) == (rules_before, had_docker0)
    assert private.stop() is False


def test_the_commands_do_the_same_and_the_engine_outlives_them(place: Folders) -> None:
    shown = gpuenv("engine", "--engine", "private")
    assert shown.stdout == f"export DOCKER_HOST={place.url}\n", shown.stderr
    assert "starting a private Docker daemon" in shown.stderr
    again = gpuenv("engine", "--engine", "private")
    assert again.stdout == shown.stdout
    assert "starting" not in again.stderr
    stopped = gpuenv("engine-stop")
    assert (stopped.returncode, "is stopped" in stopped.stderr) == (0, True)
    assert "does not run" in gpuenv("engine-stop").stderr


def test_after_kill_9_it_starts_again_with_the_same_data(place: Folders) -> None:
    first = private.start()
    engine = find_engine("private")
    assert engine is not None
    volume = sdk(engine).volumes.create("kept")
    os.kill(first.pid, signal.SIGKILL)
    wait_for(lambda: not processes.is_same(first.pid, first.began))
    assert private.running() is None
    second = private.start()
    assert second.pid != first.pid
    assert [found.name for found in sdk(engine).volumes.list()] == [volume.name]
    # As the network is, in which an engine ran something before it was killed.
    left = place.run / "exec" / "left"
    left.touch()
    subprocess.run(["mount", "--bind", left, left], check=True)


def make_image(engine: Engine) -> None:
    """An image ``sleeper`` of this machine's own `sleep` and its libraries."""
    program = shutil.which("sleep") or "sleep"
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w", dereference=True) as archive:
            archive.add(program, "sleep")
            for library in re.findall(r"(/\S+) \(0x", listed):
                archive.add(library)
        file.seek(0)
        sdk(engine).api.import_image_from_data(file.read(), repository="sleeper", tag="test")


@pytest.mark.parametrize("is_started_again", [True, False])
def test_containers_do_not_outlive_a_killed_engine_and_its_stop(place: Folders, *, is_started_again: bool) -> None:
    daemon = private.start()
    engine = find_engine("private")
    assert engine is not None
    make_image(engine)
    container = sdk(engine).containers.run("sleeper:test", ["/sleep", "600"], detach=True, stop_signal="SIGKILL")
    container.reload()
    pid = container.attrs["State"]["Pid"]
    began = processes.start_time(pid)
    assert began is not None
    os.kill(daemon.pid, signal.SIGKILL)
    wait_for(lambda: not processes.is_same(daemon.pid, daemon.began))
    if is_started_again:
        private.start()
    private.stop()
    assert not processes.is_same(pid, began)
    assert processes.find_naming(place.run) == []
    assert mounts.find_below(place.data) == []


def sleepers() -> list[Path]:
    """The processes that the build below starts."""
    return [path for path in Path("/proc").glob("[0-9]*") if processes.command_line(int(path.name))[1:] == ["599.5"]]


@pytest.mark.parametrize("is_started_again", [True, False])
def test_a_build_does_not_outlive_a_killed_engine(place: Folders, *, is_started_again: bool) -> None:
    daemon = private.start()
    engine = find_engine("private")
    assert engine is not None
    make_image(engine)
    folder = place.data.parent / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text('FROM sleeper:test\nRUN --mount=type=tmpfs,target=/t ["/sleep", "599.5"]\n')
    prefix, environment = engine.build_prefix()
    with subprocess.Popen([*prefix, str(folder)], env=environment, stderr=subprocess.DEVNULL) as build:
        wait_for(lambda: bool(sleepers()))
        os.kill(daemon.pid, signal.SIGKILL)
        assert build.wait(30) != 0
    if is_started_again:
        private.start()
        wait_for(lambda: mounts.find_below(place.data) == [place.data])
        assert sleepers() == []
    private.stop()
    assert sleepers() == []
    assert mounts.find_below(place.data) == []


def test_a_foreign_process_with_the_recorded_number_is_left_alone(place: Folders) -> None:
    place.record.parent.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as foreign:
        private_daemon.write_record(place, Daemon(foreign.pid, processes.start_time(foreign.pid) or 0, place.url))
        assert private.stop() is False
        private_daemon.write_record(place, Daemon(foreign.pid, processes.start_time(foreign.pid) or 0, place.url))
        daemon = private.start()
        assert daemon.pid != foreign.pid
        private.stop()
        assert foreign.poll() is None
        foreign.kill()


def test_two_starts_at_once_start_one(place: Folders) -> None:
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: gpuenv("engine", "--engine", "private"), range(2)))
    assert [result.returncode for result in results] == [0, 0], results
    assert {result.stdout for result in results} == {f"export DOCKER_HOST={place.url}\n"}
    said = "".join(result.stderr for result in results)
    assert said.count("starting a private Docker daemon") == 1
    assert "waiting for another gpuenv" in said


def test_a_daemon_that_cannot_start_is_told_with_its_log_and_leaves_nothing(place: Folders) -> None:
    place.data.parent.mkdir(parents=True, exist_ok=True)
    place.data.mkdir()
    (place.data / "containers").write_text("a file where the daemon needs a folder")
    with pytest.raises(EngineError, match="the end of its log"):
        private.start()
    assert not place.run.exists()
    assert private_daemon.read_record(place) is None


def test_without_a_firewall_it_runs_with_the_hosts_network(
    place: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a container that may not touch the firewall."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "iptables").write_text("#!/bin/sh\necho 'Permission denied (you must be root)' >&2\nexit 4\n")
    (folder / "iptables").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    engine = find_engine("private")
    assert engine is not None
    assert engine.network == "host"
    assert "you must be root" in capsys.readouterr().err
    again = find_engine("private")
    assert again is not None
    assert again.network == "host"


def test_ctrl_c_while_it_starts_leaves_no_daemon(place: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def interrupt(daemon: Daemon) -> None:
        seen.append(daemon.pid)
        raise KeyboardInterrupt

    monkeypatch.setattr(private, "answering", interrupt)
    with pytest.raises(KeyboardInterrupt):
        private.start()
    monkeypatch.undo()
    assert processes.start_time(seen[0]) is None
    assert not place.run.exists()


def test_auto_finds_it_and_says_so(
    place: Folders, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gpuenv.engine.find.docker_endpoints", lambda: iter(()))
    private.start()
    capsys.readouterr()
    engine = find_engine(None)
    assert engine is not None
    assert engine.kind == "private"
    assert f"using the private engine at {place.url}" in capsys.readouterr().err


def test_it_has_a_client_that_builds(place: Folders) -> None:
    engine = find_engine("private")
    assert engine is not None
    prefix, environment = engine.build_prefix()
    assert shutil.which(prefix[0])
    dockerfile = b"FROM scratch\nCOPY file /\n"
    folder = place.data.parent / "context"
    folder.mkdir()
    (folder / "file").touch()
    (folder / "Dockerfile").write_bytes(dockerfile)
    done = subprocess.run(
        [*prefix, "--tag", "built:test", str(folder)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert sdk(engine).images.get("built:test").tags == ["built:test"]
