"""Processes are known again by number and start time, with /proc and without."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from gpuenv.core import processes


def test_a_name_with_parentheses_does_not_confuse(tmp_path: Path) -> None:
    program = tmp_path / "a) S (b"
    program.symlink_to("/bin/sleep")
    before = processes.start_time(os.getpid())
    with subprocess.Popen([program, "60"]) as child:
        began = processes.start_time(child.pid)
        child.kill()
    assert began is not None
    assert before is not None
    # Within the 1000 s (100 ticks each) that no test run takes.
    assert 0 <= began - before < 100_000


@pytest.mark.parametrize("has_time", [True, False])
def test_numbers_and_start_times_mean_something_in_their_namespaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_time: bool
) -> None:
    (tmp_path / "self/ns").mkdir(parents=True)
    for name in ("pid", *(["time"] if has_time else [])):
        (tmp_path / "self/ns" / name).symlink_to(f"{name}:[7]")
    monkeypatch.setattr(processes, "_PROC", tmp_path)
    assert processes.scope() == ("pid:[7]/time:[7]" if has_time else "pid:[7]")


@pytest.fixture
def no_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_PROC", tmp_path / "none")


@pytest.mark.usefixtures("no_proc")
def test_without_proc_ps_tells_when_a_process_began(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Seoul")
    monkeypatch.setenv("LC_ALL", "ko_KR.UTF-8")
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        began = processes.start_time(child.pid)
        assert began is not None
        assert abs(began - time.time()) < 60
        assert processes.is_alive(f"{child.pid}:{began}")
        assert processes.descendants(os.getpid()).count(child.pid) == 1
        child.kill()
        # Not waited for yet: a zombie is no process.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert processes.start_time(child.pid) is None
    assert processes.start_time(child.pid) is None
    assert processes.is_alive(f"{child.pid}:{began}") is False
    assert processes.command_line(child.pid) == []
    assert processes.find_naming(Path("/")) == []


@pytest.mark.usefixtures("no_proc")
def test_what_ps_of_macos_prints_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ps").write_text("#!/bin/sh\necho 'S+   Wed Jan  3 09:05:07 2024    '\n")
    (tmp_path / "ps").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert processes.start_time(1) == 1704272707


@pytest.mark.usefixtures("no_proc")
def test_without_proc_and_ps_no_process_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert processes.start_time(os.getpid()) is None
    assert processes.descendants(os.getpid()) == []


def test_a_label_that_names_no_process() -> None:
    assert processes.is_alive("x:y") is None
    assert processes.is_alive("") is None
