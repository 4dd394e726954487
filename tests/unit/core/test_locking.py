"""A lock between processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gpuenv.core import locking, ownership
from gpuenv.core.errors import HostError


def test_who_does_not_want_to_wait_is_told(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "lock"
    with locking.held(path, None), pytest.raises(BlockingIOError), locking.held(path, None):
        pytest.fail("two have it")
    with locking.held(path, waiting=None):
        assert path.exists()


def test_one_that_is_a_link_makes_nothing_where_that_leads(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "planted")
    with pytest.raises(HostError, match="is not used") as caught, locking.held(tmp_path / "lock", None):
        pytest.fail("it was followed")
    assert "it is a link" in caught.value.why
    assert not (tmp_path / "planted").exists()


def test_somebody_elses_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lock").touch()
    owner = (tmp_path / "lock").stat().st_uid
    monkeypatch.setattr(ownership, "callers", lambda: frozenset({owner + 1}))
    if owner == 0:
        os.chown(tmp_path / "lock", 60_011, 60_011)
    with pytest.raises(HostError, match="is not used"), locking.held(tmp_path / "lock", None):
        pytest.fail("it was taken")
