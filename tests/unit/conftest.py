"""Unit tests see neither the caller's settings nor the caller's home folder, nor the signals it ignores."""

from __future__ import annotations

import gc
import itertools
import os
import sys
from pathlib import Path

import pytest

import suites
from gpuenv.core import paths

_numbers = itertools.count()


def pytest_configure(config: pytest.Config) -> None:
    suites.prepare(config)
    # Bytecode is written even where Python was told not to: else hundreds of processes compile the same modules.
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # To list the fonts of a machine takes a second.
    os.environ.setdefault("MPLCONFIGDIR", str(paths.cache_dir() / "matplotlib"))


def pytest_collection_finish() -> None:
    """Leave what was collected out of Python's garbage collections, which takes a tenth of the time away."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of its own for each test, and no ``GPUENV_*``, proxy or engine setting."""
    for name in list(os.environ):
        if name.startswith(("GPUENV_", "XDG_", "DOCKER_", "PIP_", "UV_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    # Numbered here: pytest would look at the folders of all tests before, for each of thousands.
    home = tmp_path_factory.mktemp(f"home-{next(_numbers)}", numbered=False)
    monkeypatch.setenv("HOME", str(home))
    return home
