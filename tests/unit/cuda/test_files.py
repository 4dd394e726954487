from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gpuenv.core import paths
from gpuenv.cuda import files


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
