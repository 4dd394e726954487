"""The Makefile, by real make: what it tells the command, and what it refuses before anything runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gpuenv.core import paths
from gpuenv.core.settings import OPTIONS
from gpuenv.verbs import VERBS

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Makefile with a command that only writes down what reached it; its environment is not prepared yet."""
    root = tmp_path / "a b"
    root.mkdir()
    shutil.copy(paths.project_root() / "Makefile", root)
    (root / "src").mkdir()
    (root / "src" / "gpuenv").symlink_to(paths.project_root() / "src" / "gpuenv")
    for name in ("requirements", "requirements-dev", "requirements-report"):
        (root / "src" / f"{name}.txt").touch()
    program = f"""#!{sys.executable}
import json, os, sys
json.dump([sys.argv[1:], dict(os.environ)], open({str(tmp_path / "reached")!r}, "w"))
"""
    (root / "src" / "bootstrap.py").write_text(
        f"""import os, sys
os.makedirs(sys.argv[1] + "/bin", exist_ok=True)
open(sys.argv[1] + "/bin/python", "w").write({program!r})
os.chmod(sys.argv[1] + "/bin/python", 0o755)
"""
    )
    return root


def make(root: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # What a make around this test was told is no setting of the make in it.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"}
    return subprocess.run(
        ["make", "-s", *arguments, f"PYTHON={sys.executable}"],
        cwd=root, env={**environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def reached(root: Path) -> tuple[list[str], dict[str, str]]:
    argv, environ = json.loads((root.parent / "reached").read_text())
    return argv, {name: value for name, value in environ.items() if name.startswith("GPUENV_")}


def test_a_setting_reaches_the_command_word_for_word(checkout: Path) -> None:
    value = """one=1; echo "$one  \\$two" 'a' `b` $(c) $(file d) $(shell touch pwned) $("""
    done = make(checkout, "gpu-shell", f"CMD={value}", WORK="/of/the/cluster", REQUIRE_GPU="1")
    assert done.returncode == 0, done.stderr
    argv, environ = reached(checkout)
    assert argv == ["-I", "-m", "gpuenv", "gpu-shell"]
    assert environ.pop("GPUENV_CMD") == value
    assert environ == {"GPUENV_REQUIRE_GPU": "1", "GPUENV_MAKE_GIVEN": "CMD", "GPUENV_MAKE_GOALS": "gpu-shell"}
    assert not (checkout / "pwned").exists()


def test_a_setting_does_not_reach_the_command_under_its_own_name(checkout: Path) -> None:
    """What the command runs (builds, a user's programs) gives names like PREFIX or TARGET a meaning of their own."""
    done = make(checkout, "gpu-shell", "PREFIX=/p", "WORK=.")
    assert done.returncode == 0, done.stderr
    assert not {"PREFIX", "WORK"} & json.loads((checkout.parent / "reached").read_text())[1].keys()


def test_the_number_of_jobs_is_no_line_of_a_shell(checkout: Path) -> None:
    value = "2; touch pwned"
    done = make(checkout, "test-unit", f"JOBS={value}", JOBS="3")
    assert done.returncode == 0, done.stderr
    argv = reached(checkout)[0]
    assert argv[argv.index("-n") + 1] == value
    assert not (checkout / "pwned").exists()


@pytest.mark.parametrize(
    ("given", "nearest", "goals"),
    [
        ("VARAINT=cuda9.0", "VARIANT", ["gpu-shell"]),
        ("variant=cuda9.0", "VARIANT", []),
        ("SOURCE_DIR=x y $$(touch pwned)", "SOURCES_DIR", ["lint"]),
        ("PO'RT=1", "PORT", ["images", "test-env"]),
        ('PO"RT;touch=1', "PORT", ["help"]),
    ],
)
def test_a_name_that_is_no_setting_is_an_error_before_anything_runs(
    checkout: Path, given: str, nearest: str, goals: list[str]
) -> None:
    done = make(checkout, *goals, given)
    assert done.returncode != 0
    assert f"make knows no setting {given.partition('=')[0]!r}" in done.stderr
    assert f"did you mean {nearest}=?" in done.stderr
    assert done.stdout == ""
    assert sorted(path.name for path in checkout.iterdir()) == ["Makefile", "src"]


@pytest.mark.parametrize("goals", [["lint"], ["test-unit"], ["test-e2e"], ["test-broken"], ["lint", "test-broken"]])
def test_a_verb_that_is_a_recipe_alone_refuses_what_it_does_not_take(checkout: Path, goals: list[str]) -> None:
    done = make(checkout, *goals, "VARIANT=cuda9.0")
    assert done.returncode != 0
    assert f"`make {goals[0]}` takes no VARIANT=" in done.stderr
    assert sorted(path.name for path in checkout.iterdir()) == ["Makefile", "src"]


def test_a_verb_that_is_a_recipe_alone_takes_what_it_knows(checkout: Path) -> None:
    done = make(checkout, "test-unit", "JOBS=2")
    assert done.returncode == 0, done.stderr


def test_help_needs_nothing_prepared(checkout: Path) -> None:
    done = make(checkout)
    assert done.returncode == 0, done.stderr
    for verb in VERBS:
        assert f"make {verb.name:12} {verb.help}\n" in done.stdout
    for option in OPTIONS.values():
        assert f"  {option.make_name:12} {option.make_help}\n" in done.stdout
    assert not (checkout / ".venv").exists()


def test_a_make_inside_is_told_by_the_environment_alone(checkout: Path) -> None:
    """Else a setting of `make bench` would be refused by the verbs that it measures."""
    (checkout / "inner.mk").write_text("all:\n\t@echo '$(origin BASE)' $$GPUENV_BASE\n")
    (checkout / "Makefile").write_text((checkout / "Makefile").read_text() + "\nouter:\n\t@$(MAKE) -s -f inner.mk\n")
    assert make(checkout, "outer", "BASE=local").stdout == "undefined local\n"


@pytest.mark.parametrize("venv", [".venv", "{}/.venv", "{}/../v"])
def test_an_environment_elsewhere_is_looked_at_before_all(tmp_path: Path, venv: str) -> None:
    """The checkout's own is, also by its whole path, whoever's the checkout is."""
    root = tmp_path / "checkout"
    (root / "src").mkdir(parents=True)
    shutil.copy(paths.project_root() / "Makefile", root)
    said = make(root, "-n", "trusted", f"VENV={venv.format(root)}").stdout
    assert ("src/bootstrap.py" in said) is (venv == "{}/../v")
