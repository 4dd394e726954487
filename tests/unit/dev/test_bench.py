from __future__ import annotations

import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from gpuenv.core import paths
from gpuenv.core.errors import CheckError, HostError
from gpuenv.core.settings import Settings
from gpuenv.cuda.files import cached_path
from gpuenv.engine.model import Engine
from gpuenv.lock import command as lock
from gpuenv.variants import model as variants
from gpuenv.variants.cuda_lock import Component, CudaLock, Source
from gpuenv_dev import bench
from gpuenv_dev import builds as bench_builds
from gpuenv_dev import harness as bench_harness


def rows_of(*measures: Callable[[], bench.Measured]) -> list[bench.Row]:
    return [bench.Row(f"row {number}", 1.5, "times", one) for number, one in enumerate(measures)]


def test_a_limit_that_is_missed_shows() -> None:
    rows = rows_of(lambda: (1.5, ""), lambda: (1.51, ""))
    assert not any(row.is_within for row in rows)
    bench.measure(rows)
    assert [row.is_within for row in rows] == [True, False]


def refuse() -> bench.Measured:
    raise CheckError("no ssh server", "no apt-get", "install one")


def interrupt() -> bench.Measured:
    raise KeyboardInterrupt


def prepare(monkeypatch: pytest.MonkeyPatch, *measures: Callable[[], bench.Measured]) -> None:
    """Have `make bench` find an engine and an image, and measure these instead."""
    built = SimpleNamespace(tag="gpuenv:x", labels={"gpuenv.base": "local"})
    planned = SimpleNamespace(reason_not=None, environment=SimpleNamespace(variant=SimpleNamespace(name="cuda10.0")))
    monkeypatch.setattr(bench, "find_engine", lambda _: Engine("docker", "unix:///x", "a test"))
    monkeypatch.setattr("gpuenv.images.command.plan", lambda *_: [planned])
    monkeypatch.setattr("gpuenv.images.image.ensure_image", lambda *_: built)
    names = ("warm_shell", "nothing_to_do", "image_size", "import_time", "leaf_rebuild")
    for name in (*names, "unpacking", "harness_alone", "harness_in_parallel", "harness_over_ssh"):
        monkeypatch.setattr(bench, name, lambda *_: (0.1, "fine"))
    for name, one in zip(names, measures):
        monkeypatch.setattr(bench, name, lambda *_, one=one: one())


def test_what_cannot_be_measured_is_named_and_keeps_the_other_rows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    prepare(monkeypatch)
    assert bench.run(Settings()) == 0
    prepare(monkeypatch, lambda: (0.1, "first"), refuse, lambda: (0.1, "third"))
    assert bench.run(Settings()) == CheckError.exit_code
    said = capsys.readouterr()
    assert "make images, nothing to do cannot be measured: no ssh server" in said.err
    lines = {line.split("│")[1].strip(): line for line in said.out.splitlines() if line.count("│") > 4}
    assert "not measured: no ssh server" in lines["make images, nothing to do"]
    assert "NO" in lines["make images, nothing to do"]
    assert "third" in lines["image size / its parts"]
    assert len(lines) == 9


def test_an_interrupted_benchmark_shows_what_it_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    prepare(monkeypatch, lambda: (0.1, "first"), interrupt)
    with pytest.raises(KeyboardInterrupt):
        bench.run(Settings())
    text = capsys.readouterr().out
    assert "first" in text
    assert text.count("not measured") == 8


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


def test_unpacking_is_measured_where_the_wheels_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    variant = variants.find_variant(None)
    with pytest.raises(HostError, match=r"cntk_gpu-.* is not in the cache"):
        bench.unpacking(variant)
    source = Source(wheel="x-1.0-py3-none-any.whl", sha256="a" * 64, origin="index", unpack="zip")
    component = Component("x", "1.0", ("libx.so.1",), (source,))
    monkeypatch.setattr(bench, "load_cuda_lock", lambda path: CudaLock((component,), path))
    cached_path(source).parent.mkdir(parents=True)
    with zipfile.ZipFile(cached_path(source), "w") as package:
        package.writestr("x/libs/libx.so.1", b"x")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(HostError, match="no unzip"):
        bench.unpacking(variant)
    taken: list[list[str]] = []

    def unzip(argv: list[str], _environment: None) -> None:
        taken.append(argv[2:4])

    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr("gpuenv_dev.programs.output", unzip)
    assert bench.unpacking(variant)[0] > 0
    assert taken == [[str(cached_path(source)), "*/libx.so.1"]] * 4


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
