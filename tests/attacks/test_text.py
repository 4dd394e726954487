"""Terminal codes of others reach no terminal, no report and no program that reads one; our own colors do."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from gpuenv import cli
from gpuenv.core import ui
from gpuenv.core.settings import Settings
from gpuenv.engine import command as engine_command
from gpuenv.explain import command as explain
from gpuenv.harness import command as harness
from gpuenv.harness.report import files, table
from gpuenv.harness.report.model import Report
from gpuenv.harness.targets.model import Plan, Target, save_plan
from gpuenv.prefix import activate
from gpuenv.prefix import choice as prefix_choice
from gpuenv.prefix.choice import Made
from gpuenv.prefix.trust import COMPLETE
from gpuenv.shell import prefix as prefix_shell
from gpuenv.variants import model as variants

#: A title, the screen cleared (also with the one character of C1), a link, text turned around and hidden, and codes
#: that are there once another one was taken out.
CODES = (
    "\x1b]0;title\x07\x1b[2J\x9b2J\x9d0;title\x9c\x1b]8;;file:///x\x1b\\link\x1b]8;;\x1b\\\u202eturned\u2066\u200f\u061c"
    "\u200b\ufeff\x1b\x1b[0m]0;title\x07\x1b[\x1b[0m2J\x08\x08\x7f\x0c\x85"
)
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


def assert_clean(text: str, seen: str = "turned") -> None:
    assert seen in text
    found = FORBIDDEN.search(text)
    assert found is None, repr(text[max(0, found.start() - 60) : found.end() + 20])


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> pytest.CaptureFixture[str]:
    monkeypatch.setenv("GPUENV_LANG", "en")
    return capsys


# --- (a) a host under test ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A run of the harness on an environment whose Python says what it wants."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "codes").write_text(f"a {CODES} b\nTraceback {CODES}\n")
    (folder / "evil" / "bin").mkdir(parents=True)
    python = folder / "evil" / "bin" / "python"
    python.write_text(
        f'#!/bin/sh\n[ "$1" = -c ] && exec {sys.executable} "$@"\ncat {folder}/codes; cat {folder}/codes >&2; exit 3\n'
    )
    python.chmod(0o755)
    evil = Target("evil", "host", "cuda10.0", "cpu", prefix=str(folder / "evil"), host="local://")
    missing = dataclasses.replace(evil, identity="gone", missing=f"it said {CODES}", is_required=True)
    plan = Plan("r", (evil, missing))
    save_plan(plan, folder / "plan.json")
    argv = harness.pytest_argv(folder / "plan.json", folder / "results", folder / "junit.xml", 1)
    done = subprocess.run(
        [*argv, "-k", "test_target or test_python_version or test_pip_check", "--ignore-glob=*/test_imports.py"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    found = Report(plan, exit_code=done.returncode).update(folder / "results")
    assert len(found.failed) >= 3, done.stdout
    return SimpleNamespace(output=done.stdout + done.stderr, found=found, folder=folder)


def test_what_pytest_prints(tested: SimpleNamespace) -> None:
    assert_clean(tested.output)


def test_every_report(tested: SimpleNamespace, said: pytest.CaptureFixture[str]) -> None:
    files.save(tested.found, tested.folder)
    for name in (files.PAGE, files.DATA, "junit.xml"):
        assert_clean((tested.folder / name).read_text())
    values = json.dumps(json.loads((tested.folder / files.DATA).read_text()), ensure_ascii=False)
    assert_clean(values)
    assert not re.search(r"\\u00[0189]", values)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_table_and_the_failures(
    tested: SimpleNamespace, is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    if is_terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm")
    # What the results say is not believed either: a program of the target may have written to them.
    dirty = [
        dataclasses.replace(one, check=one.check + CODES, what=one.what + CODES, why=CODES, output=CODES)
        for one in tested.found.failed
    ]
    found = dataclasses.replace(tested.found, outcomes=dirty)
    console = ui.console()
    console.print(table.render_table(found), table.render_failures(found), table.render_first_failures(found))
    drawn = terminal.getvalue()
    own = re.compile(r"\x1b\[[0-9;]*m")
    assert bool(own.search(drawn)) == is_terminal
    assert_clean(own.sub("", drawn))


# --- (b) to (e) -----------------------------------------------------------------------------------------------


def test_the_mark_of_a_foreign_prefix(tmp_path: Path, said: pytest.CaptureFixture[str]) -> None:
    content = {"kind": "venv", "variant": f"evil{CODES}", "flavor": "cpu", "digest": "0"}
    mark = {"content": content, "folder": str(tmp_path), "entries": [], "links": []}
    (tmp_path / COMPLETE).write_text(json.dumps(mark))
    tmp_path.chmod(0o700)
    assert cli.main(["venv-env", "--variant", "cuda10.0", "--flavor", "cpu", "--prefix", str(tmp_path)]) != 0
    assert_clean(said.readouterr().err)


def test_what_a_foreign_engine_says_of_itself(
    said: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    info = {"ServerVersion": f"27{CODES}", "Driver": CODES, "DockerRootDir": CODES}
    engine = SimpleNamespace(why=f"its socket {CODES}", kind="docker", url="unix:///a b;>x", call=lambda *_: info)
    monkeypatch.setattr(engine_command, "find_engine", lambda _: engine)
    assert cli.main(["engine"]) == 0
    printed = said.readouterr()
    assert_clean(printed.err)
    # For `eval`: one word.
    assert printed.out == "export DOCKER_HOST='unix:///a b;>x'\n"


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize(
    "line",
    [
        "PermissionError: [Errno 13] Permission denied: '/work/CODES/x'",
        "Exception: URL fetch failure on https://e/CODES: None -- CODES",
        "manifest for nvidia/cuda:10.0CODES not found",
        "ValueError: CODES",
    ],
)
def test_a_log(line: str, form: list[str], tmp_path: Path, said: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log"
    log.write_bytes((line.replace("CODES", CODES.rstrip("\x0c\x85")) + "\n").encode())
    code = cli.main(["explain", str(log), *form])
    printed = said.readouterr()
    if form:
        known = json.loads(printed.out)
        assert known["known"] == (code == 0)
        assert_clean(json.dumps(known, ensure_ascii=False), "known")
        assert not re.search(r"\\u00[0189]", printed.out)
    assert_clean(printed.out + printed.err, "known" if form else "turned")


def test_a_log_of_our_own_command_that_failed() -> None:
    found = explain.diagnose(f"PermissionError: [Errno 13] Permission denied: '/work/{CODES}'")
    assert found is not None
    assert not FORBIDDEN.search(found.remedy)


@pytest.mark.parametrize(
    "argv",
    [["explain", f"/no/{CODES}"], ["gpu-shell", "--work", f"/no/{CODES}"], ["images", "--variant", CODES]],
    ids=lambda argv: argv[0],
)
@pytest.mark.parametrize("debug", ["0", "1"])
def test_the_names_of_files(
    argv: list[str], debug: str, said: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPUENV_DEBUG", debug)
    assert cli.main(argv) != 0
    assert_clean(said.readouterr().err)


def test_a_command_of_the_users_own_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """It speaks to the user's terminal itself: colors, cursor and all."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "codes").write_text(CODES)
    activate.write_hooks(tmp_path)
    monkeypatch.setattr(prefix_choice, "ensure", lambda *_: Made("venv", "cpu", tmp_path, "none"))
    variant = variants.find_variant("cuda10.0")
    assert prefix_shell.run(Settings(), variant, tmp_path, "cat codes; cat codes >&2", bytearray()) == 0
    printed = capfdbinary.readouterr()
    assert printed.out == CODES.encode()
    assert printed.err.endswith(CODES.encode())
