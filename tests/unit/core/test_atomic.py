"""Files written whole, and folders removed without losing whose they are."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from pathlib import Path

import pytest

from gpuenv.core import atomic


def test_a_text_is_written_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "file"
    atomic.write_text(path, "old")
    atomic.write_text(path, "환경\r\n\n")
    assert path.read_bytes() == "환경\r\n\n".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_whatever_fails_leaves_the_old_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    atomic.write_text(path, "old")

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="No space left"):
            atomic.write_text(path, "new")
    assert path.read_text() == "old"
    # What that left beside it is written over, and nobody waits for it.
    atomic.write_text(path, "newer")
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_beside_is_written_to_the_disk_before_it_takes_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    order: list[str] = []
    fsync = os.fsync

    def sync(descriptor: int) -> None:
        place = Path(f"/proc/self/fd/{descriptor}").readlink()
        order.append(f"{place.relative_to(tmp_path)} {path.exists()}")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    atomic.write_text(path, "new")
    assert order == [".file.new False", ". True"]


def test_a_folder_is_removed_with_what_is_in_it_and_no_link_is_followed(tmp_path: Path) -> None:
    folder, other = tmp_path / "folder", tmp_path / "other"
    for place in (folder / "deep" / "deeper", other):
        place.mkdir(parents=True)
        (place / "file").touch()
    (folder / "link").symlink_to(other)
    (folder / "whole").touch()
    atomic.remove_folder(folder, "whole", "begun")
    assert not folder.exists()
    assert (other / "file").exists()


def test_from_the_first_moment_it_is_half_a_folder_and_still_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "whole").touch()

    def fail(_: Path) -> None:
        raise OSError(errno.EBUSY, "a program writes there")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", fail)
        with pytest.raises(OSError, match="a program writes there"):
            atomic.remove_folder(tmp_path, "whole", "begun")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["begun", "deep"]
    atomic.remove_folder(tmp_path, "whole", "begun")
    assert not tmp_path.exists()


def test_what_lies_beside_the_file_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / ".file.new").symlink_to("theirs")
    atomic.write_text(tmp_path / "file", "ours", mode=0o600)
    assert (tmp_path / "theirs").read_text() == "theirs"
    assert (tmp_path / "file").read_text() == "ours"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


@pytest.mark.timeout(10)
def test_nobody_waits_for_whoever_holds_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "file"
    holder = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        atomic.write_text(path, "new")
    finally:
        os.close(holder)
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_read_up_to_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"four")
    assert atomic.read_bytes(path, 4) == b"four"
    with pytest.raises(OSError, match="it has more than 3 bytes"):
        atomic.read_bytes(path, 3)
    with pytest.raises(FileNotFoundError, match="it is no file"):
        atomic.read_bytes(Path("/dev/zero"), 3)
