from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from gpuenv.core import closed, ownership
from gpuenv.core.errors import HostError

_STRANGER = 60_011
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to somebody else")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A closed folder of the caller's own."""
    folder = tmp_path / "place"
    folder.mkdir(mode=0o700)
    return folder


def test_what_is_the_callers_or_roots_may_be_trusted(place: Path) -> None:
    (place / "file").write_text("")
    assert ownership.problem(place / "file") is None
    assert ownership.problem(place, private=True) is None
    assert ownership.problem("/usr/bin/env") is None
    assert ownership.problem("/") is None


@pytest.mark.parametrize("mode", [0o666, 0o602])
def test_what_others_may_write_to_is_a_problem_that_names_owner_and_mode(place: Path, mode: int) -> None:
    file = place / "file"
    file.write_text("")
    file.chmod(mode)
    why = ownership.problem(file)
    assert why is not None
    assert f"({os.getuid()})" in why
    assert f"{mode:04o}" in why


def test_a_folder_on_the_way_that_anybody_may_write_to_is_a_problem_unless_it_is_sticky(place: Path) -> None:
    (place / "open" / "mine").mkdir(parents=True)
    (place / "open").chmod(0o777)
    assert f"anybody may write to {place / 'open'}" in str(ownership.problem(place / "open" / "mine"))
    (place / "open").chmod(0o1777)
    assert ownership.problem(place / "open" / "mine") is None


def test_a_folder_on_the_way_that_a_group_may_write_to_is_none(place: Path) -> None:
    (place / "lab" / "mine").mkdir(parents=True)
    (place / "lab").chmod(0o2775)
    assert ownership.problem(place / "lab" / "mine") is None


@as_root
def test_a_part_of_somebody_else_is_a_problem_wherever_it_is(place: Path) -> None:
    (place / "theirs" / "mine").mkdir(parents=True)
    os.chown(place / "theirs", _STRANGER, _STRANGER)
    for path in (place / "theirs", place / "theirs" / "mine"):
        assert f"{place / 'theirs'} is of user {_STRANGER}" in str(ownership.problem(path))


@as_root
def test_a_link_is_its_owners_word(place: Path) -> None:
    (place / "target").mkdir()
    (place / "link").symlink_to("target")
    assert ownership.problem(place / "link") is None
    os.chown(place / "link", _STRANGER, _STRANGER, follow_symlinks=False)
    assert f"{place / 'link'} is a link of user {_STRANGER}" in str(ownership.problem(place / "link"))


@as_root
def test_what_a_link_leads_to_is_looked_at_in_the_same_way(place: Path) -> None:
    (place / "a" / "theirs" / "target").mkdir(parents=True)
    os.chown(place / "a" / "theirs", _STRANGER, _STRANGER)
    (place / "link").symlink_to("a/../a/./theirs/target")
    assert f"{place / 'a/theirs'} is of" in str(ownership.problem(place / "link"))


def test_links_in_a_circle_and_what_is_not_there_cannot_be_looked_at(place: Path) -> None:
    (place / "round").symlink_to("round")
    assert "cannot be looked at" in str(ownership.problem(place / "round"))
    assert f"{place / 'none'} cannot be looked at" in str(ownership.problem(place / "none"))


def test_a_link_may_lead_to_a_folder_above_it(place: Path) -> None:
    (place / "up").symlink_to("..")
    (place / "root").symlink_to("/")
    assert ownership.problem(place / "up" / "place") is None
    assert ownership.problem(place / "up") is None
    assert ownership.problem(place / "root") is None


def test_the_mode_of_a_socket_is_its_owners_affair(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)  # the name of a socket has at most 107 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        (place / "s").chmod(0o666)
        assert ownership.problem("s") is None


