from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from gpuenv.core import paths
from gpuenv.core.errors import CheckError
from gpuenv.engine.model import Engine
from gpuenv.lock import command as lock
from gpuenv.variants import model as variants
from gpuenv_dev import bench
from gpuenv_dev import builds as bench_builds
from gpuenv_dev import harness as bench_harness


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


HOSTS_PROGRAM = """
import sys
if "refuse" in sys.argv: sys.exit("no apt-get")
print("ssh://lab1", "ssh://lab2", flush=True)
sys.stdin.read()
open("ended", "w").write(" ".join(sys.argv[1:]))
"""


def test_the_hosts_of_the_benchmark_are_there_until_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "tests" / "simulated" / "ssh_hosts.py"
    program.parent.mkdir(parents=True)
    program.write_text(HOSTS_PROGRAM)
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    engine = Engine("docker", "unix:///d.sock", "a test", "1.41")
    with bench_harness.ssh_hosts(engine, "sha256:1") as uris:
        assert uris == "ssh://lab1 ssh://lab2"
        assert not (tmp_path / "ended").exists()
    assert (tmp_path / "ended").read_text() == f"docker unix:///d.sock 1.41  sha256:1 {bench_harness.SSH_HOSTS}"
    with pytest.raises(CheckError, match="do not start"), bench_harness.ssh_hosts(engine, "refuse"):
        pass
