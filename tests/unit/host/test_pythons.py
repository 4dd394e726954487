from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gpuenv.host import pythons


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what a test puts there is found."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("PYENV_ROOT", raising=False)


def make_python(prefix: Path, version: str, *, missing: tuple[str, ...] = (), implementation: str = "CPython") -> Path:
    """A script that answers as an interpreter installed in ``prefix`` would, and counts how often it is run."""
    program = prefix / "bin" / f"python{'.'.join(version.split('.')[:2])}"
    program.parent.mkdir(parents=True)
    answer = {"version": version, "prefix": str(prefix), "implementation": implementation, "missing": list(missing)}
    program.write_text(f"#!/bin/sh\necho x >> {prefix}/runs\nprintf '%s' '{json.dumps(answer)}'\n")
    program.chmod(0o755)
    return program


def runs(prefix: Path) -> int:
    return len((prefix / "runs").read_text().split())


def test_path_comes_first(isolated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_python(isolated / ".pyenv/versions/3.6.15", "3.6.15")
    on_path = make_python(tmp_path / "here", "3.6.9")
    monkeypatch.setenv("PATH", str(on_path.parent))
    found = pythons.find_python("3.6")
    assert found == pythons.LocalPython(on_path, "3.6.9", tmp_path / "here")


def test_the_exact_version_wins(isolated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_python(isolated / ".pyenv/versions/3.6.15", "3.6.15")
    monkeypatch.setenv("PATH", str(make_python(tmp_path / "here", "3.6.9").parent))
    found = pythons.find_python("3.6", "3.6.15")
    assert found is not None
    assert found.version == "3.6.15"


def test_pyenv_is_searched_newest_first_by_number(isolated: Path) -> None:
    for version in ("3.6.9", "3.6.15", "3.7.1"):
        make_python(isolated / ".pyenv/versions" / version, version)
    assert [python.version for python in pythons.find_pythons("3.6")] == ["3.6.15", "3.6.9"]


def test_pyenv_root_is_honored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_python(tmp_path / "elsewhere/versions/3.6.15", "3.6.15")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "elsewhere"))
    assert pythons.find_python("3.6") is not None


@pytest.mark.parametrize("place", [".local/share/uv/python/cpython-3.6.15-linux-x86_64-gnu", "conda/envs/old"])
def test_uv_and_conda_are_searched(isolated: Path, place: str) -> None:
    make_python(isolated / place, "3.6.15")
    (isolated / ".conda").mkdir()
    (isolated / ".conda/environments.txt").write_text(f"{isolated}/gone\n{isolated}/conda/envs/old\n")
    found = pythons.find_python("3.6")
    assert found is not None
    assert found.prefix == isolated / place


def test_one_that_others_may_write_to_is_not_run(isolated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prefix = isolated / ".pyenv/versions/3.6.15"
    program = make_python(prefix, "3.6.15")
    program.chmod(0o777)
    for _ in range(2):
        assert pythons.find_python("3.6") is None
    assert not (prefix / "runs").exists()
    assert capsys.readouterr().err.count(f"the Python {program} is not used: others may write to") == 1


def test_pyenvs_shims_are_not_run(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = isolated / ".pyenv/shims/python3.6"
    shim.parent.mkdir(parents=True)
    shim.write_text(f"#!/bin/sh\ntouch {isolated}/shim-was-run\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(shim.parent))
    assert pythons.find_python("3.6") is None
    assert not (isolated / "shim-was-run").exists()


@pytest.mark.parametrize(
    "options", [{"missing": ("ssl",)}, {"implementation": "PyPy"}, {"version": "3.60.1"}, {"version": "3.7.1"}]
)
def test_what_does_not_serve_is_passed_over(
    isolated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, object]
) -> None:
    version = str(options.pop("version", "3.6.15"))
    program = make_python(tmp_path / "odd", version, **options)  # type: ignore[arg-type]
    wanted = program.with_name("python3.6")
    program.rename(wanted)
    monkeypatch.setenv("PATH", str(wanted.parent))
    make_python(isolated / ".pyenv/versions/3.6.8", "3.6.8")
    assert [python.version for python in pythons.find_pythons("3.6")] == ["3.6.8"]


@pytest.mark.parametrize("script", ["exit 1", "echo nonsense", "echo '{}'", "echo '[]'"])
def test_a_program_that_does_not_answer_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    program = tmp_path / "python3.6"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert pythons.find_python("3.6") is None


def test_an_interpreter_is_run_once_and_again_when_it_changes(isolated: Path) -> None:
    prefix = isolated / ".pyenv/versions/3.6.15"
    program = make_python(prefix, "3.6.15")
    for _ in range(3):
        assert pythons.find_python("3.6") is not None
    assert runs(prefix) == 1
    os.utime(program, (1, 1))
    assert pythons.find_python("3.6") is not None
    assert runs(prefix) == 2


def test_asking_for_one_version_forgets_no_other(isolated: Path) -> None:
    for version in ("3.6.15", "3.7.17"):
        make_python(isolated / ".pyenv/versions" / version, version)
    for minor in ("3.6", "3.7", "3.6", "3.7"):
        assert pythons.find_python(minor) is not None
    assert runs(isolated / ".pyenv/versions/3.6.15") == 1


def test_an_interpreter_that_is_gone_is_not_remembered(isolated: Path) -> None:
    program = make_python(isolated / ".pyenv/versions/3.6.15", "3.6.15")
    assert pythons.find_python("3.6") is not None
    program.unlink()
    assert pythons.find_python("3.6") is None


@pytest.mark.parametrize("content", [b"[1]", b'{"/bin/\xff": 1}'])
def test_a_broken_store_is_made_anew(isolated: Path, content: bytes) -> None:
    from gpuenv.core import paths

    make_python(isolated / ".pyenv/versions/3.6.15", "3.6.15")
    (paths.cache_dir() / "pythons.json").write_bytes(content)
    assert pythons.find_python("3.6") is not None
