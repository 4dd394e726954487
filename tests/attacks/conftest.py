"""Another user of the machine, and an ordinary one: what the first does to the files of the second, for real.

Users are numbers: no account is made. Where root does not run them nobody else can be played: they are skipped.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import suites
from tiny.people import Person

#: Seconds for one test; each takes a few (two cores).
TIMEOUT_S = 300
#: Far from those of people and of services.
_STRANGER, _VICTIM = 60_011, 60_012


def pytest_configure(config: pytest.Config) -> None:
    suites.prepare(config)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Limit the time of every test of this folder that sets no limit itself."""
    if item.get_closest_marker("timeout") is None:
        item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.fixture
def ground() -> Iterator[Path]:
    """A folder that everybody may enter and write to, as /tmp is; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="gpuenv-tests-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(stat.S_ISVTX | 0o777)
        yield folder


def _person(uid: int, home: Path) -> Person:
    if os.getuid() != 0:
        pytest.skip("only root can play two users of a machine")
    home.mkdir(mode=0o700)
    os.chown(home, uid, uid)
    return Person(uid, home)


@pytest.fixture
def stranger(ground: Path) -> Person:
    """M: somebody without any rights over the others."""
    return _person(_STRANGER, ground / "stranger")


@pytest.fixture
def victim(ground: Path) -> Person:
    """V: an ordinary user."""
    return _person(_VICTIM, ground / "victim")


@pytest.fixture
def root(ground: Path) -> Person:
    """The machine's administrator, who uses the command, too."""
    return _person(0, ground / "root")
