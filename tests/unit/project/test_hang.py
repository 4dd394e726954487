"""A test that hangs fails with the line on which it hangs, in every suite."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gpuenv.core import paths
from gpuenv.harness import command

HANGS = """
import threading, time
def test_hangs():
    threading.Thread(target=time.sleep, args=(60,), name="the-other-one", daemon=True).start()
    time.sleep(60)
"""


def test_a_hang_is_a_failure_with_the_stacks_of_all_threads(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(HANGS)
    settings = ["-c", str(paths.project_root() / "pyproject.toml"), "--rootdir", str(tmp_path), "--timeout=0.2"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(tmp_path), *settings, "-p", "no:cacheprovider"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert "time.sleep(60)" in done.stdout
    assert "the-other-one" in done.stdout + done.stderr


def test_every_suite_has_a_limit(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    assert 0 < float(pytestconfig.getini("timeout")) <= 120
    argv = command.pytest_argv(tmp_path / "plan.json", tmp_path / "results", tmp_path / "junit.xml", 1)
    assert f"--timeout={command.CHECK_LIMIT_S}" in argv


def test_a_session_has_a_folder_of_its_own(tmp_path: Path) -> None:
    assert not any(parent.name.startswith("pytest-of-") for parent in tmp_path.parents)
