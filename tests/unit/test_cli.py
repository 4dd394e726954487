from __future__ import annotations

import errno
import functools
import importlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from gpuenv import cli
from gpuenv.core.errors import BuildError, HostError, UsageError
from gpuenv.host.processor import check_host
from gpuenv.verbs import COMMANDS


def fake_verb(monkeypatch: pytest.MonkeyPatch, outcome: object) -> list[object]:
    """Replace the module of `images` by one that records its arguments and ends as told."""
    seen: list[object] = []

    def run(args: object) -> object:
        seen.append(args)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setitem(sys.modules, "gpuenv.images.command", SimpleNamespace(run=run))
    return seen


def test_every_command_names_a_module_that_has_run() -> None:
    for command in COMMANDS.values():
        assert callable(importlib.import_module(command.module).run), command.name


def test_the_exit_code_of_a_verb_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_verb(monkeypatch, 42)
    assert cli.main(["images"]) == 42


def test_a_setting_in_the_environment_is_the_default_of_its_option(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = fake_verb(monkeypatch, 0)
    monkeypatch.setenv("GPUENV_VARIANT", "cuda9.0")
    monkeypatch.setenv("GPUENV_FLAVOR", "")
    cli.main(["images"])
    cli.main(["images", "--variant", "cuda10.0"])
    assert [args.variant for args in seen] == ["cuda9.0", "cuda10.0"]  # type: ignore[attr-defined]
    assert seen[0].flavor is None  # type: ignore[attr-defined]


def test_values_are_read_once_at_the_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUENV_REQUIRE_GPU", "0")
    settings = cli.read_settings(["test-env", "--sources-dir", "~/a b"])
    assert settings.require_gpu is False
    assert settings.sources_dir == Path.home() / "a b"
    assert settings.prefix is None
    assert cli.read_settings(["explain", "FILE", "--log", "other"]).log == "FILE"
    monkeypatch.setenv("GPUENV_JSON", "0")
    assert not cli.read_settings(["doctor"]).json
    monkeypatch.setenv("GPUENV_JSON", "1")
    assert cli.read_settings(["doctor"]).json


def test_a_value_with_a_dash_at_its_beginning(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.read_settings(["gpu-shell", "--cmd", "-x"])
    assert "argument --cmd: expected one argument (one that begins with a dash: --cmd=-x)" in capsys.readouterr().err
    assert cli.read_settings(["gpu-shell", "--cmd=-x"]).cmd == "-x"
    with pytest.raises(SystemExit, match="2"):
        cli.read_settings(["gpu-shell", "-x"])
    assert capsys.readouterr().err.endswith("error: unrecognized arguments: -x\n")


@pytest.mark.parametrize("option", ["--cmd", "--work", "--variant", "--port", "--prefix"])
@pytest.mark.parametrize("value", ["", " "])
def test_an_option_that_is_given_is_not_empty(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As with a variable of a script that is not set: a shell would read the script's input as its commands."""
    assert cli.main(["gpu-shell", option, value]) == UsageError.exit_code
    assert f"{option[2:].upper()}= is given, but empty" in capsys.readouterr().err
    assert cli.main(["explain", value]) == UsageError.exit_code
    assert "LOG= is given, but empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("goals", "given", "said"),
    [
        ("lock", "PORT", "`make lock` takes no PORT="),
        ("lock docs", "CHECK PORT", "it is for gpu-shell; lock takes VARIANT, CHECK, UPGRADE"),
        ("lock", "CHEK", "did you mean CHECK=?"),
        ("lock", "QUIET", "next:  for a variable of the environment: `QUIET=... make lock`"),
        ("lock doctor", "CHECK JSON", None),
        ("lock test-unit", "JOBS", None),
        ("lint lock", "CHECK", None),
        ("lint test-unit", "PORT", "it is for gpu-shell; lint takes no setting"),
        (".venv/ready", "PORT", None),
        ("", "", None),
        ("lock", "VARIANT", "VARIANT= is given, but empty"),
    ],
)
def test_what_make_was_told_is_checked_against_its_verbs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], goals: str, given: str, said: str | None
) -> None:
    monkeypatch.setattr("gpuenv.lock.command.run", lambda _: int("GPUENV_MAKE_GIVEN" in os.environ))
    monkeypatch.setenv("GPUENV_MAKE_GOALS", goals)
    monkeypatch.setenv("GPUENV_MAKE_GIVEN", given)
    monkeypatch.setenv("GPUENV_VARIANT", "")
    assert cli.main(["lock"]) == (2 if said else 0)
    assert (said or "") in capsys.readouterr().err


@pytest.mark.parametrize(
    ("told", "typed"),
    [
        ("run `make gpu-shell VARIANT=x FLAVOR=cpu`", "run `gpuenv gpu-shell --variant=x --flavor=cpu`"),
        ("set CUDA_LOCK=<file> or YES=1, not GPUENV_YES=1", "set --cuda-lock=<file> or --yes, not GPUENV_YES=1"),
        ("with PORT=1 or PORT=18, or PREFIX=", "with --port=1 or --port=18, or --prefix="),
        ("`make engine-stop`, `make engine`, make room", "`gpuenv engine-stop`, `gpuenv engine`, make room"),
        ("run `make lock VARIANT=x` or `make lint` there", "run `make lock VARIANT=x` or `make lint` there"),
    ],
)
def test_an_installed_command_is_told_as_it_is_typed(
    told: str, typed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_verb(monkeypatch, BuildError("it broke", "no space left", told))
    cli.main(["images"])
    monkeypatch.setattr("gpuenv.core.paths.is_checkout", lambda: False)
    cli.main(["images"])
    nexts = [line.partition("next:  ")[2] for line in capsys.readouterr().err.splitlines() if "next:" in line]
    assert nexts == [told, typed]
    assert 'CMD="..."' not in cli.build_parser([]).format_help()


def test_an_installed_command_lists_what_it_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["help"]) == 0
    here = capsys.readouterr().out
    assert "  make lint " in here
    assert "\n  VARIANT " in here
    monkeypatch.setattr("gpuenv.core.paths.is_checkout", lambda: False)
    assert cli.main(["help"]) == 0
    there = capsys.readouterr().out
    assert "\n  gpuenv gpu-shell " in f"\n{there}"
    assert "\n  --variant " in there
    assert not re.search(r"\bmake (gpu-|test-|l)|\bVARIANT=|--upgrade|json +1: ", there), there


