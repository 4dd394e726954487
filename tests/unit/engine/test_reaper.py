"""What a process leaves behind is removed; what belongs to a living one is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from fakes.engine import FakeEngine, serving
from gpuenv.core import processes
from gpuenv.engine import reaper


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeEngine]:
    with serving(tmp_path) as engine:
        yield engine


def keep(fake: FakeEngine) -> threading.Event:
    """Let the engine sweep nothing, remove anything, and tell when it has swept (the last thing a watcher does)."""
    swept = threading.Event()

    def answer_list(*_: Any) -> tuple[int, object]:
        swept.set()
        return HTTPStatus.OK, []

    fake.answers["GET /containers/json"] = answer_list
    fake.answers["DELETE"] = lambda *_: (HTTPStatus.NO_CONTENT, None)
    return swept


def deletions(fake: FakeEngine) -> list[str]:
    return [request.split("/")[2].split("?")[0] for request in fake.asked if request.startswith("DELETE")]


def test_an_orderly_end_removes_nothing(fake: FakeEngine) -> None:
    swept = keep(fake)
    with reaper.watching(fake.engine, "x") as tell:
        tell(reaper.DONE)
    assert swept.wait(20)
    assert deletions(fake) == []


def test_an_end_without_a_word_removes_the_container(fake: FakeEngine) -> None:
    swept = keep(fake)
    with reaper.watching(fake.engine, "x"):
        pass
    assert swept.wait(20)
    assert deletions(fake) == ["x"]


KILLED = """
import sys, time
from gpuenv.engine import reaper
from gpuenv.engine.model import Engine
with reaper.watching(Engine("docker", sys.argv[1], "", "1.41"), "x"):
    print("ready", flush=True)
    time.sleep(600)