@as_root
def test_by_sudo_what_is_of_the_user_who_typed_it_is_the_callers(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(place, _STRANGER, _STRANGER)
    assert ownership.problem(place) is not None
    monkeypatch.setenv("SUDO_UID", str(_STRANGER))
    assert ownership.problem(place, private=True) is None
    monkeypatch.setattr(os, "geteuid", lambda: _STRANGER + 1)
    assert ownership.problem(place) is not None


@as_root
def test_whose_program_runs_here_is_trusted_without_more(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(place, _STRANGER, _STRANGER)
    monkeypatch.setattr(ownership, "_program_owners", lambda: frozenset({_STRANGER}))
    assert ownership.problem(place) is None
    monkeypatch.setattr(os, "geteuid", lambda: _STRANGER + 1)
    assert ownership.problem(place) is None
    assert ownership.problem(place, private=True) is not None


@as_root
def test_a_folder_that_only_leads_to_what_is_used_may_be_roots_or_open_to_a_group(place: Path) -> None:
    place.chmod(0o2775)
    assert ownership.problem(place, is_last=False) is None
    os.chown(place, _STRANGER, _STRANGER)
    assert ownership.problem(place, is_last=False) is not None


@as_root
def test_what_is_private_is_not_roots(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: _STRANGER)
    assert ownership.problem("/usr") is None
    assert "which is not you" in str(ownership.problem("/usr", private=True))


def test_in_a_user_namespace_the_owner_of_all_is_root(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = SimpleNamespace(st_uid=65534, st_mode=stat.S_IFDIR | 0o755, st_gid=65534)
    tmp = SimpleNamespace(st_uid=65534, st_mode=stat.S_IFDIR | 0o1777, st_gid=65534)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for way, last, is_trusted in (
        ([("/", closed)], ("/usr", closed), True),
        ([("/", closed)], ("/tmp", tmp), True),
        ([("/", closed), ("/tmp", tmp)], ("/tmp/x", closed), False),
    ):
        assert (ownership.problem_on([*way, last]) is None) is is_trusted  # type: ignore[list-item]
        assert (ownership.foreign(way, last, private=False) is None) is is_trusted  # type: ignore[arg-type]


def test_an_owner_that_cannot_be_asked_for_is_said(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The home of somebody else on a server that squashes root."""

    def squashed(path: str) -> os.stat_result:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "lstat", squashed)
    assert ownership.problem(place) == "/ cannot be looked at: Permission denied"


def test_an_error_has_the_owner_the_mode_and_the_way_out(place: Path) -> None:
    place.chmod(0o777)
    with pytest.raises(HostError) as caught:
        ownership.check(place, way_out="do that")
    assert str(place) in caught.value.what
    assert "0777" in caught.value.why
    assert caught.value.next_step == "do that"


@pytest.fixture(params=[0o000, 0o002, 0o022, 0o077])
def umask(request: pytest.FixtureRequest, place: Path) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_a_private_folder_is_closed_whatever_the_umask(place: Path) -> None:
    closed.folder(place / "a" / "b")
    for folder in (place / "a", place / "a" / "b"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.usefixtures("umask")
def test_a_file_of_ours_is_closed_whatever_the_umask(place: Path) -> None:
    (place / "old").write_text("old")
    for name in ("old", "new"):
        with open(place / name, "ab", opener=closed.opener):
            pass
        assert stat.S_IMODE((place / name).stat().st_mode) == 0o600
    assert (place / "old").read_text() == "old"
    (place / "link").symlink_to("old")
    with pytest.raises(OSError, match="link"):
        closed.opener(str(place / "link"), os.O_WRONLY)


def test_a_folder_that_others_could_read_is_closed_once(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "theirs").write_text("")
    place.chmod(0o755)
    for _ in range(2):
        closed.folder(place)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert capsys.readouterr().err.count("its mode was 0755") == 1


def test_a_folder_that_others_could_write_to_is_closed_if_it_is_empty(place: Path) -> None:
    place.chmod(0o777)
    closed.folder(place)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    (place / "venvs").mkdir()
    place.chmod(0o777)
    with pytest.raises(HostError, match="not empty") as caught:
        closed.folder(place)
    assert f"chmod 700 {place}" in caught.value.next_step
    assert stat.S_IMODE(place.stat().st_mode) == 0o777


def test_a_folder_for_everybody_is_not_taken_for_oneself(place: Path) -> None:
    place.chmod(0o1777)
    with pytest.raises(HostError, match="for everybody"):
        closed.folder(place)
    assert stat.S_IMODE(place.stat().st_mode) == 0o1777


@as_root
def test_a_folder_of_somebody_else_is_refused_and_nothing_is_made_in_it(place: Path) -> None:
    (place / "theirs").mkdir()
    os.chown(place / "theirs", _STRANGER, _STRANGER)
    for folder in (place / "theirs", place / "theirs" / "new" / "below"):
        with pytest.raises(HostError, match=f"of user {_STRANGER}"):
            closed.folder(folder)
    assert not list((place / "theirs").iterdir())


def test_a_file_is_no_folder(place: Path) -> None:
    (place / "file").write_text("")
    with pytest.raises(HostError, match="no folder"):
        closed.folder(place / "file")


@pytest.mark.parametrize(
    ("group", "members", "is_shared", "is_own"),
    [
        ("anna", [], False, True),
        ("anna", ["anna"], False, True),
        ("anna", ["ben"], False, False),
        ("lab", [], False, False),
        # A group does not list those whose first one it is: all users are asked where the numbers differ.
        ("anna", [], True, False),
    ],
)
def test_a_group_of_the_owners_alone_is_nobody_else(
    place: Path, monkeypatch: pytest.MonkeyPatch, group: str, members: list[str], *, is_shared: bool, is_own: bool
) -> None:
    uid, gid = os.getuid(), place.stat().st_gid
    anna, ben = (SimpleNamespace(pw_name="anna", pw_uid=uid, pw_gid=gid), SimpleNamespace(pw_uid=uid + 1, pw_gid=gid))
    state = place.stat()
    monkeypatch.setattr("pwd.getpwuid", lambda _: anna)
    monkeypatch.setattr("grp.getgrgid", lambda _: SimpleNamespace(gr_name=group, gr_mem=members))
    monkeypatch.setattr("pwd.getpwall", lambda: [anna, ben] if is_shared else [anna])
    info = SimpleNamespace(st_uid=uid, st_gid=gid, st_mode=state.st_mode | stat.S_IWGRP)
    if is_shared:
        info.st_gid = anna.pw_gid = ben.pw_gid = uid + 1_000
    assert ownership.is_closed(info) is is_own  # type: ignore[arg-type]
    anna.pw_gid += 1
    assert not ownership.is_closed(info), "it is not the owner's first group"  # type: ignore[arg-type]


def test_where_both_numbers_are_the_same_not_all_users_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory service may have a hundred thousand."""
    uid = os.getuid()
    monkeypatch.setattr("pwd.getpwuid", lambda _: SimpleNamespace(pw_name="anna", pw_uid=uid, pw_gid=uid))
    monkeypatch.setattr("grp.getgrgid", lambda _: SimpleNamespace(gr_name="anna", gr_mem=[]))
    monkeypatch.setattr("pwd.getpwall", None)
    info = SimpleNamespace(st_uid=uid, st_gid=uid, st_mode=stat.S_IFREG | 0o664)
    assert ownership.is_closed(info)  # type: ignore[arg-type]


@pytest.mark.parametrize(("uid", "mode", "is_closed"), [(0, 0o644, True), (0, 0o646, False), (_STRANGER, 0o600, False)])
def test_a_file_that_was_opened_is_closed_if_nobody_else_may_write(uid: int, mode: int, *, is_closed: bool) -> None:
    info = SimpleNamespace(st_uid=uid, st_gid=uid, st_mode=stat.S_IFREG | mode)
    assert ownership.is_closed(info) is is_closed  # type: ignore[arg-type]


def test_from_a_current_folder_that_has_been_removed_the_rest_is_looked_at(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "gone").mkdir()
    monkeypatch.chdir(place / "gone")
    (place / "gone").rmdir()
    assert ownership.problem(place) is None
    assert "file cannot be looked at" in str(ownership.problem("file"))
    monkeypatch.chdir(place)


@pytest.fixture
def tools(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The Python that runs lies in a folder that is open to everybody, as the cache of tools of a CI service."""
    python = place / "tools" / "3.11" / "python3"
    python.parent.mkdir(parents=True)
    python.write_text("")
    for path in (python, python.parent, python.parent.parent):
        path.chmod(0o777)
    monkeypatch.setattr(sys, "executable", str(python))
    for cached in (ownership._python, ownership._program_owners):
        cached.cache_clear()
    yield python
    monkeypatch.undo()
    for cached in (ownership._python, ownership._program_owners):
        cached.cache_clear()


def test_the_python_that_runs_is_trusted_already(tools: Path, place: Path) -> None:
    (place / "link").symlink_to(tools)
    assert ownership.problem(tools) is None
    assert ownership.problem(place / "link") is None
    (tools.parent / "other").write_text("")
    assert "anybody may write" in str(ownership.problem(tools.parent / "other"))


@as_root
def test_whose_python_runs_here_is_trusted_and_a_strangers_link_to_it_is_not(tools: Path, place: Path) -> None:
    os.chown(tools, _STRANGER, _STRANGER)
    (place / "theirs").mkdir()
    os.chown(place / "theirs", _STRANGER, _STRANGER)
    assert _STRANGER in ownership.callers()
    assert ownership.problem(place / "theirs") is None
    (place / "link").symlink_to(tools)
    os.chown(place / "link", _STRANGER + 1, -1, follow_symlinks=False)
    assert f"a link of user {_STRANGER + 1}" in str(ownership.problem(place / "link"))


@as_root
def test_by_sudo_what_is_made_in_a_users_folder_is_the_users(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(place, _STRANGER, _STRANGER + 1)
    monkeypatch.setenv("SUDO_UID", str(_STRANGER))
    closed.folder(place / "a" / "b")
    for folder in (place / "a", place / "a" / "b"):
        assert (folder.stat().st_uid, folder.stat().st_gid) == (_STRANGER, _STRANGER + 1)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@as_root
def test_a_folder_of_roots_in_ones_own_is_taken_back(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "root's" / "x").mkdir(parents=True)
    os.chown(place, _STRANGER, _STRANGER)
    monkeypatch.setattr(os, "geteuid", lambda: _STRANGER)
    monkeypatch.setattr(ownership, "_program_owners", frozenset)
    with pytest.raises(HostError, match="which is not you") as caught:
        closed.folder(place / "root's")
    assert 'sudo chown -R "$(id -u)"' in caught.value.next_step


def test_a_group_of_another_name_is_somebody_else(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grp.getgrgid", lambda _: SimpleNamespace(gr_name="users", gr_mem=[]))
    place.chmod(0o775)
    assert "0775" in str(ownership.problem(place))


def test_where_a_file_system_keeps_no_modes_others_may_read_but_not_write(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place.chmod(0o755)
    with monkeypatch.context() as there:
        there.setattr(Path, "chmod", lambda *_: None)
        closed.folder(place)
    assert capsys.readouterr().err == ""
    place.chmod(0o777)
    monkeypatch.setattr(Path, "chmod", lambda *_: None)
    with pytest.raises(HostError, match="does not let that be changed"):
        closed.folder(place)
