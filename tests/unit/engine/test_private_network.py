"""The network of a private engine: its bridge and its firewall rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.engine import private_network
from gpuenv.host import packages


def test_the_rules_let_out_and_back_and_masquerade() -> None:
    found = [private_network.argv("-I", rule) for rule in private_network.rules("br", "172.18.0.0/16")]
    assert found[0] == [
        *("iptables", "--wait", "-t", "nat", "-I", "POSTROUTING"),
        *("-s", "172.18.0.0/16", "!", "-o", "br", "-j", "MASQUERADE"),
    ]
    assert [command[4:8] for command in found[1:]] == [["-I", "FORWARD", "-i", "br"], ["-I", "FORWARD", "-o", "br"]]


def fake_iptables(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """An iptables that writes down its arguments and does what ``script`` says."""
    folder.mkdir()
    program = folder / "iptables"
    program.write_text(f'#!/bin/sh\necho "$*" >> {folder}/asked\n{script}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder / "asked"


def test_rules_that_are_there_are_not_added_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = fake_iptables(tmp_path / "bin", monkeypatch, "exit 0")
    assert private_network.allow_forwarding("br", "172.18.0.0/16") is None
    assert "-I" not in asked.read_text().split()


def test_a_firewall_that_refuses_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_iptables(tmp_path / "bin", monkeypatch, "echo 'Permission denied' >&2; exit 4")
    assert private_network.allow_forwarding("br", "172.18.0.0/16") == "iptables: Permission denied"


def test_a_missing_firewall_program_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(packages, "search_path", lambda: str(tmp_path))
    reason = private_network.allow_forwarding("br", "172.18.0.0/16")
    assert reason is not None
    assert "No such file" in reason


def test_the_bridge_has_an_address_of_its_own() -> None:
    address = private_network.mac_address("gpuenv456789ab")
    assert address == private_network.mac_address("gpuenv456789ab") != private_network.mac_address("gpuenv456789ac")
    first = int(address.split(":")[0], 16)
    # Locally administered, and not a group's.
    assert (len(address.split(":")), first & 0b11) == (6, 0b10)
