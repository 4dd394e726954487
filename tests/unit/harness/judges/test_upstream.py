"""The judge of Keras' own tests passes what is right and refuses what is not."""

from __future__ import annotations

from typing import Any

import pytest

from gpuenv.core.errors import CheckError
from gpuenv.harness.judges.upstream import judge_suite

GOOD = {"passed": 20, "skipped": 3, "failed": [], "exit_code": 0, "seconds": 9.0, "last": ["20 passed, 3 skipped"]}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"failed": ["a: boom", "b: boom", "c: boom", "d: boom"]}, r"4 of 24 .* in keras/layers fail"),
        # What pytest says of itself, and tests that all skip, are not passed over.
        ({"exit_code": 2, "last": ["INTERNALERROR"]}, r"did not run to their end: .* is 2\n.*INTERNALERROR"),
        ({"passed": 0}, "shown no test of Keras' own in keras/layers that passed"),
        ({"passed": 0, "exit_code": 5, "last": []}, r"did not run to their end: .* is 5\n.*pytest said nothing"),
    ],
)
def test_a_suite_that_failed_or_did_not_run(change: dict[str, Any], what: str) -> None:
    judge_suite("keras/layers", GOOD)
    with pytest.raises(CheckError, match=what):
        judge_suite("keras/layers", {**GOOD, **change})


def test_many_failures_are_counted() -> None:
    with pytest.raises(CheckError) as caught:
        judge_suite("keras/layers", {**GOOD, "failed": [f"test_{n}: boom" for n in range(5)]})
    assert caught.value.why == "test_0: boom; test_1: boom; test_2: boom; and 2 more"
