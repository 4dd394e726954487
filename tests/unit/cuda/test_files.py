from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from gpuenv.core import paths
from gpuenv.core.errors import SourceError
from gpuenv.cuda import files
from gpuenv.variants.cuda_lock import Source

CONTENT = b"an archive" * 1000


def source_of(content: bytes, size: int | None = None) -> Source:
    return Source(
        url="http://i.invalid/a.tar",
        sha256=hashlib.sha256(content).hexdigest(),
        origin="first",
        unpack="tar",
        size=size,
    )


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "a.tar"
    path.write_bytes(CONTENT)
    path.chmod(0o644)
    return path


def test_a_file_of_ones_own_is_hashed_and_read_through_one_descriptor(archive: Path, tmp_path: Path) -> None:
    with files.open_verified(archive, source_of(CONTENT), tmp_path / "no place for copies") as stream:
        archive.rename(tmp_path / "away")
        archive.write_bytes(b"evil")
        assert stream.read() == CONTENT


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o622])
def test_what_others_may_write_to_is_copied_first(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    archive.chmod(mode)
    # Else a group of the user's own is nobody else.
    monkeypatch.setattr("grp.getgrgid", lambda _: SimpleNamespace(gr_name="users", gr_mem=[]))
    with files.open_verified(archive, source_of(CONTENT), tmp_path) as stream:
        with archive.open("r+b") as same_file:
            same_file.write(b"evil")
        assert stream.read() == CONTENT
        assert [path.name for path in tmp_path.iterdir()] == ["a.tar"], "the copy has no name"


@pytest.mark.parametrize(
    ("size", "told"),
    [(9, "it has 10000 bytes, expected 9"), (10_001, "expected 10001"), (None, "expected at most 5000")],
)
def test_another_size_is_refused_before_anything_is_read(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int | None, told: str
) -> None:
    monkeypatch.setattr(files, "LIMIT_BYTES", 5000)
    monkeypatch.setattr(files, "_hashed", None)
    with pytest.raises(SourceError, match=r"a\.tar of first is refused") as error:
        files.open_verified(archive, source_of(CONTENT, size), tmp_path)
    assert told in error.value.why


def test_the_size_that_a_lock_tells_counts_above_all(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LIMIT_BYTES", 5000)
    files.open_verified(archive, source_of(CONTENT, len(CONTENT)), tmp_path).close()


def test_a_file_that_is_too_large_is_not_looked_into(tmp_path: Path) -> None:
    with (tmp_path / "another").open("wb") as stream:
        stream.truncate(1 << 40)
    assert files.find_by_digest(tmp_path, [source_of(CONTENT)]) is None


def test_what_would_never_end_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(FileNotFoundError, match="it is no file"):
            files.sha256_of(path)


def test_a_copy_is_there_only_if_its_hash_is_right(archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    assert not files.copy_verified(archive, ["0" * 64], target)
    assert not target.exists()
    assert files.copy_verified(archive, ["0" * 64, hashlib.sha256(CONTENT).hexdigest()], target)
    assert target.read_bytes() == CONTENT


class Filling:
    """Fills the cache with two libraries, and counts how often it has to."""

    count = 0

    def __call__(self, folder: Path) -> None:
        assert not list(folder.iterdir())
        for name in ("liba.so.1", "libb.so.1"):
            (folder / name).write_bytes(name.encode())
        self.count += 1

    def get(self) -> Path:
        return files.keep(paths.cache_dir() / "libraries" / "x", "trying it", self)


def test_it_is_filled_once() -> None:
    filling = Filling()
    assert filling.get() == filling.get()
    assert filling.count == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "liba.so.1").write_bytes(b"other"),
        lambda folder: (folder / "liba.so.1").unlink(),
        lambda folder: (folder / "sha256.json").write_text("{"),
        lambda folder: (folder / "sha256.json").unlink(),
    ],
)
def test_what_is_not_whole_is_filled_again(damage: Callable[[Path], object]) -> None:
    filling = Filling()
    damage(filling.get())
    assert (filling.get() / "liba.so.1").read_bytes() == b"liba.so.1"
    assert filling.count == 2


def test_a_filling_that_fails_leaves_nothing() -> None:
    def fail(folder: Path) -> None:
        (folder / "liba.so.1").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.keep(paths.cache_dir() / "libraries" / "x", "trying it", fail)
    filling = Filling()
    assert {path.name for path in filling.get().iterdir()} == {"liba.so.1", "libb.so.1", "sha256.json"}
    assert filling.count == 1


def test_the_libraries_are_linked_and_the_sums_stay(tmp_path: Path) -> None:
    folder = Filling().get()
    files.link_into(folder, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"liba.so.1", "libb.so.1"}
    assert (tmp_path / "liba.so.1").read_bytes() == b"liba.so.1"


def test_no_file_of_another_size_is_copied(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, hashes = tmp_path / "copy", [hashlib.sha256(CONTENT).hexdigest()]
    assert files.copy_verified(archive, hashes, target, len(CONTENT))
    monkeypatch.setattr(files, "_copy", None)
    for size in (len(CONTENT) - 1, len(CONTENT) + 1):
        assert not files.copy_verified(archive, hashes, target, size)
    monkeypatch.setattr(files, "LIMIT_BYTES", 5000)
    assert not files.copy_verified(archive, hashes, target)


def test_a_renamed_archive_is_looked_for_among_what_has_its_size(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = source_of(CONTENT, len(CONTENT))
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    (tmp_path / "a" / "0").write_bytes(b"another size")
    monkeypatch.setattr(files, "SEARCH_BYTES", len(CONTENT))
    renamed = archive.rename(tmp_path / "a" / "1")
    assert files.find_by_digest(tmp_path / "a", [source]) == (renamed, source)
    for name in ("0", "1"):
        (tmp_path / "b" / name).write_bytes(b"x" * len(CONTENT))
    assert files.find_by_digest(tmp_path / "b", [source]) is None
    assert "too much to look for a renamed archive" in capsys.readouterr().err