@pytest.mark.parametrize(("verb", "name"), [("gpu-shell", "port"), ("test-env", "jobs")])
def test_a_number_is_one(verb: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert getattr(cli.read_settings([verb]), name) is None
    assert getattr(cli.read_settings([verb, f"--{name}", "8"]), name) == 8
    monkeypatch.setenv(f"GPUENV_{name.upper()}", "")
    assert getattr(cli.read_settings([verb]), name) is None
    for text in ("0", "-1", "two", "1.5", "65536", "²"):
        with pytest.raises(UsageError, match=f"{name.upper()}={text} is not usable"):
            cli.read_settings([verb, f"--{name}={text}"])


def test_a_value_outside_the_choices_is_refused_wherever_it_comes_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_verb(monkeypatch, 0)
    monkeypatch.setenv("GPUENV_ENGINE", "dokcer")
    assert cli.main(["images"]) == 2
    assert "ENGINE=docker" in capsys.readouterr().err
    assert cli.main(["images", "--engine", "auto", "--flavor", "gpuu"]) == 2
    assert "FLAVOR=gpu" in capsys.readouterr().err


def test_an_error_is_three_lines_and_its_own_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_verb(monkeypatch, BuildError("it broke", "no space left", "make clean"))
    assert cli.main(["images"]) == BuildError.exit_code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "gpuenv: error: it broke",
        "  cause: no space left",
        "  next:  make clean",
    ]


def test_debug_adds_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fake_verb(monkeypatch, BuildError("it broke", "no space left", "make clean"))
    cli.main(["--debug", "images"])
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_verb(monkeypatch, KeyboardInterrupt())
    assert cli.main(["images"]) == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_that_end_us_are_cleaned_up_after_too(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    cleaned = []

    def work(_: object) -> int:
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        except BaseException:
            cleaned.append(number)
            raise
        return 0

    monkeypatch.setattr("gpuenv.images.command.run", work)
    assert cli.main(["images"]) == 128 + number
    assert cleaned == [number]
    assert signal.getsignal(number) == signal.SIG_DFL


def test_what_our_caller_ignores_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """`nohup make images` means it."""

    def work(_: object) -> int:
        os.kill(os.getpid(), signal.SIGHUP)
        return 5

    monkeypatch.setattr("gpuenv.images.command.run", work)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert cli.main(["images"]) == 5
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_unknown_verb_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["gpu-shel"])
    assert caught.value.code == 2
    assert "gpu-shell" in capsys.readouterr().err


def test_what_nobody_foresaw_is_three_lines_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_verb(monkeypatch, ValueError("a pipe that talks"))
    assert cli.main(["images"]) == 1
    said = capsys.readouterr().err
    assert said.splitlines()[:2] == [
        "gpuenv: error: something unforeseen happened",
        "  cause: ValueError: a pipe that talks",
    ]
    assert "GPUENV_DEBUG=1" in said
    assert "Traceback" not in said


def test_a_full_disk_is_told_wherever_it_shows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_verb(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))
    assert cli.main(["images"]) == HostError.exit_code
    assert "the disk is full" in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_what_is_closed_to_this_user_is_named_wherever_it_shows(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_verb(monkeypatch, OSError(number, os.strerror(number), "/home/u/.cache/gpuenv/venvs/lock"))
    assert cli.main(["images"]) == HostError.exit_code
    said = capsys.readouterr().err
    assert said.startswith("gpuenv: error: /home/u/.cache/gpuenv/venvs/lock cannot be used\n")
    assert os.strerror(number) in said
    assert "GPUENV_CACHE_DIR" in said


@pytest.mark.parametrize("verb", ["gpu-shell", "images", "test-env"])
def test_every_verb_refuses_a_processor_without_avx_before_it_looks_for_an_engine(
    verb: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cpuinfo").write_text("flags : fpu sse2\n")
    # A work folder that can be written, which a checkout need not be.
    monkeypatch.setenv("GPUENV_WORK", str(tmp_path))
    for module in ("shell.command", "images.command", "harness.command"):
        monkeypatch.setattr(
            f"gpuenv.{module}.check_host", functools.partial(check_host, "x86_64", tmp_path / "cpuinfo")
        )
        monkeypatch.setattr(f"gpuenv.{module}.find_engine", lambda _: pytest.fail("it went on"))
    assert cli.main([verb]) == HostError.exit_code
    assert "no AVX" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["help"], ["explain", "--json", __file__]])
def test_output_that_cannot_be_written_is_told_once(words: list[str]) -> None:
    argv = ["sh", "-c", 'exec "$@" >/dev/full', "-", sys.executable, "-m", "gpuenv", *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == HostError.exit_code
    assert done.stderr.startswith("gpuenv: error: the place where standard output goes is full\n")
    assert "Exception ignored" not in done.stderr
