"""make expands what it reads; what is given to it as a setting is text, and arrives as it is or not at all."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gpuenv.core import paths
from gpuenv.core.settings import OPTIONS
from tiny.command import plain_environment

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")

#: Seconds for one make; it takes a tenth.
MAKE_S = 60
NAMES = [option.make_name for option in OPTIONS.values()]
HOSTILE = {
    "functions": "$(shell touch pwned) $(file >pwned) $(eval X:=$(shell touch pwned)) ${shell touch pwned} $(",
    "shell": "`touch pwned`; touch pwned & touch pwned | touch pwned $$(touch pwned) $!",
    "quotes": "' ; touch pwned; ' \" ; touch pwned; \" \\' \\\" \\",
    "lines": "a\ntouch pwned\n\t@touch pwned\nall: ; touch pwned\nexport X = $(shell touch pwned)",
    "signs": "# not a comment \\# %.o : = := $@ $< $$ $$$$ $a -o --eval=x ~ * ?",
    "letters": "한글 \u202e café \x1b[31m \x9b2J",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Makefile, all prepared, with a Python that writes down the settings that reach it."""
    root = tmp_path / "checkout"
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / "src").mkdir()
    shutil.copy(paths.project_root() / "Makefile", root)
    for name in ("requirements", "requirements-dev", "requirements-report"):
        (root / "src" / f"{name}.txt").touch()
    (root / "src" / "bootstrap.py").touch()
    python = root / ".venv" / "bin" / "python"
    python.write_text(
        f"#!{sys.executable}\n"
        "import json, os\n"
        f"json.dump(dict(os.environ), open({str(tmp_path / 'reached')!r}, 'w'))\n"
    )  # fmt: skip
    python.chmod(0o755)
    for stamp in ("ready", "ready-report", "ready-dev"):
        (root / ".venv" / stamp).touch()
    return root


def make(root: Path, *words: str, **variables: str) -> dict[str, str]:
    """What reaches the command; nothing may have run on the way."""
    # What a make around this test was told is no setting of the make in it.
    own = {name: one for name, one in plain_environment().items() if not name.startswith("MAKE") and name != "MFLAGS"}
    done = subprocess.run(
        ["make", "-s", "gpu-shell", *words],
        cwd=root, env={**own, **variables}, capture_output=True, text=True, timeout=MAKE_S, check=False,
    )  # fmt: skip
    assert not list(root.rglob("pwned")), "it ran"
    assert done.returncode == 0, done.stderr
    reached: dict[str, str] = json.loads((root.parent / "reached").read_text())
    return reached


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_every_setting_arrives_word_for_word_and_nothing_runs(checkout: Path, value: str) -> None:
    reached = make(checkout, *(f"{name}={value}" for name in NAMES))
    assert {name: reached.get(f"GPUENV_{name}") for name in NAMES} == dict.fromkeys(NAMES, value)
    assert not {*NAMES} & reached.keys()


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_so_do_our_variables_from_the_environment_and_from_the_command_line(checkout: Path, value: str) -> None:
    wanted = {f"GPUENV_{name}": value for name in (*NAMES, "STATE_DIR", "CACHE_DIR")}
    assert wanted.items() <= make(checkout, REQUIRE_GPU=value, **wanted).items()
    assert wanted.items() <= make(checkout, *(f"{name}={one}" for name, one in wanted.items())).items()


def test_what_is_no_setting_is_not_expanded_either(checkout: Path) -> None:
    """Before the command says that it knows no such setting."""
    reached = make(checkout, "WROK=$(shell touch pwned)", "PYTHON=true")
    assert "WROK" not in reached
