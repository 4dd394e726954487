from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from gpuenv.prefix import pip
from gpuenv.variants.locks import Lock, Pin


def lock_of(*contents: bytes) -> Lock:
    pins = (
        Pin(name, "1", None, (hashlib.sha256(content).hexdigest(),), f"{name}-1.whl", "")
        for name, content in zip("abcdef", contents)
    )
    return Lock(Path("x"), tuple(pins), "", "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "a-1.whl").write_bytes(b"a")
    (folder / "b-1.whl").write_bytes(b"b")
    (folder / "unlocked-1.whl").write_bytes(b"u")
    return folder


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    (tmp_path / "copies").mkdir()
    return tmp_path / "copies"


def test_pip_gets_copies_of_what_the_lock_names(folder: Path, copies: Path) -> None:
    assert pip.local_files(lock_of(b"a", b"b"), folder, copies) == ["--no-index", "--find-links", str(copies)]
    assert {path.name: path.read_bytes() for path in copies.iterdir()} == {"a-1.whl": b"a", "b-1.whl": b"b"}


def test_the_index_is_asked_for_the_rest(folder: Path, copies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pip.local_files(lock_of(b"a", b"other", b"c"), folder, copies) == ["--find-links", str(copies)]
    assert [path.name for path in copies.iterdir()] == ["a-1.whl"]
    assert "b-1.whl of SOURCES_DIR is another file than the lock names" in capsys.readouterr().err


def test_without_a_folder_pip_asks_the_index(copies: Path) -> None:
    assert pip.local_files(lock_of(b"a"), None, copies) == []
