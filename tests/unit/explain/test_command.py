"""`make explain` as a whole: the user's own traceback, in every disguise, and what nobody knows."""

from __future__ import annotations

import io
import itertools
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpuenv import cli
from gpuenv.engine import refusals
from gpuenv.engine.container import Spec
from gpuenv.engine.model import RefusedError
from gpuenv.explain import answer
from gpuenv.explain import command as explain
from gpuenv.explain.catalog import MOST_LINES, load_catalog
from gpuenv.explain.text import LINE_BYTES, PIECE_BYTES, read_pieces
from gpuenv.images import log as build_log
from gpuenv.net.build_settings import BuildNetwork

TRACEBACK = Path(__file__).parent / "data" / "windows-cudart64_100.txt"


@pytest.fixture(autouse=True)
def _no_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)


def run_json(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert cli.main(["explain", "--json", str(path)]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def check_is_the_users(result: dict[str, Any], line: str = "cudart64_100.dll") -> None:
    assert result["known"] is True
    root = result["causes"][0]
    assert (root["id"], root["row"], root["stage"]) == ("dll-of-another-cuda", "P23", "libraries")
    assert "built for CUDA 10.0" in root["cause"]
    assert "9.0" in root["cause"]
    assert "or none" in root["cause"]
    remedy = "\n".join(root["remedy"])
    assert "make gpu-shell VARIANT=cuda10.0" in remedy
    assert r"conda env create -f envs\cuda10.0\environment.yml" in remedy
    assert any(line in one for one in root["evidence"])


def test_the_users_own_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    check_is_the_users(run_json(TRACEBACK, capsys))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "cp949"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_the_same_as_windows_writes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], encoding: str, end: str
) -> None:
    text = TRACEBACK.read_text(encoding="utf-8")
    path = tmp_path / "log.txt"
    path.write_bytes(text.replace("\n", end).encode(encoding))
    check_is_the_users(run_json(path, capsys))


def test_the_same_with_colors_of_a_notebook(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = TRACEBACK.read_text(encoding="utf-8").replace("ImportError", "\x1b[0;31mImportError\x1b[0m")
    path = tmp_path / "log.txt"
    path.write_text(text.replace("find 'cudart", "find \x1b[1m'cudart"), encoding="utf-8")
    check_is_the_users(run_json(path, capsys))


def noise(size: int) -> Iterator[bytes]:
    numbers = random.Random(1)  # the same log each time
    blocks = [
        b"".join(
            b"\x1b[32m#%d\x1b[0m epoch %d loss: 0.%d error: 0.1\r\n %d%%\r %d%%\r\nCollecting package-%d\n"
            % tuple(numbers.choices(range(10**6), k=6))
            for _ in range(1000)
        )
        for _ in range(10)
    ]
    for block in itertools.cycle(blocks):
        yield block
        size -= len(block)
        if size <= 0:
            return


def test_the_same_amid_much_noise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # It is read in pieces: what goes wrong from one to the next shows with two of them on either side.
    size = 2 * PIECE_BYTES
    path = tmp_path / "log.txt"
    with path.open("wb") as stream:
        stream.writelines(noise(size))
        stream.write(TRACEBACK.read_bytes())
        stream.writelines(noise(size))
    lines = path.read_bytes().split(b"\n")
    number = next(place for place, line in enumerate(lines, 1) if b"Could not find 'cudart64_100.dll'" in line)
    check_is_the_users(run_json(path, capsys))
    assert cli.main(["explain", str(path)]) == 0
    assert f"line {number}: ImportError: Could not find" in capsys.readouterr().out


def test_memory_does_not_grow_with_the_log() -> None:
    program = (
        "import itertools, pathlib, re\n"
        "from gpuenv.explain import catalog, command as explain, text as log_text\n"
        "line = b'2019-10-15: I tensorflow/core: step %d error: 0.25\\n'\n"
        "block = b''.join(line % n for n in range(2000))\n"
        "for count in (4, 28):\n"
        "    pieces = log_text.read_pieces(itertools.repeat(block, count), 'it')\n"
        "    explain.read(pieces, catalog.load_catalog())\n"
        "    print(re.search(r'VmHWM:\\s+(\\d+) kB', pathlib.Path('/proc/self/status').read_text())[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    small, big = map(int, done.stdout.split())
    # The second log is 2500 kB longer; the first one grows the process to what reading takes, within 200 kB.
    # getrusage() is not asked: what it says begins with the size of the process that started this one.
    assert big < small + 1250, "kilobytes"


LONG = b"x" * (3 * PIECE_BYTES)


@pytest.mark.parametrize(
    ("before", "number"),
    [
        (LONG + b"\n", 2),
        (LONG + b"\r\n", 2),
        (LONG + b"\n" + LONG + b"\n\n", 4),
        (b"x" * PIECE_BYTES + b"\r\n", 2),
        (b"x" * (LINE_BYTES + 1) + b"\nnext\n", 3),
        (b"gone\r" + b"x" * (LINE_BYTES + 1) + b"\n", 2),
        (LONG + b" ", 1),
        (LONG + b"\n" + b"next\n" * (2 * MOST_LINES), 2 + 2 * MOST_LINES),
    ],
)
@pytest.mark.parametrize("size", [1000, PIECE_BYTES])
@pytest.mark.parametrize("error", [b"Could not find 'cudart64_100.dll'", b"an error that nobody knows"])
def test_a_long_line_counts_once(before: bytes, number: int, size: int, error: bytes) -> None:
    log = before + error + b"\nlast\n"
    chunks = (log[start : start + size] for start in range(0, len(log), size))
    reading = explain.read(read_pieces(chunks, "it"), load_catalog())
    lines = reading.found.root.evidence if reading.found else reading.suspects
    assert bool(reading.found) is (b"cudart" in error)
    assert [line.number for line in lines] == [number]


def test_words_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", str(TRACEBACK)]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("cause: This TensorFlow was built for CUDA 10.0")
    assert "what to do (windows):" in captured.out
    assert "\n       make gpu-shell VARIANT=cuda10.0\n" in captured.out
    assert "goes away with it:" in captured.out
    assert captured.err == ""


def test_korean_words(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GPUENV_LANG", "ko")
    assert cli.main(["explain", str(TRACEBACK)]) == 0
    assert capsys.readouterr().out.startswith("원인: 이 TensorFlow는 CUDA 10.0")


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "ko_KR.UTF-8"}, "ko"),
        ({"LANG": "ko_KR.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LC_MESSAGES": "ko_KR", "LANG": "de_DE"}, "ko"),
        ({"GPUENV_LANG": "ko", "LC_ALL": "en_US"}, "ko"),
        ({"GPUENV_LANG": "de"}, "en"),
    ],
)
def test_the_language(environment: dict[str, str], language: str) -> None:
    assert answer.choose_language(environment) == language


