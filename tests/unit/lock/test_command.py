"""`make lock`, with the real variants in a copy that a test may spoil."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gpuenv.core import paths
from gpuenv.core.errors import DataError, SourceError, UsageError
from gpuenv.core.settings import Settings
from gpuenv.lock import command as lock
from gpuenv.lock import resolve, uv
from gpuenv.variants import locks
from gpuenv.variants import model as variants
from gpuenv.variants.locks import Pin

A, B, C, D = (letter * 64 for letter in "abcd")


@pytest.fixture
def envs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = tmp_path / "envs"
    shutil.copytree(paths.project_root() / "envs", copy)
    monkeypatch.setenv("GPUENV_ENVS_DIR", str(copy))
    return copy


def options(name: str | None, *, check: bool) -> Settings:
    return Settings(variant=name, check=check)


def no_resolver(*_: object) -> None:
    raise AssertionError("nothing may be resolved here")


@pytest.mark.parametrize(("name", "count"), [(None, 6), ("tool", 3), ("cuda9.0", 6)])
def test_the_locks_in_the_repository_are_current(
    name: str | None, count: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(uv, "run_uv", no_resolver)
    assert lock.run(options(name, check=True)) == 0
    assert f"{count} locks are current" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("requirements.in", "pandas==1.1.5", "pandas==1.1.4"),
        ("requirements.in", "tqdm\n", "tqdm\nlightgbm\n"),
        ("variant.toml", 'keras = "2.2.5"', 'keras = "2.2.4"'),
        ("variant.toml", 'python = "3.6.15"', 'python = "3.6.14"'),
        ("variant.toml", 'needs = ["flaky"]', 'needs = ["flaky", "mock"]'),
    ],
)
def test_check_finds_drift_of_the_inputs(envs: Path, file: str, old: str, new: str) -> None:
    path = envs / "cuda10.0" / file
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match="is not current") as caught:
        lock.run(options("cuda10.0", check=True))
    assert "make lock VARIANT=cuda10.0" in caught.value.next_step


def test_a_comment_is_no_drift(envs: Path) -> None:
    path = envs / "cuda10.0/requirements.in"
    path.write_text(path.read_text().replace("tqdm\n", "# Bars.\ntqdm  # everywhere\n"))
    assert lock.run(options("cuda10.0", check=True)) == 0


def test_check_finds_pins_that_do_not_fulfill_the_inputs(envs: Path) -> None:
    variant = variants.find_variant("cuda10.0")
    path = envs / "cuda10.0/requirements-cpu.txt"
    present = locks.load_lock(path)
    pins = [pin for pin in present.pins if pin.name != "tqdm"]
    path.write_text(locks.render_lock(variant.name, pins, present.inputs_digest))
    with pytest.raises(DataError, match="does not fulfill tqdm"):
        lock.run(options("cuda10.0", check=True))


def test_check_finds_a_missing_lock(envs: Path) -> None:
    (envs / "cuda10.0/requirements-cpu.txt").unlink()
    with pytest.raises(DataError, match="is missing"):
        lock.run(options(None, check=True))


@pytest.mark.parametrize("check", [True, False])
def test_an_edited_lock_is_refused_and_stays(envs: Path, check: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "run_uv", no_resolver)
    path = envs / "cuda10.0/requirements-cpu.txt"
    edited = path.read_text().replace("tqdm==", "tqdm==9.")
    path.write_text(edited)
    with pytest.raises(DataError, match="edited by hand") as caught:
        lock.run(options("cuda10.0", check=check))
    assert "git checkout" in caught.value.next_step
    assert path.read_text() == edited


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"cuda9\.0, cuda10\.0, tool") as caught:
        lock.run(options("cuda10", check=True))
    assert "VARIANT=cuda10.0" in caught.value.next_step


def test_nothing_is_written_when_one_flavor_fails(envs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(requirements: tuple[str, ...], *_: object) -> tuple[Pin, ...]:
        if requirements[0].startswith("tensorflow=="):
            raise SourceError("the second flavor", "fails", "here")
        return (Pin("tensorflow-gpu", "1.15.5", None, (A,), "t.whl", "t.whl"),)

    monkeypatch.setattr(lock, "resolve", failing)
    before = {path: path.read_bytes() for path in envs.rglob("*") if path.is_file()}
    with pytest.raises(SourceError, match="the second flavor"):
        lock.run(options("cuda10.0", check=False))
    assert {path: path.read_bytes() for path in envs.rglob("*") if path.is_file()} == before


def test_a_requirement_that_pulls_in_the_other_distribution_is_refused(
    envs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = tuple(Pin(name, "1.15.5", None, (A,), "t.whl", "t.whl") for name in ("tensorflow", "tensorflow-gpu"))
    monkeypatch.setattr(lock, "resolve", lambda *_: both)
    with pytest.raises(DataError, match="would hold tensorflow too"):
        lock.run(options("cuda10.0", check=False))
