"""What of a work folder a container may write."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpuenv.core import mounts, paths
from gpuenv.core.errors import UsageError
from gpuenv.shell import own_code


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The command runs from ``home/src/gpuenv``, with its Python in ``home/python``."""
    home = tmp_path / "home"
    made, python = home / "src/gpuenv", home / "python"
    for folder in (made / "src/gpuenv", made / "envs", python):
        folder.mkdir(parents=True)
    monkeypatch.setattr(paths, "_PACKAGE", made / "src/gpuenv")
    monkeypatch.setattr(sys, "prefix", str(python))
    return made


def places(work: Path) -> list[tuple[str, str]]:
    """The mounts, in order: where inside, and how."""
    found = own_code.shared(work, "/work").mounts
    assert [Path(mount.source) for mount in found] == [work / mount.target[len("/work/") :] for mount in found]
    return [(mount.target, "ro" if mount.read_only else "rw") for mount in found]


def test_a_folder_elsewhere_is_the_users(checkout: Path, tmp_path: Path) -> None:
    course = tmp_path / "course"
    course.mkdir()
    assert places(course) == [("/work", "rw")]
    found = own_code.shared(course, "/work")
    assert (found.marked, found.note) == (course, "")
    assert not (checkout / "work").exists()


def test_an_environment_of_conda_is_what_it_runs_from_too(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its Python has no other one below it, as a virtual environment has."""
    home = checkout.parents[1]
    monkeypatch.setattr(sys, "base_prefix", sys.prefix)
    assert ("/work/python", "ro") not in places(home)
    (home / "python/conda-meta").mkdir()
    assert ("/work/python", "ro") in places(home)


def test_of_a_checkout_one_folder_can_be_written(checkout: Path) -> None:
    assert places(checkout) == [("/work", "ro"), ("/work/work", "rw")]
    found = own_code.shared(checkout, "/work")
    assert found.marked == checkout / "work"
    assert found.note == ", read-only but for /work/work, as gpuenv runs from there"


def test_a_checkout_in_the_folder_stays_where_it_is(checkout: Path) -> None:
    """A folder above it cannot be renamed, as it is mounted, too."""
    home = checkout.parents[1]
    expected = [("/work", "rw"), ("/work/python", "ro"), ("/work/src", "rw"), ("/work/src/gpuenv", "ro")]
    assert sorted(places(home)) == expected
    found = own_code.shared(home, "/work")
    assert found.marked == home
    assert found.note == ", but src/gpuenv and python in it read-only, as gpuenv runs from there"
    assert not (checkout / "work").exists(), "nobody asked for it"
    (checkout / "work").mkdir()
    assert sorted(places(home)) == [*expected, ("/work/src/gpuenv/work", "rw")]
    assert [len(Path(target).parts) for target, _ in places(home)] == [2, 3, 3, 4, 5]


def test_what_is_mounted_in_a_checkout_is_read_only_too(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for what is mounted in its user's folder."""
    monkeypatch.setattr(mounts, "find_below", lambda folder: [folder / "work/data", folder / "work", folder / ".venv"])
    assert sorted(places(checkout)) == [("/work", "ro"), ("/work/.venv", "ro"), ("/work/work", "rw")]


def test_a_folder_of_the_users_own_in_a_checkout(checkout: Path) -> None:
    for name in ("work", "work/lesson 1", "course"):
        (checkout / name).mkdir()
        assert places(checkout / name) == [("/work", "rw")]


@pytest.mark.parametrize("part", ["src", "src/gpuenv", "envs", ".venv", ".git/hooks", "reports", ".ci"])
def test_a_part_of_the_checkout_is_refused(checkout: Path, part: str) -> None:
    with pytest.raises(UsageError, match="gpuenv itself runs from") as caught:
        own_code.shared(checkout / part, "/work")
    assert caught.value.next_step == f"mkdir -p '{checkout}/work' and set WORK to that"


def test_the_parts_are_all_that_a_checkout_brings() -> None:
    root = paths.project_root()
    if not (root / ".git").exists():
        pytest.skip("no git here that knows them")
    listed = subprocess.run(["git", "-C", root, "ls-files", "-z"], capture_output=True, text=True, check=True).stdout
    folders = {name.partition("/")[0] for name in listed.split("\0") if "/" in name}
    assert {name for name in folders if not name.startswith(".")} <= set(own_code.PARTS)


@pytest.mark.parametrize("below", ["", "lib"])
def test_an_installed_command_is_not_worked_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkout: Path, below: str
) -> None:
    site = tmp_path / "venv/lib/site-packages/gpuenv"
    site.mkdir(parents=True)
    monkeypatch.setattr(paths, "_PACKAGE", site)
    monkeypatch.setattr(paths, "__file__", str(site / "core/paths.py"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    with pytest.raises(UsageError) as caught:
        own_code.shared(tmp_path / "venv" / below, "/work")
    assert caught.value.next_step == "set WORK to a folder of your own"
    assert places(tmp_path) == [("/work", "rw"), ("/work/venv", "ro")]
    # Without an environment of its own it is the package alone.
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    assert ("/work/venv/lib/site-packages/gpuenv", "ro") in places(tmp_path)


def test_a_link_is_not_the_users_folder(checkout: Path, tmp_path: Path) -> None:
    """Inside it would lead to another place."""
    (checkout / "work").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="is not a folder") as caught:
        own_code.shared(checkout, "/work")
    assert caught.value.next_step == f"WORK='{checkout}/work'"
    assert ("/work/src/gpuenv/work", "rw") not in places(checkout.parents[1])


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_under_sudo_the_folder_is_the_checkouts_owners(checkout: Path) -> None:
    os.chown(checkout, 1234, 1235)
    own_code.shared(checkout, "/work")
    info = (checkout / "work").stat()
    assert (info.st_uid, info.st_gid) == (1234, 1235)


def test_a_folder_that_cannot_be_made(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UsageError, match="work cannot be made"):
        own_code.shared(checkout, "/work")
