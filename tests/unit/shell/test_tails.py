"""The end of what a program writes."""

from __future__ import annotations

import ast
import os
import pty
import signal
import subprocess
import sys
import time

from gpuenv.shell import terminal

PROGRAM = """
import subprocess, sys
from gpuenv.shell.terminal import errors_kept
tail = bytearray()
with errors_kept(tail) as errors:
    subprocess.run(["sh", "-c", sys.argv[1]], stderr=errors)
print(repr(tail.decode()))
"""


def run(command: str, stderr: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, command], stdout=subprocess.PIPE, stderr=stderr, text=True, check=True
    )


def test_only_the_end_is_kept() -> None:
    done = run("seq 39999 >&2")
    assert done.stderr.startswith("1\n2\n")
    tail = ast.literal_eval(done.stdout)
    assert tail.endswith("\n39998\n39999\n")
    assert len(tail) == terminal.KEPT_BYTES


def test_errors_go_on_to_ours() -> None:
    done = run("echo said; echo ImportError >&2; [ -t 2 ] || echo no terminal >&2")
    assert done.stderr == "ImportError\nno terminal\n"
    assert done.stdout == "said\n'ImportError\\nno terminal\\n'\n"


def test_where_ours_are_a_terminal_they_stay_one() -> None:
    master, slave = pty.openpty()
    try:
        done = run("[ -t 2 ] && echo terminal >&2", stderr=slave)
        assert done.stdout == "'terminal\\n'\n"
        assert os.read(master, 100) == b"terminal\r\n"
    finally:
        os.close(master)
        os.close(slave)


def test_nobody_waits_for_what_went_into_the_background() -> None:
    """It keeps its errors open."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "sleep 20 & echo $!; echo bye >&2"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    try:
        assert process.stdout.readline() == "'bye\\n'\n"
        assert process.wait(10) == 0
        assert time.monotonic() - began < 10
    finally:
        os.kill(pid, signal.SIGKILL)
        process.communicate()
