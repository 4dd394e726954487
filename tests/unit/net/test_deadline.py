"""Questions with a deadline: answers, errors, and what hangs."""

from __future__ import annotations

import threading
import time

from gpuenv.net import deadline

HANG_S = 30


def _fail() -> str:
    raise ValueError("broken")


def test_answers_errors_and_silence_are_told_apart() -> None:
    silent = threading.Event()
    began = time.monotonic()
    asked: deadline.Asked[str, object] = deadline.Asked()
    for key, question in {"good": lambda: "yes", "bad": _fail, "silent": lambda: silent.wait(HANG_S)}.items():
        asked.ask(key, question)
    found = asked.wait(["good", "bad", "silent"], seconds=0.5)
    assert time.monotonic() - began < HANG_S / 2
    silent.set()
    assert found.keys() == {"good", "bad"}
    assert found["good"] == "yes"
    assert isinstance(found["bad"], ValueError)


def test_all_are_asked_at_the_same_time_and_nobody_waits_for_the_deadline() -> None:
    together = threading.Barrier(8)
    asked: deadline.Asked[int, int] = deadline.Asked()
    assert asked.wait([], HANG_S) == {}
    for key in range(8):
        asked.ask(key, together.wait)
    assert sorted(asked.wait(range(8), HANG_S).values(), key=str) == [*range(8)]
    assert time.monotonic() - asked.began < HANG_S / 2


def test_of_two_answers_to_one_question_the_first_counts() -> None:
    asked: deadline.Asked[str, int] = deadline.Asked()
    late = threading.Event()
    asked.ask("x", lambda: 2 if late.wait(HANG_S) else 3)
    asked.ask("x", lambda: 1)
    assert asked.wait(["x"], HANG_S) == {"x": 1}
    late.set()
    assert asked.wait(["y"], 0.05) == {"x": 1}
