"""The first `make`: the command's own environment, from a lock, once."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from gpuenv.core import paths

BOOTSTRAP = paths.project_root() / "src" / "bootstrap.py"


def bootstrap(venv: Path, lock: Path, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    # No uv on PATH and no index: an empty lock needs neither, and the way through pip is the one that must always work.
    # Python 3.11 and newer then do not look for modules beside the script.
    environment = {"PATH": "/usr/bin:/bin", "HOME": os.environ["HOME"], "PIP_NO_INDEX": "1", "PYTHONSAFEPATH": "1"}
    return subprocess.run(
        [python, str(BOOTSTRAP), str(venv), str(lock)], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment made from an empty lock (made once: it takes seconds)."""
    folder = tmp_path_factory.mktemp("bootstrap")
    (folder / "requirements.txt").write_text("# empty\n")
    result = bootstrap(folder / ".venv", folder / "requirements.txt")
    assert result.returncode == 0, result.stderr
    assert "preparing the command's own environment" in result.stderr
    assert result.stdout == ""
    return folder


def test_the_launcher_works_through_a_link(made: Path, tmp_path: Path) -> None:
    link = tmp_path / "gpuenv"
    link.symlink_to(made / ".venv/bin/gpuenv")
    result = subprocess.run([str(link), "--help"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "gpu-shell" in result.stdout


def test_a_second_call_does_nothing(made: Path) -> None:
    result = bootstrap(made / ".venv", made / "requirements.txt")
    assert (result.returncode, result.stderr) == (0, "")


def test_a_half_made_environment_is_not_taken_for_a_good_one(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / ".venv", tmp_path / ".venv", symlinks=True)
    (tmp_path / ".venv/gpuenv-lock").unlink()
    (tmp_path / ".venv/gpuenv-begun").touch()
    (tmp_path / ".venv/half-made").touch()
    result = bootstrap(tmp_path / ".venv", made / "requirements.txt")
    assert result.returncode == 0, result.stderr
    assert "preparing the command's own environment" in result.stderr
    assert not (tmp_path / ".venv/half-made").exists()
    assert not (tmp_path / ".venv/gpuenv-begun").exists()


@pytest.mark.parametrize("name", [".venv", ".venv.old"])
def test_what_is_not_ours_stays_untouched(made: Path, tmp_path: Path, name: str) -> None:
    """An editor's environment in the checkout, or a folder that somebody named with VENV=."""
    theirs = tmp_path / name / "pyvenv.cfg"
    theirs.parent.mkdir()
    theirs.write_text("theirs")
    result = bootstrap(tmp_path / ".venv", made / "requirements.txt")
    assert result.returncode == 4
    assert f"{theirs.parent} is there already, and it is not ours" in result.stderr
    assert "VENV=" in result.stderr
    assert theirs.read_text() == "theirs"


def make_wheel(folder: Path, name: str) -> str:
    """A line of a requirements file for a package made here."""
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def test_a_larger_lock_is_added_in_place_and_stays_when_the_smaller_one_changes(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / ".venv", tmp_path / ".venv", symlinks=True)
    small, large = tmp_path / "requirements.txt", tmp_path / "requirements-report.txt"
    shutil.copy(made / "requirements.txt", small)
    large.write_text(f"--find-links {tmp_path}\n{make_wheel(tmp_path, 'tiny')}")
    (tmp_path / ".venv/marker").touch()
    result = bootstrap(tmp_path / ".venv", large)
    assert result.returncode == 0, result.stderr
    assert "adding to the command's own environment" in result.stderr
    assert (tmp_path / ".venv/marker").exists()
    for lock in (small, large):
        assert bootstrap(tmp_path / ".venv", lock).stderr == ""
    small.write_text("# changed\n")
    result = bootstrap(tmp_path / ".venv", small)
    assert result.returncode == 0, result.stderr
    assert "preparing" in result.stderr
    assert not (tmp_path / ".venv/marker").exists()
    assert list((tmp_path / ".venv").rglob("tiny.py"))


def test_what_does_not_match_its_hash_is_refused(made: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
    lock = tmp_path / "requirements.txt"
    lock.write_text(f"--find-links {tmp_path}\ntiny==1.0 --hash=sha256:{'0' * 64}\n")
    result = bootstrap(tmp_path / ".venv", lock)
    assert result.returncode == 4
    assert "DO NOT MATCH THE HASHES" in result.stderr
    assert "next:" in result.stderr
    assert not (tmp_path / ".venv/gpuenv-lock").exists()


def test_the_older_environment_stays_until_the_newer_one_is_whole(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / ".venv", tmp_path / ".venv", symlinks=True)
    lock = tmp_path / "requirements.txt"
    lock.write_text(f"never-published==1 --hash=sha256:{'0' * 64}\n")
    result = bootstrap(tmp_path / ".venv", lock)
    assert result.returncode == 4
    assert (tmp_path / ".venv/gpuenv-lock").read_text() == (made / ".venv/gpuenv-lock").read_text()
    # As kill -9 leaves it in the middle of the next try.
    (tmp_path / ".venv").rename(tmp_path / ".venv.old")
    (tmp_path / ".venv").mkdir()
    assert bootstrap(tmp_path / ".venv", made / "requirements.txt").stderr == ""
    lock.write_text("# empty, but another\n")
    assert bootstrap(tmp_path / ".venv", lock).returncode == 0
    assert not (tmp_path / ".venv.old").exists()


def test_an_old_python_is_told_which_one_is_needed(tmp_path: Path) -> None:
    fake = tmp_path / "old.py"
    fake.write_text(
        "import sys, runpy\n"
        "sys.version_info = (3, 6, 15)\n"
        f"sys.argv = ['bootstrap.py', {str(tmp_path / 'v')!r}, 'lock']\n"
        f"runpy.run_path({str(BOOTSTRAP)!r}, run_name='__main__')\n"
    )
    result = subprocess.run([sys.executable, str(fake)], capture_output=True, text=True, check=False)
    assert result.returncode == 4
    assert "3.9 or newer is needed" in result.stderr
    assert not (tmp_path / "v").exists()
