"""The rule of every judge: nothing passes on no evidence."""

from __future__ import annotations

from collections.abc import Sized

from gpuenv.core.errors import CheckError


def require(shown: Sized, what: str) -> None:
    """Raise CheckError where a program showed nothing of ``what``: of nothing, everything that is asked is true."""
    if not shown:
        raise CheckError(
            f"the check was shown no {what}, so nothing is proven",
            "the program that looks for it failed without a word, or looked in another place",
            "read its output below, and run it by hand in the same environment",
        )
