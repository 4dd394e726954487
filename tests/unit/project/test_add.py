"""`docker/added/add.py`, which runs during the build of a layer of the user's own."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from gpuenv.core import paths

SCRIPT = runpy.run_path(str(paths.docker_dir() / "added" / "add.py"))


def put(site: Path, name: str, files: dict[str, str]) -> None:
    folder = site / f"{name}.dist-info"
    folder.mkdir(parents=True)
    rows = [f"{path},sha256={value},1" for path, value in files.items()]
    (folder / "RECORD").write_text("\n".join([*rows, f"{name}/__pycache__/x.pyc,,", ""]))


def test_what_another_distribution_has_is_not_overwritten(tmp_path: Path) -> None:
    put(tmp_path, "cv-1.0", {"cv2/__init__.py": "a", "shared/__init__.py": "s"})
    put(tmp_path, "old-1.0", {"old.py": "a"})
    before = SCRIPT["read_records"](tmp_path)
    assert before["cv-1.0"] == {"cv2/__init__.py": "sha256=a", "shared/__init__.py": "sha256=s"}
    put(tmp_path, "good-1.0", {"good.py": "a", "shared/__init__.py": "s"})
    find = SCRIPT["find_overwritten"]
    assert find(before, SCRIPT["read_records"](tmp_path)) == []
    put(tmp_path, "cv_too-2.0", {"cv2/__init__.py": "b", "good.py": "c"})
    (tmp_path / "old-1.0.dist-info").rename(tmp_path / "old-2.0.dist-info")
    assert find(before, SCRIPT["read_records"](tmp_path)) == [
        "old-1.0 of the lock would be replaced",
        "cv_too-2.0 brings cv2/__init__.py, which is a file of cv-1.0 in the lock",
    ]


@pytest.mark.parametrize(("name", "code"), [("extra-1.0", 0), ("cv_too-1.0", 1), ("", 3)])
def test_what_was_added_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, code: int
) -> None:
    put(tmp_path / "site", "cv-1.0", {"cv2/__init__.py": "a"})
    asked: list[Any] = []
    variables = tmp_path / "variables"
    variables.write_text('{"TOKEN": "value"}')

    def install(argv: list[str], env: dict[str, str]) -> int:
        assert env == {**os.environ, "TOKEN": "value"}
        asked.extend(argv)
        if name:
            put(tmp_path / "site", name, {"cv2/__init__.py" if name == "cv_too-1.0" else "extra.py": "b"})
        return 0 if name else 3

    monkeypatch.setattr(subprocess, "call", install)
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path / "site"))
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    assert SCRIPT["main"](["/folder", str(variables)]) == code
    assert asked[-4:] == ["-c", "/folder/constraints.txt", "-r", "/folder/main.txt"]
    listed = tmp_path / "gpuenv-added.json"
    assert ("not added: cv_too-1.0 brings" in capsys.readouterr().out) == (code == 1)
    assert listed.exists() == (code != 3)
    if code == 0:
        assert json.loads(listed.read_text()) == {"extra": "1.0"}
