"""Group target: what was planned is there and starts."""

from __future__ import annotations

import pytest

from gpuenv.errors import CheckError
from gpuenv.report import not_tested
from gpuenv.target import Plan, Target, label_of
from gpuenv.target_container import connect


@pytest.mark.check("target/starts")
def test_target_is_there(planned: Target, plan: Plan) -> None:
    """The environment exists and its Python starts. Fails: an image without Python, a wrong base."""
    if planned.missing is not None:
        if planned.is_required:
            raise CheckError(f"{planned.title} was asked for and is not there", planned.missing, _next_step(planned))
        pytest.skip(not_tested(planned.missing))
    with connect(planned, plan) as connection:
        output = connection.run(f"{planned.python} -c 'print(6 * 7)'")
        if output.stdout.strip() != "42":
            raise CheckError(
                f"{planned.title} does not start Python (exit code {output.code})",
                (output.stderr.strip() or "no message").splitlines()[-1],
                "make clean, then build it again: make images",
            )


def _next_step(planned: Target) -> str:
    if planned.kind == "host":
        return f"try {label_of(planned.host)} by hand (a key without a question, a known host key, a running pod)"
    return "read the messages of its build above; `make engine` says which engine is used"
