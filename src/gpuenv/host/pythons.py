"""Finds a CPython of a given minor version on this machine: PATH, pyenv, uv, conda.

A candidate is believed only after it was run. The answers are kept in the cache folder, each with
the identity of the file it belongs to, because starting interpreters is slow.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gpuenv.core import atomic, ownership, paths, signals, ui

#: What an environment cannot do without; hand-built interpreters often lack one of them.
NEEDED_MODULES = ("ssl", "ctypes", "venv", "ensurepip", "zlib", "bz2", "lzma", "sqlite3")
ASK_TIMEOUT_S = 20
_QUESTION = """
import json, platform, sys
missing = []
for name in {modules!r}:
    try:
        __import__(name)
    except ImportError:
        missing.append(name)
print(json.dumps(dict(version=platform.python_version(), prefix=sys.base_prefix,
                      implementation=platform.python_implementation(), missing=missing)))
"""


@dataclass(frozen=True)
class LocalPython:
    """An interpreter that was run: ``version`` is full (``3.6.15``), ``prefix`` is where it is installed."""

    executable: Path
    version: str
    prefix: Path


@dataclass(frozen=True)
class _Answer:
    """What an interpreter says of itself, and the state of its file at that time."""

    stamp: str
    version: str
    prefix: str
    implementation: str
    missing: list[str]


def find_python(minor: str, prefer: str | None = None) -> LocalPython | None:
    """A complete CPython of version ``minor`` (such as ``3.6``), or None.

    ``prefer`` is a full version that wins over others; else the first in order of PATH, pyenv, uv, conda.
    """
    found = find_pythons(minor)
    exact = [python for python in found if python.version == prefer]
    return next(iter(exact or found), None)


def find_pythons(minor: str) -> list[LocalPython]:
    """Every complete CPython of version ``minor``, each once, in the order of the places.

    Who else may write to one would run programs as the caller: it is not started, and a warning says so.
    """
    store = paths.cache_dir() / "pythons.json"
    known: dict[str, _Answer] = {}
    with contextlib.suppress(OSError, ValueError, msgspec.MsgspecError):
        known = msgspec.json.decode(store.read_bytes(), type=dict[str, _Answer])
    kept = {path: answer for path, answer in known.items() if os.path.exists(path)}  # noqa: PTH110
    usable: dict[Path, LocalPython] = {}
    for path in candidate_paths(minor, os.environ, Path.home()):
        if why := ownership.problem(path):
            ui.warn_once(f"the Python {path} is not used: {why}")
            continue
        answer = _ask_once(path, kept)
        if answer is None or answer.missing or answer.implementation != "CPython":
            continue
        if not answer.version.startswith(f"{minor}."):
            continue
        prefix = Path(answer.prefix)
        usable.setdefault(prefix.resolve(), LocalPython(prefix / "bin" / f"python{minor}", answer.version, prefix))
    if kept != known:
        # Kept answers save time and nothing else: a full disk is told by whoever needs room on it.
        with contextlib.suppress(OSError):
            atomic.write_text(store, msgspec.json.encode(kept).decode(), mode=0o600)
    return [python for python in usable.values() if python.executable.exists()]


def candidate_paths(minor: str, environ: Mapping[str, str], home: Path) -> Iterator[Path]:
    """Where such an interpreter may be; those that exist, in order, without looking inside."""
    name = f"python{minor}"
    pyenv = Path(environ.get("PYENV_ROOT") or home / ".pyenv")
    folders = [Path(folder) for folder in environ.get("PATH", "").split(os.pathsep) if folder]
    # pyenv puts scripts into PATH that run whatever it is set to; the real files are looked at below.
    yield from _existing(folder / name for folder in folders if folder != pyenv / "shims")
    yield from _newest_first(pyenv / "versions", f"{minor}.*", name)
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    uv = Path(environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv" / "python")
    yield from _newest_first(uv, f"cpython-{minor}.*", name)
    yield from _existing(folder / "bin" / name for folder in _conda_folders(home))


def _existing(candidates: Iterable[Path]) -> Iterator[Path]:
    return (path for path in candidates if os.access(path, os.X_OK) and path.is_file())


def _newest_first(folder: Path, pattern: str, name: str) -> Iterator[Path]:
    """Interpreters below ``folder``; names end in versions, so 3.6.15 has to come before 3.6.9."""
    try:
        found = sorted(
            folder.glob(pattern), key=lambda one: [int(n) for n in re.findall(r"\d+", one.name)], reverse=True
        )
    except OSError:
        # Another user's, as after `su` without a new environment.
        return iter(())
    return _existing(path / "bin" / name for path in found)


def _conda_folders(home: Path) -> list[Path]:
    """The environments of conda, which lists every one it made in one file."""
    try:
        lines = (home / ".conda" / "environments.txt").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    return [Path(line) for line in lines if line.startswith("/")]


def _ask_once(path: Path, kept: dict[str, _Answer]) -> _Answer | None:
    """The kept answer if the file has not changed since, else a new one, which is kept."""
    info = path.resolve().stat()
    stamp = f"{info.st_ino}:{info.st_size}:{info.st_mtime_ns}"
    answer = kept.get(str(path))
    if answer is None or answer.stamp != stamp:
        answer = _ask(path, stamp)
    if answer is not None:
        kept[str(path)] = answer
    return answer


def _ask(path: Path, stamp: str) -> _Answer | None:
    """Run an interpreter; None if it does not run (a pyenv shim of another version, a broken link)."""
    question = _QUESTION.format(modules=NEEDED_MODULES)
    try:
        done = signals.ask([str(path), "-I", "-c", question], ASK_TIMEOUT_S)
        return _Answer(stamp=stamp, **json.loads(done.stdout)) if done.returncode == 0 else None
    except (OSError, ValueError, TypeError, subprocess.TimeoutExpired):
        return None
