"""gpu-shell without an engine."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gpuenv import variants, venv_env, venv_shell
from gpuenv.errors import UsageError
from gpuenv.variants import Variant


@pytest.fixture
def variant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Variant:
    monkeypatch.setattr(venv_env, "ensure_venv", lambda _: tmp_path / "venv")
    return dataclasses.replace(variants.find_variant(None), name="cuda10.0")


def test_a_command_runs_in_the_work_folder(variant: Variant, tmp_path: Path) -> None:
    work = tmp_path / "딥 러닝"
    work.mkdir()
    command = 'pwd > out; echo "$PATH" >> out; echo "$VIRTUAL_ENV" >> out; exit 3'
    assert venv_shell.run(variant, work, command, flavor=None, gpus=None) == 3
    where, path, prefix = (work / "out").read_text().splitlines()
    assert where == str(work)
    assert path.split(os.pathsep)[0] == f"{tmp_path}/venv/bin"
    assert prefix == f"{tmp_path}/venv"


def test_the_end_by_a_signal_is_told_as_a_shell_tells_it(variant: Variant, tmp_path: Path) -> None:
    assert venv_shell.run(variant, tmp_path, "kill -9 $$", flavor="cpu", gpus="none") == 137


@pytest.mark.parametrize(("flavor", "gpus"), [("gpu", None), (None, "all"), ("cpu", "0")])
def test_a_gpu_needs_an_engine(variant: Variant, tmp_path: Path, flavor: str | None, gpus: str | None) -> None:
    with pytest.raises(UsageError, match="needs a container engine"):
        venv_shell.run(variant, tmp_path, "true", flavor=flavor, gpus=gpus)


def test_it_says_that_it_is_no_container(variant: Variant, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    venv_shell.run(variant, tmp_path, "true", flavor=None, gpus=None)
    assert "device: CPU (a plain virtual environment, not a container)" in capsys.readouterr().err


def test_nothing_of_another_python_gets_in(tmp_path: Path) -> None:
    host = {"PYTHONHOME": "/x", "PYTHONPATH": "/y", "PATH": "/bin", "LANG": "ko_KR.UTF-8"}
    values = venv_shell.environment(host, tmp_path, "cuda10.0")
    assert not values.keys() & {"PYTHONHOME", "PYTHONPATH"}
    assert values["LANG"] == "ko_KR.UTF-8"
    assert values["PS1"].startswith("(cuda10.0-cpu, no container)")


PROGRAM = """
import pathlib, sys
from gpuenv import variants, venv_env, venv_shell
venv_env.ensure_venv = lambda _: pathlib.Path("/nonexistent")
command = "trap 'echo got; exit 7' TERM; echo ready; while true; do sleep 0.05; done"
sys.exit(venv_shell.run(variants.find_variant(None), pathlib.Path("/"), command, flavor=None, gpus=None))
"""


def test_signals_are_passed_on() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == b"got\n"
    assert process.returncode == 7
