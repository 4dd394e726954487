from __future__ import annotations

import os
import pwd
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gpuenv import cli
from gpuenv.core import ownership, paths, variables
from gpuenv.core.errors import HostError, UsageError


def test_the_project_root_holds_what_the_readme_promises() -> None:
    root = paths.project_root()
    for name in ("docker", "envs", "tests", "Makefile", "README.md"):
        assert (root / name).exists(), name


def test_an_explicit_folder_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUENV_STATE_DIR", str(tmp_path / "s"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "x"))
    assert paths.state_dir() == (tmp_path / "s").resolve()
    assert (tmp_path / "s").is_dir()


def test_a_checkout_of_an_older_encoding_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = tmp_path / os.fsdecode(b"\xc7\xd1")
    (checkout / "envs").mkdir(parents=True)
    monkeypatch.setenv("GPUENV_STATE_DIR", str(tmp_path / "s"))
    monkeypatch.setenv("GPUENV_CACHE_DIR", str(tmp_path / "c"))
    with monkeypatch.context() as there:
        there.setattr(paths, "project_root", lambda: checkout)
        paths.state_dir()
    assert paths.other_checkouts() == [checkout]


def test_xdg_is_honored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert paths.cache_dir() == tmp_path / "gpuenv"


def test_a_home_that_cannot_be_written_falls_back_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A file in the way fails for root too, for whom a read-only mode means nothing.
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    assert Path("/var/tmp") == paths._FALLBACKS
    monkeypatch.setattr(paths, "_FALLBACKS", tmp_path)
    made = paths.cache_dir()
    assert made == tmp_path / f"gpuenv-{os.getuid()}/.cache"
    assert made.stat().st_uid == os.getuid()
    assert "GPUENV_CACHE_DIR" in capsys.readouterr().err


def test_an_explicit_folder_that_cannot_be_made_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GPUENV_STATE_DIR", str(tmp_path / "file" / "below"))
    with pytest.raises(HostError, match="GPUENV_STATE_DIR names it"):
        paths.state_dir()


