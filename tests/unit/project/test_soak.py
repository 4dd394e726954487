"""`make soak` finds what is left on purpose, says so, keeps the log and fails."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.engine import FakeEngine, sdk, serving
from gpuenv.core import locking, paths
from soak import __main__ as rounds
from soak import checks, troubles
from soak.__main__ import KINDS, Round, soak, summary
from soak.users import Doing
from soak.world import MARK, World
from tiny.index import Index
from tiny.variant import Tiny

VARIANT = Tiny("soak-0", Path("envs"), Path("packages"), "probe_soak_0-0.0.1-py3-none-any.whl")


@pytest.fixture
def world(tmp_path: Path) -> World:
    for name in ("home", "tmp", "state", "cache", "work", "logs"):
        (tmp_path / name).mkdir()
    return World(tmp_path, f"of-{os.getpid()}-{tmp_path.name}", {}, (VARIANT,), Index(tmp_path), is_small=False)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[FakeEngine]:
    with serving(tmp_path) as fake:
        yield fake


@pytest.fixture
def left_running(world: World) -> Iterator[int]:
    """A process that somebody started and forgot."""
    script = "import sys; print(1, flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", script],
        env={MARK: world.token},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    process.stdout.readline()
    yield process.pid
    process.communicate()


def test_an_orphan_is_found(world: World, left_running: int) -> None:
    (found,) = checks.orphans(world)
    assert found.startswith(f"process {left_running}: ")


def test_no_other_process_is(world: World) -> None:
    assert checks.orphans(world) == []


def test_a_container_is_found(engine: FakeEngine) -> None:
    engine.answers["GET /containers/json"] = lambda *_: (200, [{"Names": ["/gpuenv-shell-1"], "State": "running"}])
    assert checks.containers(sdk(engine.engine)) == ["container /gpuenv-shell-1 (running)"]


def test_a_half_image_is_found(engine: FakeEngine) -> None:
    engine.answers["GET /images/json"] = lambda *_: (200, [{"RepoTags": [VARIANT.tag], "Id": "sha256:1"}])
    (found,) = checks.images(sdk(engine.engine), [VARIANT], set())
    assert found.startswith("image gpuenv:soak-0-cpu is half: ")


def test_an_image_that_is_not_there_is_none(engine: FakeEngine) -> None:
    engine.answers["GET /images/json"] = lambda *_: (200, [{"RepoTags": None, "Id": "sha256:1"}])
    assert checks.images(sdk(engine.engine), [VARIANT], set()) == []


def test_a_lock_that_is_held_is_found(world: World) -> None:
    with locking.held(world.state / "images" / "a.lock", "waiting"):
        assert checks.locks(world.state) == [f"lock {world.state}/images/a.lock is held"]
    assert checks.locks(world.state) == []


@pytest.mark.parametrize(("program", "is_half"), [(None, True), ("exit 1", True), ("echo soak-0", False)])
def test_a_half_environment_is_found(tmp_path: Path, program: str | None, is_half: bool) -> None:
    folder = tmp_path / "soak-0-cpu-1234"
    (folder / "bin").mkdir(parents=True)
    assert checks.environments([folder]) == [], "it does not count as whole"
    (folder / "gpuenv-complete").touch()
    if program:
        (folder / "bin/python").write_text(f"#!/bin/sh\n{program}\n")
        (folder / "bin/python").chmod(0o755)
    assert bool(checks.environments([folder])) is is_half


def test_what_is_removed_while_it_is_looked_at_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    looks = iter([FileNotFoundError("gone"), ProcessLookupError("ended")])

    def check() -> list[str]:
        for error in looks:
            raise error
        return []

    assert checks.patiently(check) == []


def test_a_file_of_the_user_that_is_lost_or_changed_is_found(world: World) -> None:
    for name in ("changed", "kept", "lost"):
        (world.work / name).write_text(name)
    before = checks.kept(world.work)
    (world.work / "lost").unlink()
    (world.work / "changed").write_text("")
    (world.work / "new").touch()
    assert checks.files(world.work, before) == [
        "file changed of the user is changed",
        "file lost of the user is lost",
    ]


def test_what_lies_outside_is_found(world: World) -> None:
    before = checks.outside(world)
    (world.root / "home" / ".gpuenv").touch()
    (world.root / "tmp" / "tmp-gpuenv-1").touch()
    assert checks.outside(world) - before == {f"{world.root}/home/.gpuenv"}
    assert checks.swept(world) == [f"folder {world.root}/tmp/tmp-gpuenv-1 is never removed"]


@pytest.mark.parametrize("is_in_time", [True, False])
def test_a_break_that_comes_too_late_excuses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, *, is_in_time: bool
) -> None:
    monkeypatch.setattr(troubles, "break_off", lambda *_: is_in_time)
    doing = Doing("gpu-shell", VARIANT, world.root / "logs" / "1", ["false"], {"PATH": os.defpath}, length_s=0)
    one = Round(world, 5, 1, set())
    one._live([doing], "", "ctrl-c")
    assert one.victims == ([doing] if is_in_time else [])
    assert one.what.startswith(", ended in" if is_in_time else ", too late, ended in")


@pytest.mark.parametrize(
    ("log", "found"),
    [
        ("gpuenv: error: something unforeseen happened\n", 1),
        ("Traceback (most recent call last):\n  File\nOSError: no\n", 1),
        ("Traceback (most recent call last):\n  File\nKeyboardInterrupt\n", 0),
        ("gpuenv: error: the disk is full\n", 0),
    ],
)
def test_words_that_no_command_may_say(log: str, found: int) -> None:
    assert len(list(checks.words(log))) == found


def test_a_finding_of_any_kind_fails() -> None:
    assert summary(7, 3, Counter()) == (
        f"soak: seed 7, 3 rounds: {', '.join(f'0 {kind}' for kind in KINDS)} left or wrong",
        0,
    )
    for kind in KINDS:
        line, code = summary(7, 3, Counter([kind]))
        assert (f" 1 {kind}" in line, code) == (True, 1)


def test_a_round_with_a_finding_is_told_kept_and_counted(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def run(one: Round, _missing: dict[str, str]) -> None:
        one.what = "gpu-shell, ctrl-c"
        one.logs = [world.root / "logs" / str(one.number)]
        one.logs[0].write_text(f"the output of {one.number}\n")
        one.found += [("locks", "lock a is held")] if one.number == 2 else []

    monkeypatch.setattr(Round, "run", run)
    monkeypatch.setattr(rounds, "finish", lambda _: [("outside", "it is left")])
    monkeypatch.setattr(troubles, "possible", lambda _: {"full disk": "no loop device"})
    monkeypatch.setattr(paths, "reports_dir", lambda: tmp_path / "reports")
    world = dataclasses.replace(world, used=shutil.disk_usage(world.root).used)
    assert soak(world, 5, 3) == ({"locks": 1, "outside": 1}, 3)
    printed = capsys.readouterr().out
    assert "seed 5 round 1: gpu-shell, ctrl-c: ok" in printed
    assert "seed 5 round 2: gpu-shell, ctrl-c: lock a is held" in printed
    assert "full disk is left out: no loop device" in printed
    assert "at the end: it is left" in printed
    (kept,) = (tmp_path / "reports").iterdir()
    assert kept.name == "soak-5-2.log"
    assert "the output of 2" in kept.read_text()
    assert list((world.root / "logs").iterdir()) == []


def test_a_soak_that_is_broken_off_says_what_it_found(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_world: World, one: Round, _missing: dict[str, str], total: Counter[str]) -> None:
        total["locks"] += 1
        if one.number == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(rounds, "run_one", run)
    monkeypatch.setattr(troubles, "possible", lambda _: {})
    assert soak(world, 5, 3) == ({"locks": 2}, 1)
    assert "broken off after 1 rounds" in capsys.readouterr().out
