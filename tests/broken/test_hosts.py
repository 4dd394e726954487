"""Each simulated host gets the finding that it should: group gpu of the harness, on the variants' real images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import pytest

from gpuenv.engine.model import Engine
from gpuenv.harness.report.model import Outcome

from . import hosts
from .host_table import ANSWERED, COMPUTED, VARIANTS, HostFault, load_host_faults
from .hosts import Lab


@pytest.fixture(scope="module")
def lab(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with hosts.running_lab(engine, tmp_path_factory.mktemp("lab") / "machine") as running:
        yield running


@pytest.fixture(scope="module")
def found(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Checked:
    return Checked(lab, tmp_path_factory)


class Checked:
    """The harness' outcomes on a host; both variants are checked in one run."""

    def __init__(self, lab: Lab, folders: pytest.TempPathFactory) -> None:
        self.on = cache(lambda name: hosts.check(lab.become(name), folders.mktemp(name)))

    def outcomes(self, fault: HostFault) -> dict[str, Outcome]:
        return {one.check: one for one in self.on(fault.scenario) if one.target == fault.target}


@pytest.mark.parametrize("fault", load_host_faults(), ids=lambda fault: f"{fault.scenario}-{fault.variant}")
def test_the_host_gets_its_finding(fault: HostFault, found: Checked) -> None:
    outcomes = found.outcomes(fault)
    failed = {check for check, one in outcomes.items() if one.outcome == "failed"}
    assert failed == set(fault.fails), {check: outcomes[check] for check in failed ^ set(fault.fails)}
    if fault.fails:
        first = outcomes[fault.fails[0]]
        assert re.search(fault.says, f"{first.what}\n{first.why}"), first
        assert re.search(fault.next, first.next_step), first
    reason = "the driver does not answer inside" if fault.silent else "simulated driver"
    for check, one in outcomes.items():
        name = check.split("/")[1]
        assert name in (*ANSWERED, *COMPUTED)
        # What would have to compute is never passed, whatever the driver says.
        assert name in ANSWERED or (one.outcome, one.reason) == ("skipped", reason), check


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_a_simulated_driver_cannot_show_is_not_tested(variant: str, found: Checked) -> None:
    outcomes = found.outcomes(HostFault("v100", variant, ()))
    passed = {check for check, one in outcomes.items() if one.outcome == "passed"}
    assert passed == {f"gpu/{name}" for name in ANSWERED}
    left = {one.reason for check, one in outcomes.items() if check not in passed}
    assert left == {"simulated driver"}
