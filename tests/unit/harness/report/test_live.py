"""The live table: what it shows, and how it reads a file that grows."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from gpuenv.harness.report import table
from gpuenv.harness.report.model import Outcome, Report, add_result
from gpuenv.harness.targets.model import Plan, Target

FIRST = Target("a", "image", "cuda10.0", "gpu", "index")
SECOND = Target("b", "host", "cuda9.0", "cpu", host="ssh://[::1]:22")
PLAN = Plan("r", (FIRST, SECOND))
PASSED = Outcome("identity/python", "a", "identity", "passed", "", "", "n1", 102.0, 2.0)
FAILED = dataclasses.replace(PASSED, check="identity/keras", outcome="failed", what="wrong Keras", finished=103.0)
SKIPPED = dataclasses.replace(PASSED, group="gpu", outcome="skipped", why="no driver", finished=110.0)
EXPECTED = {"a": {"identity": 3, "gpu": 1, "training": 2}, "b": {"identity": 3}}


def show(outcomes: tuple[Outcome, ...], now: float = 165.0) -> list[list[str]]:
    """The rows of the table as a person reads them, and the lines below it."""
    stream = io.StringIO()
    found = Report(PLAN, list(outcomes), expected=EXPECTED)
    Console(file=stream, width=160).print(table.render_live(found, now))
    return [
        [cell.strip() for cell in line.replace("┃", "│").strip("│").split("│")]
        for line in stream.getvalue().splitlines()
        if line.strip(" ┏━┳┓┡╇┩└─┴┘├┼┤")
    ]


def test_before_the_first_check() -> None:
    assert show(()) == [
        ["checks", "cuda10.0-gpu (cuFFT, cuSOLVER: stand-ins)", "cuda9.0-cpu on ssh://[::1]:22"],
        ["identity", "waiting", "waiting"],
        ["gpu", "waiting", "-"],
        ["training", "waiting", "-"],
        ["time", "0 s", "0 s"],
    ]


def test_while_a_target_runs() -> None:
    rows = show((PASSED, FAILED))
    assert rows[1:5] == [
        ["identity", "running, 2 of 3, 1 failed", "waiting"],
        ["gpu", "waiting", "-"],
        ["training", "waiting", "-"],
        # From the start of its first check (102 - 2) until now.
        ["time", "1:05 min", "0 s"],
    ]
    assert rows[5] == ["cuda10.0-gpu (cuFFT, cuSOLVER: stand-ins) failed first: identity/keras: wrong Keras"]


def test_the_next_group_runs_when_one_is_done() -> None:
    rows = show((PASSED, FAILED, PASSED, SKIPPED))
    assert [row[1] for row in rows[1:4]] == ["1 failed, 2 passed", "1 not tested", "running, 0 of 2"]


def test_the_clock_of_a_finished_target_stands() -> None:
    done = tuple(dataclasses.replace(PASSED, target="b", finished=number) for number in (10.0, 20.0, 30.0))
    rows = show(done)
    assert rows[1][2] == "3 passed"
    assert rows[-1] == ["time", "0 s", "22 s"]


def test_tail_reads_what_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    found = Report(PLAN)
    assert found.update(path).outcomes == []
    for outcome in (PASSED, dataclasses.replace(FAILED, what="größer")):
        add_result(path, "outcome", **dataclasses.asdict(outcome))
    text = path.read_bytes()
    for size in range(1, len(text) + 1):
        path.write_bytes(text[:size])
        assert len(found.update(path).outcomes) == text[:size].count(b"\n")
    assert found.outcomes[1].what == "größer"
    assert found.unreadable == 0


@pytest.mark.parametrize(
    ("is_tty", "term", "debug", "wanted"),
    [(True, "xterm", "", True), (False, "xterm", "", False), (True, "dumb", "", False), (True, "xterm", "1", False)],
)
def test_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch, is_tty: bool, term: str, debug: str, wanted: bool) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_tty)
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("GPUENV_DEBUG", debug)
    assert table.is_wanted() == wanted


SCRIPT = """
import subprocess, sys
from pathlib import Path
from gpuenv.harness.report import table
from gpuenv.harness.report.model import Report
from gpuenv.harness.targets.model import Plan, Target
child = subprocess.Popen([sys.executable, "-c", sys.argv[2]])
try:
    code = table.watch(child, Report(Plan("r", (Target("a", "image", "cuda10.0", "cpu"),))), Path(sys.argv[1]))
except KeyboardInterrupt:
    child.kill()
    code = "interrupted"
print("code", code, file=sys.stderr)
"""


def on_a_terminal(results: Path, child: str, interrupt_at: bytes | None = None) -> str:
    """Everything that `watch` writes on a terminal of its own, around a child process; Ctrl-C at some words of it."""
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-c", SCRIPT, str(results), child]
    process = subprocess.Popen(
        argv, stderr=theirs, stdin=theirs, start_new_session=True, env={**os.environ, "TERM": "xterm"}
    )
    os.close(theirs)
    written = b""
    # EIO is Linux' way to say that the other side is closed.
    with os.fdopen(ours, "rb", buffering=0) as stream, contextlib.suppress(OSError):
        while new := stream.read(65536):
            written += new
            if interrupt_at and interrupt_at in written:
                os.killpg(process.pid, signal.SIGINT)
                interrupt_at = None
    process.wait(timeout=20)
    return written.decode()


def test_table_is_drawn_and_taken_away_again(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    add_result(results, "outcome", **dataclasses.asdict(PASSED))
    add_result(results, "expected", a={"identity": 3})
    text = on_a_terminal(results, "import time, sys; time.sleep(0.8); sys.exit(7)")
    assert "running, 1 of 3" in text
    # The cursor is hidden while it is drawn, and comes back.
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert text.rstrip().endswith("code 7")


def test_terminal_is_in_order_after_ctrl_c(tmp_path: Path) -> None:
    began = time.monotonic()
    # A line is erased where the table is drawn anew.
    text = on_a_terminal(tmp_path / "results.jsonl", "import time; time.sleep(30)", interrupt_at=b"\x1b[2K")
    assert "code interrupted" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert time.monotonic() - began < 15
