from __future__ import annotations

from pathlib import Path

import pytest

from fakes import pip
from gpuenv.core import paths, signals
from gpuenv.core.errors import BuildError, HostError
from gpuenv.core.settings import Settings
from gpuenv.host import pythons
from gpuenv.host.pythons import LocalPython
from gpuenv.prefix import pip as prefix_pip
from gpuenv.prefix import trust
from gpuenv.prefix import virtual_env as venv_env
from gpuenv.prefix.making import Making, ensure
from gpuenv.variants import locks
from gpuenv.variants import model as variants
from gpuenv.variants.environment import Environment
from gpuenv.variants.model import Variant


@pytest.fixture
def variant() -> Variant:
    return variants.find_variant("cuda10.0")


@pytest.fixture
def fake_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Python whose venv is a copy of itself; its pip writes down what it is asked, and fails if ``fail`` exists."""
    program = tmp_path / "python3.6"
    program.write_text(
        pip.program(tmp_path / "asked")
        + f"""
if [ "$3" = venv ]; then mkdir -p "$4/bin" && cp "$0" "$4/bin/python"; exit; fi
if [ -e {tmp_path}/fail ]; then echo 'hashes do not match'; exit 1; fi
"""
    )
    program.chmod(0o755)
    local = LocalPython(program, "3.6.15", tmp_path)
    monkeypatch.setattr(pythons, "find_python", lambda *_: local)
    return tmp_path


def asked(folder: Path) -> list[str]:
    return (folder / "asked").read_text().splitlines()


def test_it_is_made_once(variant: Variant, fake_python: Path) -> None:
    made = ensure(*venv_env.plan(Environment(variant, "cpu"), Settings()))
    before = asked(fake_python)
    assert ensure(*venv_env.plan(Environment(variant, "cpu"), Settings())) == made
    assert asked(fake_python) == before
    assert made.parent == paths.cache_dir() / "venvs"


def test_the_locked_pip_installs_everything_else_with_hashes(variant: Variant, fake_python: Path) -> None:
    ensure(*venv_env.plan(Environment(variant, "cpu"), Settings()))
    venv, *installs = asked(fake_python)
    assert venv.startswith("-I -m venv ")
    assert "tools.txt" in installs[0]
    assert "packages-1.txt" in installs[-1]
    assert "packages-3.txt" in installs[-1]
    for install in installs:
        assert "--require-hashes --no-deps" in install


def test_its_name_changes_with_the_lock(variant: Variant, fake_python: Path) -> None:
    digest = locks.load_lock(variant.lock_path("cpu")).digest
    assert ensure(*venv_env.plan(Environment(variant, "cpu"), Settings())).name == f"cuda10.0-cpu-{digest[:12]}"


def test_a_failure_leaves_nothing_and_shows_why(variant: Variant, fake_python: Path) -> None:
    (fake_python / "fail").touch()
    with pytest.raises(BuildError, match="hashes do not match"):
        ensure(*venv_env.plan(Environment(variant, "cpu"), Settings()))
    assert list((paths.cache_dir() / "venvs").iterdir()) == []


def test_a_half_made_one_is_made_anew(variant: Variant, fake_python: Path) -> None:
    made = ensure(*venv_env.plan(Environment(variant, "cpu"), Settings()))
    (made / trust.COMPLETE).unlink()
    (made / "leftover").touch()
    assert ensure(*venv_env.plan(Environment(variant, "cpu"), Settings())) == made
    assert not (made / "leftover").exists()


def test_one_whose_interpreter_is_gone_is_made_anew(variant: Variant, fake_python: Path) -> None:
    made = ensure(*venv_env.plan(Environment(variant, "cpu"), Settings()))
    (made / "bin/python").unlink()
    ensure(*venv_env.plan(Environment(variant, "cpu"), Settings()))
    assert (made / "bin/python").exists()


def test_packages_that_pip_put_elsewhere_are_missed(
    variant: Variant, fake_python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pip.conf with `target=` is obeyed, and told by nobody."""

    def run(making: Making, _: list[str]) -> None:
        making.prefix.python.parent.mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(Making, "run", run)
    with pytest.raises(BuildError, match="does not hold what was installed: no ") as caught:
        ensure(*venv_env.plan(Environment(variant, "cpu"), Settings()))
    assert "pip config list" in caught.value.why
    assert list((paths.cache_dir() / "venvs").iterdir()) == []


def test_without_a_python_three_ways_to_one_are_told(variant: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pythons, "find_python", lambda *_: None)
    with pytest.raises(HostError) as caught:
        ensure(*venv_env.plan(Environment(variant, "cpu"), Settings()))
    for way in ("pyenv install 3.6.15", "uv python install 3.6", "conda create"):
        assert way in caught.value.next_step


def steps(tmp_path: Path, sources: str) -> list[list[str]]:
    for name in ("tools.txt", "packages-1.txt", "packages-2.txt", "packages-3.txt"):
        (tmp_path / name).write_text("x==1\n")
    (tmp_path / "sources.txt").write_text(sources)
    return [argv for _, argv in prefix_pip.pip_steps(Path("/v"), tmp_path)]


def test_sources_are_built_with_the_locked_tools(tmp_path: Path) -> None:
    tools, sources, packages = steps(tmp_path, "termcolor==1.1.0 --hash=sha256:x\n")
    assert "--no-build-isolation" in sources
    assert "--no-build-isolation" not in tools + packages


def test_without_sources_nothing_is_built(tmp_path: Path) -> None:
    assert len(steps(tmp_path, "\n")) == 2


def test_an_interrupted_run_leaves_no_marker(
    variant: Variant, fake_python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(signals, "run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        ensure(*venv_env.plan(Environment(variant, "cpu"), Settings()))
    assert list((paths.cache_dir() / "venvs").iterdir()) == []
