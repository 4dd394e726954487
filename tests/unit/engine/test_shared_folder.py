"""Whether a container sees the caller's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.core.errors import UsageError
from gpuenv.engine import shared_folder


def test_a_mark_is_there_and_goes(tmp_path: Path) -> None:
    with shared_folder.marked(tmp_path) as mark, shared_folder.marked(tmp_path) as other:
        assert sorted(tmp_path.iterdir()) == sorted([mark, other])
    assert list(tmp_path.iterdir()) == []


def test_a_mark_that_the_container_removed_is_no_error(tmp_path: Path) -> None:
    with shared_folder.marked(tmp_path) as mark:
        mark.unlink()


def test_a_folder_that_takes_no_file(tmp_path: Path) -> None:
    """As a network's file system that knows no root: the system says that root may write."""
    with pytest.raises(UsageError, match="cannot be written"), shared_folder.marked(tmp_path / "gone"):
        pass
