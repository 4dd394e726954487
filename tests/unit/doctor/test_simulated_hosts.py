"""Every simulated host (docs/simulated-host.md) gets its finding by `make doctor`, and a command that then works.

Without a compiler: a script stands for nvidia-smi. tests/e2e/test_doctor_hosts.py uses the compiled driver.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.doctor import HOSTS, check_host, probe_host, write_hook, write_smi
from simulated.host import build, scenario


def make_root(known: scenario.Scenario, root: Path) -> Path:
    """The folder of a host, without what has to be compiled."""
    for node in known.nodes:
        build.write(root / "dev" / node, "")
    for name, text in scenario.render_proc(known).items():
        build.write(root / "proc/driver/nvidia" / name, text)
    (root / "path").mkdir()
    write_smi(root / "path", known)
    return root


def test_the_table_has_every_simulated_host() -> None:
    assert sorted(HOSTS) == scenario.list_names()


@pytest.mark.parametrize("name", sorted(HOSTS))
def test_a_simulated_host_gets_its_findings_and_no_other(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = scenario.find_scenario(name)
    facts = probe_host(monkeypatch, known, make_root(known, tmp_path / "root"), write_hook(tmp_path / "hooks"))
    check_host(facts, name)
    assert facts.gpus is not None
    assert [card.capability for card in facts.gpus.cards] == [device.compute_capability for device in known.devices]
