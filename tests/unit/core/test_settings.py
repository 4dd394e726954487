"""What a setting may be."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from gpuenv.core import paths
from gpuenv.core.errors import UsageError
from gpuenv.core.settings import OPTIONS, in_utf8, warn_of_misspelled


def test_what_an_engine_is_told_is_utf8() -> None:
    assert in_utf8("WORK", Path("/딥러닝")) == "/딥러닝"
    with pytest.raises(UsageError, match="WORK is not UTF-8: b'/") as caught:
        in_utf8("WORK", Path(os.fsdecode(b"/\xc7\xd1")))
    assert "convmv -f EUC-KR" in caught.value.next_step


@pytest.mark.parametrize(
    ("given", "meant"),
    [("CDM", "CMD"), ("VARIENT", "VARIANT"), ("STATEDIR", "STATE_DIR"), ("INSTALL_ENGIN", "INSTALL_ENGINE")],
)
def test_a_variable_that_is_misspelled_is_named(given: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    warn_of_misspelled({f"GPUENV_{given}": "x", "PATH": "/bin"})
    assert f"GPUENV_{given} is no variable that is read; did you mean GPUENV_{meant}?" in capsys.readouterr().err


def test_variables_that_are_read_and_those_of_others_are_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    root = paths.project_root()
    ours = [*(root / "src").rglob("*.*"), *(root / "tests" / "broken").rglob("*.py"), root / ".ci" / "run"]
    ours += [
        *(root / "tests" / "soak").glob("*.py"),
        root / "tests" / "podman.sh",
        root / "tests" / "e2e" / "conftest.py",
    ]
    texts = [path.read_text(encoding="utf-8") for path in ours if path.suffix in ("", ".py", ".sh")]
    read = {name for text in texts for name in re.findall(r"GPUENV_[A-Z_]*[A-Z]", text)}
    assert {"GPUENV_SOAK", "GPUENV_STATE_DIR", "GPUENV_ACTIVE"} < read
    settings = {option.variable for option in OPTIONS.values()}
    warn_of_misspelled(dict.fromkeys([*read, *settings, "GPUENV_COLOUR", "GPUENV_PROJECT"], "x"))
    assert capsys.readouterr().err == ""
