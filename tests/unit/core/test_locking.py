"""A lock between processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.core import locking


def test_who_does_not_want_to_wait_is_told(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "lock"
    with locking.held(path, None), pytest.raises(BlockingIOError), locking.held(path, None):
        pytest.fail("two have it")
    with locking.held(path, waiting=None):
        assert path.exists()
