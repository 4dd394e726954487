"""Group upstream: Keras' own tests, with UPSTREAM=1 (minutes for each target)."""

from __future__ import annotations

import shlex

import pytest

from gpuenv.engine.container import Mount
from gpuenv.harness.judges.upstream import judge_suite
from gpuenv.harness.report.model import not_tested
from gpuenv.harness.targets import upstream
from gpuenv.harness.targets.connection import ProgramResult
from gpuenv.harness.targets.container import connect
from gpuenv.harness.targets.model import Plan, Target
from gpuenv.variants.model import Variant


@pytest.fixture(scope="session")
def keras_tests(target: Target, variant: Variant, plan: Plan, request: pytest.FixtureRequest) -> ProgramResult:
    """Those that are going to run on this target, all at once. They need the network once, and run without."""
    calls = [item.callspec for item in request.session.items if isinstance(item, pytest.Function)]
    parts = [str(call.params["part"]) for call in calls if "part" in call.params and call.params["target"] == target]
    left_out = variant.upstream.left_out if variant.upstream else {}
    tests = [part for part in parts if part not in left_out] + [f"--deselect={test}" for test in left_out]
    folder = upstream.fetch(target, variant, plan.engine)
    place = upstream.INSIDE if target.kind == "image" else str(folder)
    with connect(target, plan, [Mount(str(folder), upstream.INSIDE, read_only=True)]) as connection:
        return connection.program("upstream", *map(shlex.quote, (place, *tests)))


@pytest.mark.check("upstream")
def test_keras_own_tests_pass(target: Target, variant: Variant, part: str, request: pytest.FixtureRequest) -> None:
    """Fails: PyYAML 6 (model_from_yaml)."""
    if variant.upstream and part in variant.upstream.left_out:
        pytest.skip(not_tested(variant.upstream.left_out[part]))
    if target.kind == "host":
        pytest.skip(not_tested("Keras' own tests run on this machine's environments alone"))
    judge_suite(part, request.getfixturevalue("keras_tests")[part])
