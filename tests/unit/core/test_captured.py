"""Of what a program prints the end is kept, and one that never stops is ended."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time

import pytest

from gpuenv.core import captured, signals

#: Prints lines for ever on the descriptor that is given.
_ENDLESS = "import os, sys\nwhile True: os.write(int(sys.argv[1]), b'0123456789abcdef\\n' * 1000)"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured, "KEPT_BYTES", 1000)
    monkeypatch.setattr(captured, "MOST_BYTES", 1 << 20)


def test_both_streams_arrive_whole() -> None:
    done = signals.ask(["sh", "-c", "printf 'a\\r\\nb'; printf '\\377c' >&2; exit 3"])
    assert (done.returncode, done.stdout, done.stderr) == (3, "a\nb", "\ufffdc")
    raw = signals.run(["sh", "-c", "printf 'a\\r\\nb'"], stdout=subprocess.PIPE)
    assert raw.stdout == b"a\r\nb"
    assert raw.stderr is None


def test_what_is_not_captured_is_none() -> None:
    done = signals.run(["true"])
    assert (done.returncode, done.stdout, done.stderr) == (0, None, None)


def test_of_much_the_end_is_kept_in_whole_lines(small: None) -> None:
    said = signals.ask(["seq", "-w", "20000"]).stdout
    assert said.endswith("19999\n20000\n")
    assert 900 < len(said) < 1000 + (1 << 16)
    assert {len(line) for line in said.splitlines()} == {5}


@pytest.mark.parametrize("descriptor", ["1", "2"])
def test_what_never_stops_is_ended(descriptor: str, small: None) -> None:
    with pytest.raises(captured.FloodError, match="printed more than 1 MB") as caught:
        signals.ask([sys.executable, "-c", _ENDLESS, descriptor], 60)
    kept = caught.value.stdout if descriptor == "1" else caught.value.stderr
    assert "0123456789abcdef\n" * 10 in kept


def test_a_child_that_holds_the_stream_keeps_nobody_waiting(small: None) -> None:
    began = time.monotonic()
    argv = ["sh", "-c", f"sleep 30 & exec {sys.executable} -c {shlex.quote(_ENDLESS)} 1"]
    with pytest.raises(captured.FloodError):
        signals.ask(argv, 60, start_new_session=True)
    assert time.monotonic() - began < 20


def test_what_hangs_is_not_waited_for() -> None:
    with pytest.raises(subprocess.TimeoutExpired, match=r"0\.05 seconds"):
        signals.ask(["sleep", "30"], 0.05)
    # Also where it prints nothing that anybody reads.
    with pytest.raises(subprocess.TimeoutExpired):
        signals.run(["sleep", "30"], 0.05)
