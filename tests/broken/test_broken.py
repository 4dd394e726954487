"""Every fault is caught by the check that is named for it, and by no check that has nothing to do with it.

The harness runs once for all faults that were selected, also with several workers (`-n`): the first that needs
the outcomes gets them, the others wait.
"""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

from gpuenv.core import locking
from gpuenv.engine.model import Engine
from gpuenv.harness.report.model import Outcome

from . import session
from .table import Fault, is_part, load_faults


@pytest.fixture(scope="session")
def outcomes(
    engine: Engine, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Outcome, ...]:
    """What the harness found on every selected fault."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if hasattr(request.config, "workerinput") else folder
    found = folder / "broken.json"
    with locking.held(folder / "broken.lock", "another worker runs the harness; waiting for it"):
        if not found.exists():
            names = [name for item in request.session.items for name in _faults_of(item)]
            outcomes = session.run(engine, [load_faults()[name] for name in names], folder / "harness")
            found.write_text(json.dumps([dataclasses.asdict(one) for one in outcomes]), "utf-8")
    return tuple(Outcome(**values) for values in json.loads(found.read_text("utf-8")))


def _faults_of(item: pytest.Item) -> list[str]:
    if isinstance(item, pytest.Function) and "outcomes" in item.fixturenames:
        fault = item.callspec.params["fault"]
        assert isinstance(fault, Fault)
        return [fault.name]
    return []


@pytest.mark.parametrize("fault", load_faults().values(), ids=load_faults())
def test_fault_is_caught_by_its_check(fault: Fault, outcomes: tuple[Outcome, ...]) -> None:
    own = [one for one in outcomes if one.target == fault.identity]
    failed = {one.check: one for one in own if one.outcome == "failed"}
    unexpected = [
        f"{one.check}: {one.what}\n{one.output[-500:]}" for one in own if one.check in failed.keys() - set(fault.fails)
    ]
    assert not unexpected, "checks fail that have nothing to do with it"
    missed = [one for one in fault.fails if one not in failed]
    assert not missed, f"not caught; what ran: {sorted(one.check for one in own)}"
    first = failed[fault.fails[0]]
    assert re.search(fault.says, f"{first.what}\n{first.why}", re.MULTILINE), f"caught for another reason: {first.what}"
    # Three lines for people, and not the traceback of a check that could not cope.
    assert all(one.what and one.next_step for one in failed.values())
    passed = [one.check for one in own if one.outcome == "passed"]
    left_out = {
        one.reason for one in own if one.outcome == "skipped" and any(is_part(one.check, of) for of in fault.green)
    }
    assert left_out <= {"stand-in"}
    assert [group for group in fault.green if not any(is_part(check, group) for check in passed)] == []
