"""What the tests of the private engine share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpuenv.engine.private_daemon import Folders


@pytest.fixture
def place(tmp_path: Path) -> Folders:
    (tmp_path / "run").mkdir()
    return Folders(tmp_path / "data", tmp_path / "run", tmp_path / "log", tmp_path / "record", tmp_path / "lock")


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with any engine."""
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    yield child
    child.kill()
    child.communicate()
