"""Whose an environment is. What a second user does is in tests/attacks."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from gpuenv.core import ownership
from gpuenv.core.errors import HostError
from gpuenv.core.settings import Settings
from gpuenv.prefix import choice, making, trust
from gpuenv.prefix import folder as prefixes
from gpuenv.prefix.folder import Content, Prefix
from gpuenv.prefix.making import Making


@pytest.fixture
def prefix(tmp_path: Path) -> Prefix:
    return prefixes.place(Content("venv", "cuda10.0", "cpu", "d1"), tmp_path / "env")


def fill(making: Making) -> None:
    making.claim()
    (making.prefix.folder / "bin").mkdir()
    making.prefix.python.touch()
    making.prefix.python.chmod(0o777)


@pytest.fixture
def made(prefix: Prefix) -> Path:
    return making.ensure(prefix, fill)


@pytest.fixture
def somebody_else(monkeypatch: pytest.MonkeyPatch) -> int:
    """Have whatever this user made belong to somebody else; returns their number."""
    monkeypatch.setattr(trust, "is_own", lambda _: False)
    return os.getuid()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize(("umask", "expected"), [(0o002, 0o755), (0o000, 0o755), (0o022, 0o755), (0o077, 0o700)])
def test_what_is_made_is_closed_and_the_umask_is_as_before(prefix: Prefix, umask: int, expected: int) -> None:
    before = os.umask(umask)
    try:
        folder = making.ensure(prefix, fill)
    finally:
        assert os.umask(before) == umask
    assert [mode(folder), mode(folder / "bin"), mode(prefix.python)] == [expected, expected, 0o755]


def test_what_was_unpacked_with_modes_of_its_own_is_closed_and_links_are_left_alone(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "env"
    (folder / "lib").mkdir(parents=True)
    for path in (outside, folder / "lib" / "module.py"):
        path.touch()
        path.chmod(0o666)
    (folder / "lib" / "link").symlink_to(outside)
    (folder / "lib").chmod(0o2777)
    trust.close(folder)
    assert (mode(folder / "lib" / "module.py"), (folder / "lib").stat().st_mode & 0o7777) == (0o644, 0o2755)
    assert mode(outside) == 0o666


@pytest.mark.parametrize("part", ["", "gpuenv-complete", "bin", "bin/python"])
def test_one_that_others_could_write_to_does_not_count(prefix: Prefix, made: Path, part: str) -> None:
    assert prefixes.is_complete(prefix)
    (made / part).chmod(0o757)
    assert not prefixes.is_complete(prefix)
    with pytest.raises(HostError, match=f"the environment {made} is not used") as caught:
        making.ensure(prefix, lambda _: pytest.fail("it was made"))
    assert f"{made / part} (of " in caught.value.why
    assert "mode 0757" in caught.value.why
    assert caught.value.next_step.startswith(f"`chmod -R go-w {made}` if nobody else")
    with pytest.raises(HostError, match="is not used"):
        choice.find_mark(Settings(prefix=made))


def test_without_a_prefix_no_folder_is_looked_at() -> None:
    assert choice.find_mark(Settings()) is None


@pytest.mark.parametrize(("uid", "way_out"), [(0, "run this as its owner, or name"), (7, "name another folder with")])
def test_that_of_somebody_else_is_not_closed_but_left(
    made: Path, monkeypatch: pytest.MonkeyPatch, uid: int, way_out: str
) -> None:
    monkeypatch.setattr(ownership, "problem", lambda path: f"{path} is theirs")
    monkeypatch.setattr(ownership, "callers", lambda: frozenset({uid}))
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(Path, "lstat", lambda _: SimpleNamespace(st_uid=4_000_000))
    with pytest.raises(HostError) as caught:
        trust.check(made)
    assert caught.value.why == f"{made} is theirs"
    assert caught.value.next_step.startswith(way_out)


def test_what_lies_in_a_folder_that_anybody_may_write_to_is_named_another(tmp_path: Path, prefix: Prefix) -> None:
    """To close the environment would not help."""
    making.ensure(prefix, fill)
    tmp_path.chmod(0o777)
    with pytest.raises(HostError, match="is not used") as caught:
        making.ensure(prefix, fill)
    assert caught.value.why.startswith(f"anybody may write to {tmp_path} ")
    assert caught.value.next_step.startswith("name another folder with PREFIX=")


def test_nothing_is_filled_where_anybody_could_exchange_it(tmp_path: Path, prefix: Prefix) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(HostError, match="is no place for an environment"):
        making.ensure(prefix, lambda _: pytest.fail("it was made"))
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_made_anew_whatever_its_mode(prefix: Prefix) -> None:
    prefix.folder.mkdir()
    prefix.folder.chmod(0o777)
    assert mode(making.ensure(prefix, fill)) == 0o755


def test_one_that_cannot_be_looked_at_is_told(monkeypatch: pytest.MonkeyPatch, made: Path) -> None:
    def refuse(_: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(made))

    monkeypatch.setattr(Path, "is_dir", refuse)
    with pytest.raises(HostError) as caught:
        trust.check(made)
    assert caught.value.why == f"{made} cannot be looked at: Permission denied"


def test_another_users_is_neither_removed_nor_made_anew(made: Path, prefix: Prefix, somebody_else: int) -> None:
    assert not prefixes.is_ours(made)
    with pytest.raises(PermissionError, match="belongs to somebody else"):
        prefixes.remove(made)
    with pytest.raises(HostError, match="is there already, and it is another user's") as caught:
        prefixes.refuse_foreign(prefix)
    assert f"it belongs to user {somebody_else}" in caught.value.why
    assert prefix.python.exists()


@pytest.mark.parametrize(
    ("uid", "owner", "expected"), [(0, 0, True), (0, 7, True), (0, 8, False), (7, 7, True), (7, 0, False)]
)
def test_roots_is_made_anew_by_root_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, owner: int, expected: bool
) -> None:
    """By `sudo` what who typed it made is root's, too."""
    monkeypatch.setenv("SUDO_UID", "7")
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(Path, "lstat", lambda _: SimpleNamespace(st_uid=owner))
    assert trust.is_own(tmp_path) is expected


