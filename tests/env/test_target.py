"""Group target: what was planned is there and starts."""

from __future__ import annotations

import shlex

import pytest

from gpuenv.core.errors import CheckError
from gpuenv.harness.report.model import not_tested
from gpuenv.harness.targets.connection import last_line
from gpuenv.harness.targets.container import connect
from gpuenv.harness.targets.hosts import UNREACHED
from gpuenv.harness.targets.model import Plan, Target


@pytest.mark.check("target/starts")
def test_target_is_there(planned: Target, plan: Plan) -> None:
    """The environment exists and its Python starts. Fails: an image without Python, a wrong base."""
    if planned.missing is not None:
        if planned.is_required:
            raise CheckError(f"{planned.title} was asked for and is not there", planned.missing, _next_step(planned))
        pytest.skip(not_tested(planned.missing))
    with connect(planned, plan) as connection:
        output = connection.run(f"{shlex.quote(planned.python)} -c 'print(6 * 7)'")
        # Before that a shell on another machine may have greeted its user.
        if last_line(output.stdout) != "42":
            raise CheckError(
                f"{planned.title} does not start Python (exit code {output.code})",
                last_line(output.stderr) or "no message",
                "mend the environment there" if planned.kind == "host" else "make clean, then build it: make images",
            )


def _next_step(planned: Target) -> str:
    if planned.kind == "host" and str(planned.missing).startswith(UNREACHED):
        return f"try {planned.address} by hand (a key without a question, a known host key, a running pod)"
    if planned.kind == "host":
        return f"name the environment's folder there: HOSTS='{planned.address}?prefix=/opt/gpuenv'"
    return "read the messages of its build above; `make engine` says which engine is used"
