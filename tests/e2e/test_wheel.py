"""`pip install .` gives a command that works anywhere: the package brings what it needs of the checkout."""

from __future__ import annotations

import filecmp
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpuenv.core import paths


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an installed package; what it depends on is this environment's."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=paths.project_root(), check=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    install = [sys.executable, "-m", "uv", "pip", "install", "-q", "--offline", "--no-deps", "--python", sys.executable]
    subprocess.run([*install, "--target", str(folder / "site"), str(wheel)], check=True, timeout=120)
    return folder / "site"


def call(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call the installed command in a folder that is no checkout."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GPUENV_")}
    environment.update(PYTHONPATH=str(site), GPUENV_STATE_DIR=f"{folder}/state", GPUENV_CACHE_DIR=f"{folder}/cache")
    command = [sys.executable, str(site / "bin/gpuenv"), *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_it_brings_the_same_files(site: Path) -> None:
    for name in ("docker", "envs", "tests/env"):
        there = filecmp.dircmp(site / "gpuenv/checkout" / name, paths.project_root() / name, ignore=["__pycache__"])
        assert not there.right_only, name
        assert not there.left_only, name
        assert not there.diff_files, name
        assert all(not part.right_only and not part.diff_files for part in there.subdirs.values()), name


def test_it_brings_every_file_of_the_package(site: Path) -> None:
    source = paths.project_root() / "src" / "gpuenv"
    files = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert {name for name in files if not (site / "gpuenv" / name).is_file()} == set()


def test_it_says_what_it_can(site: Path, tmp_path: Path) -> None:
    done = call(site, tmp_path, "--help")
    assert done.returncode == 0, done.stderr
    assert "gpu-shell" in done.stdout
    assert 'one command with --cmd="..."' in " ".join(done.stdout.split())
    done = call(site, tmp_path, "gpu-shell", "--variant", "cuda10")
    assert "did you mean --variant=cuda10.0?" in done.stderr


def test_it_knows_the_variants(site: Path, tmp_path: Path) -> None:
    done = call(site, tmp_path, "gpu-shell", "--variant", "none-such")
    assert done.returncode == 2
    for name in ("cuda9.0", "cuda10.0"):
        assert name in done.stderr


def test_it_explains(site: Path, tmp_path: Path) -> None:
    (tmp_path / "error.txt").write_text("ImportError: libcublas.so.9.0: cannot open shared object file\n")
    done = call(site, tmp_path, "explain", "error.txt")
    assert done.returncode == 0, done.stderr
    assert "libcublas" in done.stdout


def test_it_looks_at_the_machine(site: Path, tmp_path: Path) -> None:
    done = call(site, tmp_path, "doctor", "--json")
    answer = json.loads(done.stdout)
    assert {variant["name"] for variant in answer["variants"]} == {"cuda9.0", "cuda10.0"}
    assert answer["recommendation"]


@pytest.mark.parametrize("verb", ["lock", "docs", "bench"])
def test_what_works_on_the_project_itself_is_refused(site: Path, tmp_path: Path, verb: str) -> None:
    done = call(site, tmp_path, verb)
    assert done.returncode == 2
    assert "a checkout of the project only" in done.stderr
