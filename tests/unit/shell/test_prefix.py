"""gpu-shell without an engine."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from gpuenv.core import processes
from gpuenv.core.errors import UsageError
from gpuenv.core.settings import Settings
from gpuenv.prefix import activate
from gpuenv.prefix import choice as prefix_choice
from gpuenv.prefix.choice import Made
from gpuenv.shell import prefix as prefix_shell
from gpuenv.variants import model as variants
from gpuenv.variants.kinds import TITLES
from gpuenv.variants.model import Variant

#: The code under test takes SIGALRM for itself.
pytestmark = pytest.mark.timeout(method="thread")


@pytest.fixture
def variant() -> Variant:
    return variants.find_variant("cuda10.0")


@pytest.fixture(params=["venv", "conda"])
def made(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """An environment of either kind, in a folder with a blank in its name."""
    folder = tmp_path / "the 환경"
    (folder / "bin").mkdir(parents=True)
    activate.write_hooks(folder)
    found = Made(request.param, "cpu", folder, "none")
    monkeypatch.setattr(prefix_choice, "ensure", lambda *_: found)
    return found


def test_a_command_runs_in_the_work_folder(
    variant: Variant, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    work = tmp_path / "딥 러닝"
    work.mkdir()
    command = 'pwd > out; echo "$PATH" >> out; echo "$PYTHONNOUSERSITE$PYTHONPATH" >> out; exit 3'
    assert prefix_shell.run(Settings(), variant, work, command, bytearray()) == 3
    where, path, python = (work / "out").read_text().splitlines()
    assert where == str(work)
    assert path.split(os.pathsep)[0] == f"{made.folder}/bin"
    assert python == "1"


def test_scripts_of_conda_packages_are_run_too(variant: Variant, made: Made, tmp_path: Path) -> None:
    (made.folder / "etc/conda/activate.d/other.sh").write_text("export FROM_A_PACKAGE=1\n")
    expected = "1" if made.kind == "conda" else ""
    assert prefix_shell.run(Settings(), variant, tmp_path, f'test "$FROM_A_PACKAGE" = "{expected}"', bytearray()) == 0


def test_the_end_by_a_signal_is_told_as_a_shell_tells_it(variant: Variant, made: Made, tmp_path: Path) -> None:
    assert prefix_shell.run(Settings(), variant, tmp_path, "kill -9 $$", bytearray()) == 137


def test_a_port_is_where_jupyter_listens(variant: Variant, made: Made, tmp_path: Path) -> None:
    command = 'test "$JUPYTER_PORT $JUPYTER_PORT_RETRIES ${JUPYTER_IP-none}" = "18891 0 none"'
    assert prefix_shell.run(Settings(port=18891), variant, tmp_path, command, bytearray()) == 0


def test_packages_are_added_to_images_only(variant: Variant, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs a container engine") as caught:
        prefix_shell.run(Settings(add=tmp_path / "requirements.txt"), variant, tmp_path, "true", bytearray())
    assert "make venv-env PREFIX=" in caught.value.next_step


def test_it_says_that_it_is_no_container(
    variant: Variant, made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prefix_shell.run(Settings(), variant, tmp_path, "true", bytearray())
    said = capsys.readouterr().err
    assert "device: CPU" in said
    assert f"(a {TITLES[made.kind]}, not a container); in {tmp_path}\n" in said


def test_a_command_may_begin_with_a_dash(variant: Variant, made: Made, tmp_path: Path) -> None:
    assert prefix_shell.run(Settings(), variant, tmp_path, "-x", bytearray()) == 127


@pytest.mark.parametrize(("gpus", "expected"), [(None, None), ("all", None), ("none", ""), ("0,1", "0,1")])
def test_gpus_are_chosen_by_the_variable_of_cuda(gpus: str | None, expected: str | None) -> None:
    assert prefix_shell.environment({}, gpus).get("CUDA_VISIBLE_DEVICES") == expected


def test_nothing_of_another_python_gets_in(
    variant: Variant, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PYTHONHOME": "/x", "PYTHONPATH": "/y", "CONDA_PREFIX": "/base", "LANG": "ko_KR.UTF-8"}.items():
        monkeypatch.setenv(name, value)
    assert prefix_shell.run(Settings(), variant, tmp_path, "env -0 > variables", bytearray()) == 0
    values = dict(line.split("=", 1) for line in (tmp_path / "variables").read_text().split("\0") if line)
    assert not values.keys() & {"PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH"}
    assert values.get("CONDA_PREFIX") == (str(made.folder) if made.kind == "conda" else None)
    assert values["LANG"] == "ko_KR.UTF-8"


@pytest.mark.parametrize("kind", ["venv", "conda"])
def test_the_prompt_says_where_one_is(kind: str, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-c", PROGRAM, kind, str(tmp_path)]
    with subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        said, prompt = b"", f"({variants.find_variant(None).name}-cpu, no container) /".encode()
        while prompt not in said:
            said += os.read(ours, 1024)
        os.write(ours, b"exit 0\n")
        with suppress(OSError):  # the end of a terminal's output, on Linux
            while os.read(ours, 1024):
                pass
    os.close(ours)
    assert process.returncode == 0


PROGRAM = """
import pathlib, sys
from gpuenv.core.settings import Settings
from gpuenv.prefix import activate
from gpuenv.prefix import choice as prefix_choice
from gpuenv.shell import prefix as prefix_shell
from gpuenv.variants import model as variants
folder = pathlib.Path(sys.argv[2])
activate.write_hooks(folder)
prefix_choice.ensure = lambda *_: prefix_choice.Made(sys.argv[1], "cpu", folder, "none")
variant = variants.find_variant(None)
commands = sys.argv[3:] or [None]
codes = {prefix_shell.run(Settings(), variant, pathlib.Path("/"), command, bytearray()) for command in commands}
# They take longer to import than all the rest.
assert not {"requests", "packaging"} & sys.modules.keys()
sys.exit(codes.pop() if len(codes) == 1 else str(codes))
"""


def start(kind: str, folder: Path, *commands: str) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-c", PROGRAM, kind, str(folder), *commands]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("kind", ["venv", "conda"])
def test_signals_are_passed_on(kind: str, tmp_path: Path) -> None:
    command = "trap 'echo got; exit 7' TERM; echo ready; while true; do sleep 0.05; done"
    with start(kind, tmp_path, command) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == b"got\n"
    assert process.returncode == 7


def test_what_the_shell_started_ends_with_it(tmp_path: Path) -> None:
    """The end of a batch job's time: a training must not go on unseen."""
    training = f'{sys.executable} -c "import os, time; print(os.getpid(), flush=True); time.sleep(60)"; true'
    with start("venv", tmp_path, training) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        # The end of the output: nobody holds it any more.
        assert process.stdout.read() == b""
    assert process.returncode == 128 + signal.SIGTERM
    assert processes.start_time(pid) is None


def test_a_command_that_signals_at_once_is_not_left_behind(tmp_path: Path) -> None:
    """A signal at the moment of the start, as when a batch job is taken back: 17 of 60 went on as orphans once."""
    notes = [tmp_path / f"{number}" for number in range(6)]
    commands = [f"echo $$ > {note}; kill -TERM $PPID; exec sleep 60" for note in notes]
    with start("venv", tmp_path, *commands) as process:
        pass
    assert process.returncode == 128 + signal.SIGTERM
    assert [processes.start_time(int(note.read_text())) for note in notes] == [None] * 6
