from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from gpuenv.core.errors import CheckError
from gpuenv.dev import bench
from gpuenv.dev import builds as bench_builds
from gpuenv.engine.model import Engine
from gpuenv.lock import command as lock
from gpuenv.variants import model as variants


def test_a_limit_that_is_missed_shows() -> None:
    assert bench.Row("a", 1.5, 1.5, "times", "").is_within
    assert not bench.Row("a", 1.51, 1.5, "times", "").is_within


def test_both_sides_are_measured_in_turns_and_the_first_run_does_not_count() -> None:
    order: list[str] = []
    seconds = iter([100.0, *[float(number) for number in range(bench.ROUNDS)]])

    def first() -> float:
        order.append("first")
        return next(seconds)

    def second() -> float:
        order.append("second")
        return 7.0

    assert bench.in_turns(first, second) == ((bench.ROUNDS - 1) / 2, 7.0)
    assert order == ["first", "second"] * (bench.ROUNDS + 1)


def test_a_command_that_fails_is_no_measurement() -> None:
    assert bench.timed([sys.executable, "-c", ""]) > 0
    with pytest.raises(CheckError, match="no such thing"):
        bench.timed([sys.executable, "-c", "raise SystemExit('no such thing')"])


def test_a_cold_build_repeats_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "build_prefix", lambda self: (["docker", "build"], {}))
    cold = bench_builds.ColdEngine("docker", "unix:///x", "a test")
    assert cold.build_prefix()[0] == ["docker", "build", "--no-cache"]


def test_the_leaf_is_really_asked_for_by_every_variant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    updated: list[str] = []
    monkeypatch.setattr(lock, "update", lambda target, *, upgrade: updated.append(target.name))
    for variant in variants.load_all():
        folder = tmp_path / variant.name
        shutil.copytree(variant.folder, folder)
        copy = variants.load_variant(folder)
        bench_builds.change_leaf(copy, "cpu")
        before, after = (one.intent_path.read_text().splitlines() for one in (variant, copy))
        changed = [line for line in after if line not in before]
        assert len(changed) == 1
        assert changed[0].startswith(f"{bench_builds.LEAF}<")
    assert updated == [variant.name for variant in variants.load_all()]