"""


def test_kill_9_removes_the_container(fake: FakeEngine) -> None:
    swept = keep(fake)
    argv = [sys.executable, "-c", KILLED, fake.engine.url]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert deletions(fake) == []
        os.killpg(process.pid, signal.SIGKILL)
        # The watcher does not keep our output open: this ends.
        assert process.stdout.read() == b""
    assert swept.wait(20)
    assert deletions(fake) == ["x"]


def test_kill_9_gives_the_terminal_back(fake: FakeEngine) -> None:
    swept = keep(fake)
    leader, follower = os.openpty()
    before = termios.tcgetattr(follower)
    kept = os.dup(0)
    os.dup2(follower, 0)
    with reaper.watching(fake.engine, "x", 0):
        changed = termios.tcgetattr(follower)
        changed[3] &= ~(termios.ECHO | termios.ICANON)
        termios.tcsetattr(follower, termios.TCSANOW, changed)
    os.dup2(kept, 0)
    os.close(kept)
    assert swept.wait(20)
    assert termios.tcgetattr(follower) == before
    os.close(leader)
    os.close(follower)


def test_a_container_that_appears_late_is_removed(fake: FakeEngine) -> None:
    answers = iter([HTTPStatus.NOT_FOUND, HTTPStatus.NOT_FOUND, HTTPStatus.NO_CONTENT])
    fake.answers["DELETE"] = lambda *_: (next(answers), None)
    assert reaper.remove_patiently(fake.engine, "x", time.monotonic() + 20)
    assert len(deletions(fake)) == 3


def test_patience_ends(fake: FakeEngine) -> None:
    assert not reaper.remove_patiently(fake.engine, "x", time.monotonic())
    fake.path.unlink()
    assert not reaper.remove_patiently(fake.engine, "x", time.monotonic())


def dead_owner() -> str:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        began = processes.start_time(process.pid)
    return f"{process.pid}:{began}"


def row(name: str, owner: str, host: str) -> dict[str, Any]:
    return {"Id": name, "Names": [f"/{name}"], "Labels": {"gpuenv.owner": owner, "gpuenv.host": host}}


def test_a_sweep_takes_the_containers_of_the_dead_only(fake: FakeEngine) -> None:
    own = processes.start_time(os.getpid())
    owners = {
        "dead": dead_owner(),
        "alive": f"{os.getpid()}:{own}",
        "same-number": f"{os.getpid()}:{(own or 0) + 1}",
        "odd": "x:y",
        "none": "",
    }
    rows = [row(name, owner, reaper.host_id()) for name, owner in owners.items()]
    rows += [{"Id": "bare", "Names": ["/bare"], "Labels": None}]
    fake.answers["GET /containers/json"] = lambda *_: (HTTPStatus.OK, rows)
    fake.answers["DELETE"] = lambda *_: (HTTPStatus.NO_CONTENT, None)
    assert reaper.sweep(fake.engine, reaper.host_id()) == ["dead", "same-number"]
    assert deletions(fake) == ["dead", "same-number"]


def test_without_proc_the_boot_is_told_by_sysctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaper, "_BOOT_ID", tmp_path / "none")
    (tmp_path / "sysctl").write_text("#!/bin/sh\necho '{ sec = 1700000000, usec = 7 } Tue Nov 14 22:13:20 2023'\n")
    (tmp_path / "sysctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert reaper.host_id.__wrapped__() == f"{os.uname().nodename}/1700000000/{os.getuid()}"
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert reaper.host_id.__wrapped__() == f"{os.uname().nodename}/{os.getuid()}"


def test_a_sweep_takes_those_of_this_machine_and_user_only(
    fake: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of other clocks (`unshare --time`), by which a process seems to have begun at another time."""
    here = "boot/pid:[1]/time:[2]/7"
    for number, clocks in ((41, "time:[2]"), (42, "time:[3]")):
        (tmp_path / str(number) / "ns").mkdir(parents=True)
        (tmp_path / str(number) / "ns/time").symlink_to(clocks)
    monkeypatch.setattr(processes, "_PROC", tmp_path)
    rows = [
        row("dead", "43:5", here),
        row("other-user", "43:5", "boot/pid:[1]/time:[2]/8"),
        row("other-boot", "43:5", "another/pid:[1]/time:[2]/7"),
        row("other-numbers", "43:5", "boot/pid:[9]/time:[2]/7"),
        row("no-clocks-of-its-own", "43:5", "boot/pid:[1]/7"),
        row("dead-on-other-clocks", "43:5", "boot/pid:[1]/time:[3]/7"),
        row("alive-on-other-clocks", "42:5", "boot/pid:[1]/time:[3]/7"),
        row("its-number-is-used-again", "41:5", "boot/pid:[1]/time:[3]/7"),
    ]
    fake.answers["GET /containers/json"] = lambda *_: (HTTPStatus.OK, rows)
    fake.answers["DELETE"] = lambda *_: (HTTPStatus.NO_CONTENT, None)
    assert reaper.sweep(fake.engine, here) == ["dead", "dead-on-other-clocks", "its-number-is-used-again"]
    assert reaper.host_id.__wrapped__().endswith(f"/{os.getuid()}")


def test_this_machine_is_told_by_its_boot_and_namespaces() -> None:
    assert reaper.host_id().endswith(f"/{processes.scope()}/{os.getuid()}")


def test_a_sweep_without_an_engine_is_quiet(fake: FakeEngine) -> None:
    fake.path.unlink()
    assert reaper.sweep(fake.engine, reaper.host_id()) == []


@pytest.mark.parametrize(("said", "is_left"), [(b"", False), (reaper.REMOVE, True)])
def test_a_mark_of_who_was_killed_is_removed(fake: FakeEngine, tmp_path: Path, said: bytes, is_left: bool) -> None:
    swept, mark = keep(fake), tmp_path / ".mark"
    mark.touch()
    with reaper.watching(fake.engine, "x", mark=mark) as tell:
        tell(said)
    assert swept.wait(20)
    assert mark.exists() is is_left
