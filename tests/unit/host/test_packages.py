"""The distribution's packages of an engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.core.errors import EngineError
from gpuenv.host import packages


def test_installing_runs_apt_without_questions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_apt(tmp_path / "bin", monkeypatch)
    packages.install(["docker.io"], tmp_path / "apt.log")
    log = (tmp_path / "apt.log").read_text()
    assert "noninteractive" in log
    assert "install --yes --no-install-recommends docker.io docker-buildx" in log
    assert log.index("update") < log.index("install --yes")


def test_a_failing_apt_is_told_with_its_last_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_apt(tmp_path / "bin", monkeypatch, code=100)
    with pytest.raises(EngineError, match="exit code 100") as caught:
        packages.install(["docker.io"], tmp_path / "apt.log")
    assert "noninteractive" in caught.value.why


def fake_apt(folder: Path, monkeypatch: pytest.MonkeyPatch, code: int = 0) -> None:
    """apt-get that writes down what it is asked, and an apt-cache that does not know docker-cli."""
    folder.mkdir()
    apt_get = folder / "apt-get"
    apt_get.write_text(f'#!/bin/sh\necho "$DEBIAN_FRONTEND $*"\nexit {code}\n')
    apt_cache = folder / "apt-cache"
    apt_cache.write_text('#!/bin/sh\ntest "$2" != docker-cli\n')
    for program in (apt_get, apt_cache):
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