@pytest.mark.parametrize("words", [answer.WORDS["en"], answer.WORDS["ko"]])
def test_every_language_has_every_word(words: dict[str, str]) -> None:
    assert words.keys() == answer.WORDS["en"].keys()
    assert all(words.values())


def test_what_is_unknown_is_called_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log"
    path.write_text("begin\nZeroDivisionError: division by zero\nend\n")
    assert cli.main(["explain", str(path)]) == 3
    out = capsys.readouterr().out
    assert "not in the catalogue" in out
    assert "line 2: ZeroDivisionError: division by zero" in out
    assert "docs/catalogue.md" in out
    assert cli.main(["explain", "--json", str(path)]) == 3
    assert json.loads(capsys.readouterr().out) == {"known": False, "causes": [], "unread_from": None}


def test_the_log_as_setting_and_as_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TRACEBACK.read_bytes())))
    assert cli.main(["explain"]) == 0
    monkeypatch.setenv("GPUENV_LOG", str(TRACEBACK))
    monkeypatch.setenv("GPUENV_JSON", "1")
    assert cli.main(["explain"]) == 0
    assert '"known": true' in capsys.readouterr().out


def test_bad_input_is_three_lines_and_not_the_code_for_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["explain", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "system", "target"),
    [
        (b"OSError: [WinError 126] x\n", "windows", None),
        (b'File "C:\\Users\\a\\x.py"\n', "windows", None),
        (b'File "C:\\\\ProgramData\\\\Anaconda3\\\\x.py"\n', "windows", "conda"),
        (b"Could not load dynamic library 'cublas64_100.dll'\n", "windows", None),
        (b"https:\\\\x abc:\\n\n", None, None),
        (b"/home/a/miniconda3/lib/x.py\n", None, "conda"),
        (b"docker: Error response from daemon: x\n", None, "image"),
        (b"/home/a/.venv/lib/x.py\n", None, "venv"),
        (b"docker run x\nconda install y\n", None, None),
    ],
)
def test_what_a_log_shows_of_its_origin(text: bytes, system: str | None, target: str | None) -> None:
    signs = answer.Signs()
    signs.feed(text)
    assert (signs.system, signs.target) == (system, target)


