"""Unit tests see neither the caller's settings nor the caller's home folder, nor the signals it ignores."""

from __future__ import annotations

import gc
import itertools
import os
import shutil
import sys
import types
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

import suites
from gpuenv.core import paths, signals
from gpuenv.core.errors import GpuenvError

#: How long a setup or a teardown takes is told from here on (seconds), for ``--durations``.
TOLD_S = 0.05
_numbers = itertools.count()
#: Home folders that are still empty after the test which had them: the next one takes them.
_untouched: list[Path] = []


def pytest_configure(config: pytest.Config) -> None:
    suites.prepare(config)
    # Bytecode is written even where Python was told not to: else hundreds of processes compile the same modules.
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # To list the fonts of a machine takes a second.
    os.environ.setdefault("MPLCONFIGDIR", str(paths.cache_dir() / "matplotlib"))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave what is collected, of which nothing goes away, out of Python's garbage collections: a tenth of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Half as many again as there are processors: while a test waits for a disk or for a program, another one runs."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1) * 3 // 2


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Tell the process that shows results of each test once instead of five times, unless there is more to tell."""
    options = item.config.option
    # What is stopped at a failure, or written for programs, wants all of it, and at once.
    if not hasattr(item.config, "workerinput") or options.maxfail or options.xmlpath:
        return None
    for report in runtestprotocol(item, log=False, nextitem=nextitem):
        if report.when == "call" or not report.passed or report.duration > TOLD_S:
            item.ihook.pytest_runtest_logreport(report=report)
    return True


@pytest.fixture(scope="session", autouse=True)
def _nothing_of_the_caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is made for several tests at once sees no more of the caller than a test does."""
    with pytest.MonkeyPatch.context() as patch:
        forget_settings(patch)
        patch.setenv("HOME", str(make_folder(tmp_path_factory, "home")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _errors_have_three_parts() -> Iterator[None]:
    """Whatever error a test meets: what failed, why and what to do next are all said."""
    plain = GpuenvError.__init__

    def checked(error: GpuenvError, *parts: Any) -> None:
        assert all(isinstance(part, str) and part.strip() for part in parts), parts
        plain(error, *parts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GpuenvError, "__init__", checked)
        yield


@pytest.fixture(autouse=True)
def isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home folder for each test, and no ``GPUENV_*``, proxy or engine setting."""
    forget_settings(monkeypatch)
    # Where nobody asks for the end of orphans (a container without an init), theirs is waited for in vain.
    monkeypatch.setattr(signals, "_END_S", 0.2)
    # What a test told in its place is not known to the next one.
    if known := sys.modules.get("gpuenv.net.index"):
        known.default_index.cache_clear()
    home = _untouched.pop() if _untouched else make_folder(tmp_path_factory, "home")
    mode = os.stat(home).st_mode  # noqa: PTH116 - tests replace Path.stat
    monkeypatch.setenv("HOME", str(home))
    # Room for everything, however small this machine's temporary folder is.
    monkeypatch.setattr(shutil, "disk_usage", room_in)
    yield home
    # Its times would not tell: they move on by some milliseconds at once, and a test may be quicker.
    if os.path.exists(home) and os.stat(home).st_mode == mode and not os.listdir(home):  # noqa: PTH110, PTH116, PTH208
        _untouched.append(home)


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """As pytest's, for which it looks at the folders of all tests before, for each of thousands."""
    return make_folder(tmp_path_factory, request.function.__name__[:25])


def forget_settings(patch: pytest.MonkeyPatch) -> None:
    of_pytest = ("PYTHON", "PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PY_COLORS", "FORCE_COLOR")
    own = ("GPUENV_", "XDG_", "DOCKER_", "CONTAINER_", "PIP_", "UV_", *of_pytest)
    for name in list(os.environ):
        if name.startswith(own) or name.lower().endswith("_proxy"):
            patch.delenv(name)


def room_in(place: str | os.PathLike[str]) -> types.SimpleNamespace:
    """A terabyte, for a place that is there."""
    os.stat(place)  # noqa: PTH116 - tests replace Path.stat
    return types.SimpleNamespace(total=2 * 10**12, used=10**12, free=10**12)


def make_folder(factory: pytest.TempPathFactory, name: str) -> Path:
    folder = factory.getbasetemp() / f"{name}-{next(_numbers)}"
    folder.mkdir()
    return folder
