"""The tables of what is broken on purpose are whole: every check is seen failing somewhere, and every name exists."""

from __future__ import annotations

import pytest

from broken import host_table, table
from broken.table import Fault
from simulated.host import scenario

FAULTS = table.load_faults()


def test_every_check_is_seen_failing_somewhere() -> None:
    by_fault = {table.check_of(check) for fault in FAULTS.values() for check in fault.fails}
    elsewhere = set(table.load_elsewhere())
    assert table.known_checks() - by_fault - elsewhere == set()
    assert by_fault & elsewhere == set(), "a fault is about it: take it out of [elsewhere]"
    assert elsewhere <= table.known_checks()


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_names_checks_that_there_are(fault: Fault) -> None:
    groups = {check.split("/")[0] for check in table.known_checks()}
    assert fault.fails
    assert fault.says, "a check that fails for another reason would pass for the catch"
    for check in fault.fails:
        assert table.check_of(check)
    for check in fault.green:
        assert check in groups or table.check_of(check)
    assert fault.green, "what has nothing to do with a fault has to stay green"


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_changes_something(fault: Fault) -> None:
    changes = (
        fault.dockerfile,
        fault.shell,
        fault.wheel,
        fault.edits,
        fault.container,
        fault.user != "1000:1000",
        fault.cudnn,
    )
    assert any(changes)


def test_every_simulated_host_has_its_row() -> None:
    rows = {fault.scenario for fault in host_table.load_host_faults()}
    assert rows == set(scenario.list_names())
    known = table.known_checks()
    assert {f"gpu/{name}" for name in (*host_table.ANSWERED, *host_table.COMPUTED)} == {
        check for check in known if check.startswith("gpu/")
    }


def test_the_readme_is_current() -> None:
    assert table.README.read_text("utf-8") == table.render_readme(), "PYTHONPATH=tests python -m broken.table"