def test_windows_gets_what_works_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log"
    path.write_text('File "C:\\x.py"\nTypeError: Descriptors cannot not be created directly.\n')
    steps = "\n".join(run_json(path, capsys)["causes"][0]["remedy"])
    assert "(In WSL2) Or work in a gpuenv environment" in steps
    assert r"then `conda activate gpuenv-cuda10.0`. Run: conda env create -f envs\cuda10.0\environment.yml" in steps


@pytest.mark.parametrize(
    ("command", "there"),
    [
        ("export A=true", "set A=true"),
        ("unset A B", "set A= & set B="),
        ("make conda-env VARIANT=cuda9.0", r"conda env create -f envs\cuda9.0\environment.yml"),
        ("make gpu-shell", "make gpu-shell"),
        ("docker login", "docker login"),
    ],
)
def test_a_command_on_windows(command: str, there: str) -> None:
    assert answer.for_windows(command) == there


def test_what_anaconda_makes_in_place_of_a_shell() -> None:
    made = answer.conda_for_windows("make gpu-shell VARIANT=cuda9.0 GPUS=none FLAVOR=cpu")
    assert made
    assert made == ("gpuenv-cuda9.0-cpu", r"conda env create -f envs\cuda9.0\environment-cpu.yml")
    assert answer.conda_for_windows("make gpu-shell PORT=8888 CMD=jupyter") is None
    assert answer.conda_for_windows("make images") is None


def test_a_harmless_message_is_no_root_cause(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log"
    path.write_text(
        "E x.cc:1] failed call to cuInit: UNKNOWN ERROR (303)\nTypeError: Descriptors cannot not be created directly.\n"
    )
    assert [one["id"] for one in run_json(path, capsys)["causes"]] == [
        "protobuf-newer-than-tensorflow",
        "no-driver-library",
    ]


# --- for failures of our own --------------------------------------------------------------------

STUB = "2019-01-01 00:00:00.0: E x.cc:1] failed call to cuInit: CUDA_ERROR_STUB_LIBRARY\n"


def test_the_cause_of_some_output_and_what_to_try_first() -> None:
    known = explain.diagnose("noise\n" + TRACEBACK.read_text(encoding="utf-8"))
    assert known
    assert "\n" not in known.cause + known.remedy
    assert "built for CUDA 10.0" in known.cause
    assert "VARIANT=cuda10.0" in known.remedy
    assert explain.diagnose("all is well") is None
    assert explain.diagnose("") is None


def test_a_broken_catalog_does_not_hide_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "load_catalog", lambda: 1 / 0)
    assert explain.diagnose(STUB) is None
    assert explain.note(STUB) == ""


def test_a_note_stands_under_the_three_lines() -> None:
    note = explain.note(STUB)
    assert note.startswith("  shows: ")
    assert note.endswith("\n")
    assert all(line.startswith("  ") for line in note.splitlines())


def test_a_failed_build_names_a_cause_that_the_catalog_knows() -> None:
    network = BuildNetwork("", "", None, "", ())
    found = build_log.find_cause(["noise", STUB.strip()], network)
    assert "stub" in found.cause
    assert "the end of its log" in build_log.find_cause(["noise"], network).cause


def test_a_refused_container_names_a_cause_that_the_catalog_knows() -> None:
    spec = Spec("x", "image", (), "1:1", "none")
    assert "GPUENV_DEBUG=1" in refusals.explain_refusal(spec, RefusedError(500, "no")).next_step
    assert "stub" in refusals.explain_refusal(spec, RefusedError(500, STUB.strip())).why


def test_the_catalog_is_not_loaded_for_a_shell() -> None:
    program = "import sys, gpuenv.shell.command; assert 'gpuenv.explain.catalog' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_catalog_comes_with_the_command() -> None:
    assert load_catalog()


def test_a_log_that_takes_too_long_is_said_to_be_read_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = [b"alpha\n", b"beta\n", b"gamma\n"]
    assert explain.read(pieces, load_catalog()).unread_from is None
    clock = iter([0.0, 0.0, 1.0, 99.0, 99.0, 99.0])
    monkeypatch.setattr("gpuenv.explain.command.time.process_time", clock.__next__)
    assert explain.read(pieces, load_catalog()[:1], 2.0).unread_from == 3


def test_the_answer_says_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    log.write_text("nothing that is known\n", encoding="utf-8")
    monkeypatch.setattr(explain, "BUDGET_S", -1.0)
    assert cli.main(["explain", str(log)]) == explain.UNKNOWN
    assert "not looked at from line 1 on" in capsys.readouterr().out