def test_a_folder_with_other_things_in_it_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make clean` would remove what happens to be called like something of ours."""
    (tmp_path / "c" / "images").mkdir(parents=True)
    monkeypatch.setenv("GPUENV_CACHE_DIR", str(tmp_path / "c"))
    with pytest.raises(HostError, match="holds images, which is not ours") as caught:
        paths.cache_dir()
    assert caught.value.next_step.endswith(f"GPUENV_CACHE_DIR={tmp_path / 'c' / 'gpuenv'}")
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["images"]


def test_a_folder_that_was_empty_at_first_is_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("lost+found", ".snapshot"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("GPUENV_CACHE_DIR", str(tmp_path))
    assert paths.cache_dir() == tmp_path
    (tmp_path / "images").mkdir()
    assert paths.cache_dir() == tmp_path


def test_the_reports_of_an_installed_command_bear_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An earlier run's are removed, and a junit.xml in `reports` may be that of anything."""
    assert paths.reports_dir() == paths.project_root() / "reports"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paths, "is_checkout", lambda: False)
    assert paths.reports_dir() == tmp_path / "gpuenv-reports"
    monkeypatch.setattr(ownership, "problem", lambda path, **_: "somebody's" if path == tmp_path else None)
    assert paths.reports_dir() == paths.state_dir() / "reports", "in a folder of somebody else's"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to somebody else")
@pytest.mark.parametrize("theirs", ["", "state"])
def test_a_fallback_that_is_not_ours_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theirs: str) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "nonexistent"))
    monkeypatch.setattr(paths, "_FALLBACKS", tmp_path)
    folder = tmp_path / f"gpuenv-{os.getuid()}"
    folder.mkdir(mode=0o700)
    (folder / "state").symlink_to(tmp_path)
    os.chown(folder / theirs, 60_011, 60_011, follow_symlinks=False)
    with pytest.raises(HostError, match="60011") as caught:
        paths.state_dir()
    assert "GPUENV_STATE_DIR" in caught.value.next_step


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to somebody else")
def test_a_home_of_somebody_else_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As root has it in a container of a CI service that lends it the folder of its own user."""
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 60_011, 60_011)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(paths, "_FALLBACKS", tmp_path)
    assert paths.state_dir() == tmp_path / f"gpuenv-{os.getuid()}/state"
    assert f"{home} is of user 60011" in capsys.readouterr().err
    monkeypatch.setenv("SUDO_UID", "60011")
    assert paths.state_dir() == home / ".local/state/gpuenv"


@pytest.mark.parametrize("variable", ["GPUENV_CACHE_DIR", "XDG_CACHE_HOME"])
def test_a_folder_that_others_can_write_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    folder = tmp_path / "gpuenv"
    monkeypatch.setenv(variable, str(folder if variable.startswith("GPUENV") else tmp_path))
    paths.cache_dir()
    folder.chmod(0o777)
    with pytest.raises(HostError, match="0777"):
        paths.cache_dir()


def test_a_folder_of_before_is_closed_and_used_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    paths.cache_dir()
    (tmp_path / "gpuenv" / "sources").mkdir()
    (tmp_path / "gpuenv").chmod(0o755)
    assert paths.cache_dir().stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "gpuenv" / "sources").exists()


def test_a_home_that_is_not_there_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "nonexistent"))
    monkeypatch.setattr(paths, "_FALLBACKS", tmp_path)
    assert paths.state_dir() == tmp_path / f"gpuenv-{os.getuid()}/state"
    assert not (tmp_path / "nonexistent").exists()


@pytest.mark.parametrize("home", ["", None])
def test_a_home_that_is_not_set_is_the_users(home: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pwd, "getpwuid", lambda _: SimpleNamespace(pw_dir="/recorded"))
    monkeypatch.delenv("HOME")
    if home is not None:
        monkeypatch.setenv("HOME", home)
    variables.settle()
    assert os.environ["HOME"] == "/recorded"


def test_a_user_whom_nobody_knows_has_a_home_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    variables.settle()
    assert os.environ["HOME"] == "/"


def test_a_home_that_is_closed_to_this_user_counts_as_not_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = os.stat

    def stat(path: str, **options: Any) -> os.stat_result:
        # As after `su`; root itself may enter every folder.
        if path == "/another's/.":
            raise PermissionError(13, "Permission denied")
        return real(path, **options)

    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setattr(pwd, "getpwuid", lambda _: SimpleNamespace(pw_dir="/recorded"))
    monkeypatch.setenv("HOME", "/another's")
    variables.settle()
    assert os.environ["HOME"] == "/recorded"
    assert "HOME=/another's is closed to this user" in capsys.readouterr().err


@pytest.mark.parametrize("home", [".", "rel", "~", "-"])
def test_a_relative_home_is_refused_before_anything_is_made(
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", home)
    assert cli.main(["engine"]) == UsageError.exit_code
    assert capsys.readouterr().err.startswith(f"gpuenv: error: HOME={home} is not usable\n")
    assert list(tmp_path.iterdir()) == []


def test_folders_are_the_same_ones_for_every_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {
        "GPUENV_STATE_DIR": "state",
        "GPUENV_CACHE_DIR": "~/c a",
        "XDG_STATE_HOME": "relative",
        "XDG_RUNTIME_DIR": "./run",
        "XDG_CACHE_HOME": "/x",
        "TMPDIR": str(tmp_path / "missing"),
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    variables.settle()
    assert {name: os.environ.get(name) for name in given} == {
        "GPUENV_STATE_DIR": str(tmp_path / "state"),
        "GPUENV_CACHE_DIR": str(Path.home() / "c a"),
        "XDG_STATE_HOME": None,
        "XDG_RUNTIME_DIR": None,
        "XDG_CACHE_HOME": "/x",
        "TMPDIR": None,
    }
    assert [line.split("=")[0] for line in capsys.readouterr().err.splitlines()] == [
        f"gpuenv: warning: {name}" for name in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR", "TMPDIR")
    ]
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    variables.settle()
    assert os.environ["TMPDIR"] == str(tmp_path)
    # Nothing is said of what is not set, also by a user who may write nowhere.
    monkeypatch.delenv("TMPDIR")
    monkeypatch.setattr(os, "access", lambda *_: False)
    variables.settle()
    assert capsys.readouterr().err == ""


def test_where_a_file_system_has_no_links_a_file_is_the_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setenv("GPUENV_CACHE_DIR", str(tmp_path / "c"))
    monkeypatch.setenv("GPUENV_STATE_DIR", str(tmp_path / "s"))
    (tmp_path / "other" / "envs").mkdir(parents=True)
    with monkeypatch.context() as there:
        there.setattr(Path, "symlink_to", refused)
        there.setattr(paths, "project_root", lambda: tmp_path / "other")
        folder = paths.cache_dir()
    assert paths.is_marked(folder)
    assert paths.other_checkouts() == [tmp_path / "other"]
    paths.forget_checkouts(folder)
    assert not list(folder.iterdir())


def test_what_is_called_like_our_mark_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "checkouts" / "thesis").mkdir(parents=True)
    (tmp_path / "checkouts" / "0123456789ab").symlink_to(tmp_path)
    assert not paths.is_marked(tmp_path)
    monkeypatch.setenv("GPUENV_CACHE_DIR", str(tmp_path))
    with pytest.raises(HostError, match="holds checkouts, which is not ours"):
        paths.cache_dir()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to somebody else")
def test_a_folder_for_temporary_files_of_somebody_else_counts_as_not_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    os.chown(tmp_path, 60_011, 60_011)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    variables.settle()
    assert "TMPDIR" not in os.environ
    assert f"{tmp_path} is of user 60011" in capsys.readouterr().err


@pytest.mark.parametrize("content", [[], ["logs"]])
def test_an_empty_folder_called_like_our_mark_is_one_if_it_is_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: list[str]
) -> None:
    """As after a first start that was killed. The user's own are not cleaned away."""
    for name in ("checkouts", *content):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("GPUENV_STATE_DIR", str(tmp_path))
    assert paths.is_marked(tmp_path) is not bool(content)
    if content:
        with pytest.raises(HostError, match="holds checkouts, which is not ours"):
            paths.state_dir()
    else:
        assert paths.state_dir() == tmp_path


def test_what_stays_is_still_marked_and_of_the_other_checkouts_none_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPUENV_STATE_DIR", str(tmp_path))
    for root in (tmp_path / ".other", paths.project_root()):
        root.mkdir(exist_ok=True)
        with monkeypatch.context() as there:
            there.setattr(paths, "project_root", lambda root=root: root)
            paths.state_dir()
    (tmp_path / "thesis").mkdir()
    paths.forget_checkouts(tmp_path)
    assert [path.readlink() for path in (tmp_path / "checkouts").iterdir()] == [tmp_path]
    assert paths.state_dir() == tmp_path
    assert paths.other_checkouts() == []


def test_checkouts_that_are_no_more_are_forgotten_when_another_one_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPUENV_STATE_DIR", str(tmp_path / "s"))
    for name in ("a", "b"):
        with monkeypatch.context() as there:
            there.setattr(paths, "project_root", lambda name=name: tmp_path / name)
            paths.state_dir()
    assert [path.readlink().name for path in (tmp_path / "s" / "checkouts").iterdir()] == ["b"]


def test_a_folder_that_was_right_is_looked_at_no_more_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verb asks dozens of times, and every look is at the whole path."""
    monkeypatch.setenv("GPUENV_STATE_DIR", str(tmp_path / "s"))
    made = paths.state_dir()
    with monkeypatch.context() as there:
        there.setattr(paths, "_find_dir", None)
        assert paths.state_dir() == made
    paths.forget_checkouts(made)
    made.rmdir()
    assert paths.is_marked(paths.state_dir())
    monkeypatch.setenv("GPUENV_STATE_DIR", str(tmp_path / "t"))
    assert paths.state_dir() == tmp_path / "t"


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("variable", ["GPUENV_STATE_DIR", "XDG_STATE_HOME"])
def test_a_full_disk_is_said_and_moves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "x"))
    monkeypatch.setattr(paths, "_FALLBACKS", tmp_path / "fallbacks")
    with monkeypatch.context() as there:
        there.setattr(Path, "symlink_to", _full)
        with pytest.raises(HostError, match="the disk is full"):
            paths.state_dir()
    state = paths.state_dir()
    # What is marked by another checkout needs no room.
    monkeypatch.setattr(Path, "symlink_to", _full)
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path / "another")
    assert paths.state_dir() == state
    assert not (tmp_path / "fallbacks").exists()


def test_a_home_that_is_open_and_somebody_elses_counts_as_not_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    variables.settle()
    assert os.environ["HOME"] == str(home)
    monkeypatch.setattr(ownership, "problem", lambda path, **_: f"{path} is of M" if path == str(home) else None)
    variables.settle()
    assert os.environ["HOME"] == pwd.getpwuid(os.getuid()).pw_dir
    assert f"HOME={home} is not used ({home} is of M), so it counts as not set" in capsys.readouterr().err
