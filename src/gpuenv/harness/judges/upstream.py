"""What Keras' own tests have to show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpuenv.core.errors import CheckError
from gpuenv.harness.judges.grounds import require

#: So many failures are named.
MOST = 3


def judge_suite(name: str, found: Mapping[str, Any]) -> None:
    """Some passed, none failed, and pytest says the same. Raises CheckError."""
    failed = found["failed"]
    if failed:
        raise CheckError(
            f"{len(failed)} of {found['passed'] + len(failed)} of Keras' own tests in {name} fail",
            "; ".join(failed[:MOST]) + (f"; and {len(failed) - MOST} more" if failed[MOST:] else ""),
            "what changed is a package that Keras uses: compare with the lock (group identity)",
        )
    if found["exit_code"] != 0:
        raise CheckError(
            f"Keras' own tests in {name} did not run to their end: pytest's exit code is {found['exit_code']}",
            (found["last"] or ["pytest said nothing"])[-1],
            "read its output below",
        )
    require(range(found["passed"]), f"test of Keras' own in {name} that passed")
