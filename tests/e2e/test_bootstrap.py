"""The first `make`: the command's own environment, from a lock, once."""

from __future__ import annotations

import hashlib
import os
import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from gpuenv.core import paths
from gpuenv.core.errors import HostError, UsageError

BOOTSTRAP = paths.project_root() / "src" / "bootstrap.py"


def bootstrap(venv: Path, lock: Path, path: str = "/usr/bin:/bin") -> subprocess.CompletedProcess[str]:
    # No uv on PATH and no index: an empty lock needs neither, and the way through pip is the one that must always work.
    # Python 3.11 and newer then do not look for modules beside the script.
    environment = {"PATH": path, "HOME": os.environ["HOME"], "PIP_NO_INDEX": "1", "PYTHONSAFEPATH": "1"}
    argv = [sys.executable, str(BOOTSTRAP), str(venv), str(lock)]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)


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


def make_wheel(folder: Path, name: str, text: str = "") -> str:
    """A line of a requirements file for a package made here."""
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}.py", text)
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


@pytest.mark.parametrize("number", ["INT", "KILL"])
def test_what_uv_began_is_not_in_the_way_of_the_next_call(made: Path, tmp_path: Path, number: str) -> None:
    """Ctrl-C or kill -9 when uv has made the environment; then a uv that is too old."""
    uv = tmp_path / "uv"
    real = Path(sys.executable).with_name("uv")
    interrupting = f'#!/bin/sh\n"{real}" "$@"\nkill -{number} $PPID\n'
    uv.write_text(interrupting)
    uv.chmod(0o755)
    path = f"{tmp_path}:/usr/bin:/bin"
    begun = bootstrap(tmp_path / ".venv", made / "requirements.txt", path)
    assert begun.returncode == (130 if number == "INT" else -9), begun.stderr
    assert (tmp_path / ".venv/pyvenv.cfg").exists()
    uv.write_text('#!/bin/sh\ncase "$*" in *--allow-existing*) echo "unexpected argument" >&2; exit 2; esac\nexit 1\n')
    result = bootstrap(tmp_path / ".venv", made / "requirements.txt", path)
    assert result.returncode == 0, result.stderr
    assert "trying pip" in result.stderr
    # The good one is put back, as it stood aside.
    lock = tmp_path / "requirements.txt"
    lock.write_text("# another\n")
    uv.write_text(interrupting)
    assert bootstrap(tmp_path / ".venv", lock, path).returncode == begun.returncode
    assert bootstrap(tmp_path / ".venv", made / "requirements.txt").stderr == ""


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


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_a_checkout_is_prepared_whatever_the_user_told_pip_and_python_and_may_be_copied_and_moved(
    tmp_path: Path,
) -> None:
    checkout = tmp_path / "딥러닝"
    checkout.mkdir()
    shutil.copy(paths.project_root() / "Makefile", checkout)
    shutil.copytree(paths.project_root() / "src", checkout / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (checkout / "envs").mkdir()
    lock = checkout / "src/requirements.txt"
    lock.write_text(f"--find-links {tmp_path}\n{make_wheel(tmp_path, 'tiny')}")
    foreign, elsewhere = tmp_path / "foreign", tmp_path / "elsewhere"
    foreign.mkdir()
    (foreign / "hashlib.py").write_text("raise SystemExit('not the library')\n")
    environment = {
        "PATH": f"{Path(sys.executable).resolve().parent}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "LC_ALL": "C",
        "TMPDIR": str(tmp_path / "missing"),
        "PIP_NO_INDEX": "1",
        "PIP_TARGET": str(elsewhere),
        "PIP_PREFIX": str(elsewhere),
        "PIP_DRY_RUN": "1",
        "PIP_NO_BINARY": ":all:",
        "PIP_USER": "1",
        "PIP_REQUIRE_VIRTUALENV": "1",
        "PYTHONHOME": str(tmp_path / "missing"),
        "PYTHONPATH": str(foreign),
        "PYTHONUSERBASE": str(elsewhere),
    }

    def run(*argv: str) -> str:
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def check(place: Path) -> None:
        where = run(f"{place}/.venv/bin/python", "-I", "-c", "import gpuenv, tiny; print(gpuenv.__path__[0])")
        assert where == f"{place}/src/gpuenv\n"
        assert "gpu-shell" in run(f"{place}/.venv/bin/gpuenv", "help")
        assert "gpu-shell" in run("make", "-C", str(place), "help", f"PYTHON={sys.executable}")

    run("make", "-C", str(checkout), ".venv/ready", f"PYTHON={Path(sys.executable).resolve()}")
    assert list(checkout.glob(".venv/lib/*/site-packages/tiny.py"))
    assert not elsewhere.exists()
    check(checkout)
    run("cp", "-r", str(checkout), str(tmp_path / "사본"))
    check(tmp_path / "사본")
    check(checkout.rename(tmp_path / "moved"))


def test_an_environment_in_which_the_command_does_not_run_is_not_taken_for_a_good_one(
    made: Path, tmp_path: Path
) -> None:
    shutil.copytree(made / ".venv", tmp_path / ".venv", symlinks=True)
    lock = tmp_path / "requirements.txt"
    lock.write_text(f"--find-links {tmp_path}\n{make_wheel(tmp_path, 'gpuenv', 'raise ImportError(1234)')}")
    result = bootstrap(tmp_path / ".venv", lock)
    assert result.returncode == HostError.exit_code
    assert "ImportError: 1234" in result.stderr
    assert "not usable in" in result.stderr
    assert (tmp_path / ".venv/gpuenv-lock").read_text() == (made / ".venv/gpuenv-lock").read_text()


def test_what_the_lock_pins_has_to_be_there(made: Path, tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    python = made / ".venv/bin/python"
    trial = runpy.run_path(str(BOOTSTRAP))["TRIAL"]
    for line, said in (("gone==1 \\\n  --hash=x", "gone 1 was installed, and nowhere is found"), ("a==1 ; x", "")):
        lock.write_text(f"# comment==1 x\n{line}\n")
        done = subprocess.run([python, "-I", "-c", trial, lock], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr.strip()) == (int(bool(said)), said)


def test_a_checkout_that_cannot_be_written_is_told_in_three_lines(tmp_path: Path) -> None:
    # A file in the way fails for root too, for whom a read-only mode means nothing.
    (tmp_path / "file").touch()
    (tmp_path / "requirements.txt").touch()
    result = bootstrap(tmp_path / "file" / ".venv", tmp_path / "requirements.txt")
    assert result.returncode == HostError.exit_code
    assert result.stderr.startswith("gpuenv: error: the command's own environment cannot be made in ")
    assert len(result.stderr.splitlines()) == 3
    # Not in a folder of our state or cache, in which nothing else may stand before us.
    for told in (result.stderr, (paths.project_root() / "README.md").read_text()):
        assert "make VENV=$HOME/.gpuenv-venv " in told


def test_a_checkout_of_an_older_encoding_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    checkout = tmp_path / os.fsdecode(b"\xc7\xd1")
    (checkout / "envs").mkdir(parents=True)
    shutil.copytree(BOOTSTRAP.parent, checkout / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for program, venv, said in (
        (checkout / "src" / "bootstrap.py", tmp_path / "v", "the checkout's path is not UTF-8: b'/"),
        (BOOTSTRAP, checkout / "v", "VENV is not UTF-8: b'/"),
    ):
        argv = [sys.executable, str(program), str(venv), "requirements.txt"]
        result = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert (result.returncode, said in result.stderr) == (UsageError.exit_code, True), result.stderr
        assert "convmv -f EUC-KR" in result.stderr
        assert not venv.exists()


@pytest.mark.parametrize(("venv", "umask"), [(".venv", 0o002), ("/elsewhere/venv", 0o022)])
def test_in_the_checkout_of_a_group_its_umask_holds(venv: str, umask: int) -> None:
    settle = runpy.run_path(str(BOOTSTRAP))["settle_umask"]
    before = os.umask(0o002)
    try:
        settle(str(paths.project_root() / venv))
        assert os.umask(0) == umask
    finally:
        os.umask(before)


def test_the_place_of_a_new_environment_is_looked_at_and_what_somebody_was_quicker_to_make(tmp_path: Path) -> None:
    code = runpy.run_path(str(BOOTSTRAP))
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(HostError, match="anybody may write to") as caught:
        code["refuse_others"](str(tmp_path / "open" / "a" / "venv"))
    assert "VENV=$HOME" in caught.value.next_step
    code["refuse_others"](str(tmp_path / "venv"))
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv").chmod(0o777)
    with pytest.raises(HostError, match="others may write to"):
        code["claim"](str(tmp_path / "venv"))
    assert not list((tmp_path / "venv").iterdir())