def test_the_mark_of_what_is_half_made_is_written_through_no_link(tmp_path: Path) -> None:
    (tmp_path / "gpuenv-begun").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        trust.mark_begun(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_what_is_there_when_it_is_made_was_made_by_somebody_else(prefix: Prefix) -> None:
    def be_late(making: Making) -> None:
        making.prefix.folder.mkdir()
        making.claim()

    with pytest.raises(HostError, match="is no place for an environment") as caught:
        making.ensure(prefix, be_late)
    assert caught.value.why == "somebody made it at this moment"


def test_nothing_is_run_in_what_somebody_else_made_meanwhile(prefix: Prefix, somebody_else: int) -> None:
    def be_late(making: Making) -> None:
        making.prefix.folder.mkdir()
        making.run(["touch", str(making.prefix.folder / "ran")])

    with pytest.raises(HostError, match="is no place for an environment") as caught:
        making.ensure(prefix, be_late)
    assert caught.value.why == f"it is of user {somebody_else}, who made it at this moment"
    assert not (prefix.folder / "ran").exists()


def test_a_program_that_takes_what_is_there_makes_none_where_anybody_could(tmp_path: Path) -> None:
    """One level below, where only its owner could, it does."""
    tmp_path.chmod(0o1777)
    with pytest.raises(HostError, match="is no place for an environment") as caught:
        trust.check_maker(tmp_path / "env", "micromamba")
    assert caught.value.next_step.endswith(f"PREFIX={tmp_path}/env/env")
    (tmp_path / "env").mkdir(mode=0o755)
    trust.check_maker(tmp_path / "env" / "env", "micromamba")


def test_what_cannot_be_looked_at_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As below a folder of somebody else's: one host's failure, and not that of all."""

    def refuse(folder: Path) -> bool:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))

    monkeypatch.setattr(Path, "is_dir", refuse)
    assert trust.problem(tmp_path) == f"{tmp_path} cannot be looked at: Permission denied"
