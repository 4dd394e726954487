"""The network of a private engine: its bridge and its firewall rules."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from gpuenv.engine import private_network
from gpuenv.host import packages


class Firewall:
    """An iptables that keeps its rules, and a kernel's setting, in memory."""

    def __init__(self, folder: Path, forwards: str = "0") -> None:
        self.rules: dict[tuple[str, str], list[list[str]]] = {}
        self.refused = ""
        self.forwarding = folder / "ip_forward"
        self.forwarding.write_text(f"{forwards}\n")
        self.devices = folder / "net"
        self.devices.mkdir()

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        if command[0] != "iptables":
            return subprocess.CompletedProcess(command, 0, "", "")
        _, _, _, table, action, chain, *words = command
        listed = self.rules.setdefault((table, chain), [])
        if action == "-S":
            lines = [shlex.join(["-A", chain, *rule]) for rule in listed]
            return subprocess.CompletedProcess(command, 0, "\n".join([f"-P {chain} ACCEPT", *lines]), "")
        is_known = words in listed
        if action == "-C" or (action == "-D" and not is_known) or (self.refused and self.refused in words):
            return subprocess.CompletedProcess(command, int(not is_known), "", "Permission denied")
        if action == "-D":
            listed.remove(words)
        else:
            listed.insert(0 if action == "-I" else len(listed), words)
        return subprocess.CompletedProcess(command, 0, "", "")

    def all(self) -> list[str]:
        return [" ".join(rule) for listed in self.rules.values() for rule in listed]

    def forwards(self) -> str:
        return self.forwarding.read_text().strip()


@pytest.fixture
def firewall(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Firewall:
    """The firewall of a machine that forwards nothing."""
    made = Firewall(tmp_path)
    monkeypatch.setattr(private_network, "run", made.run)
    monkeypatch.setattr(private_network, "_FORWARDING", made.forwarding)
    monkeypatch.setattr(private_network, "_DEVICES", made.devices)
    return made


SUBNET = "172.18.0.0/16"
GUARD = "! -i gpuenv+ ! -o gpuenv+ -j DROP"


def test_the_rules_let_out_and_back_and_masquerade(firewall: Firewall) -> None:
    assert private_network.allow_forwarding("br", SUBNET) is None
    assert firewall.rules["nat", "POSTROUTING"] == [f"-s {SUBNET} ! -o br -j MASQUERADE".split()]
    assert [" ".join(rule) for rule in firewall.rules["filter", "FORWARD"]] == [
        "-o br -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-i br -j ACCEPT",
        GUARD,
    ]


def test_what_is_closed_comes_before_all_that_others_accept(firewall: Firewall) -> None:
    private_network.allow_forwarding("br", SUBNET)
    assert [" ".join(rule) for rule in firewall.rules["mangle", "FORWARD"]] == [
        "! -i br -o br -m conntrack ! --ctstate RELATED,ESTABLISHED -j DROP"
    ]
    assert {" ".join(rule) for rule in firewall.rules["mangle", "PREROUTING"]} == {
        f"-i br -d 169.254.0.0/16 -p {protocol} ! --dport 53 -j DROP" for protocol in ("tcp", "udp")
    }


def test_forwarding_is_put_back_with_the_rules(firewall: Firewall) -> None:
    theirs = ["-i", "docker0", "-j", "ACCEPT"]
    firewall.rules["filter", "FORWARD"] = [theirs]
    private_network.allow_forwarding("br", SUBNET)
    assert firewall.forwards() == "1"
    private_network.remove("br")
    assert (firewall.forwards(), firewall.all()) == ("0", [" ".join(theirs)])


def test_forwarding_that_was_on_stays_on_and_is_not_narrowed(firewall: Firewall) -> None:
    firewall.forwarding.write_text("1\n")
    private_network.allow_forwarding("br", SUBNET)
    assert GUARD not in firewall.all()
    private_network.remove("br")
    assert (firewall.forwards(), firewall.all()) == ("1", [])


def test_the_last_private_engine_puts_forwarding_back(firewall: Firewall) -> None:
    (firewall.devices / "gpuenvb" / "bridge").mkdir(parents=True)
    private_network.allow_forwarding("gpuenva", SUBNET)
    private_network.allow_forwarding("gpuenvb", "172.19.0.0/16")
    private_network.remove("gpuenva")
    assert (firewall.forwards(), firewall.all().count(GUARD)) == ("1", 1)
    (firewall.devices / "gpuenvb" / "bridge").rmdir()
    private_network.remove("gpuenvb")
    assert (firewall.forwards(), firewall.all()) == ("0", [])


def test_the_containers_of_others_keep_what_they_came_to_need(
    firewall: Firewall, capsys: pytest.CaptureFixture[str]
) -> None:
    """A Docker that was started later found the machine forwarding."""
    private_network.allow_forwarding("br", SUBNET)
    (firewall.devices / "docker0" / "bridge").mkdir(parents=True)
    private_network.remove("br")
    assert (firewall.forwards(), firewall.all()) == ("1", [GUARD])
    assert "goes on forwarding" in capsys.readouterr().err


def test_a_start_that_was_cut_off_is_put_back_by_the_next(firewall: Firewall) -> None:
    """Between its rules and the kernel's setting; and at its end between that and the last rule."""
    private_network.allow_forwarding("br", SUBNET)
    firewall.forwarding.write_text("0\n")
    private_network.remove("br")
    assert (firewall.forwards(), firewall.all()) == ("0", [])


def test_rules_that_are_there_are_not_added_again(firewall: Firewall) -> None:
    private_network.allow_forwarding("br", SUBNET)
    once = firewall.all()
    firewall.forwarding.write_text("0\n")
    private_network.allow_forwarding("br", SUBNET)
    assert firewall.all() == once


@pytest.mark.parametrize("refused", ["MASQUERADE", "169.254.0.0/16", "gpuenv+"])
def test_a_firewall_that_does_not_take_all_gets_none(firewall: Firewall, refused: str) -> None:
    firewall.refused = refused
    reason = private_network.allow_forwarding("br", SUBNET)
    assert reason == "iptables: Permission denied"
    assert (firewall.forwards(), firewall.all()) == ("0", [])


def test_a_kernel_that_does_not_forward_is_told(firewall: Firewall, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container, where its settings are closed."""
    monkeypatch.setattr(private_network, "_FORWARDING", firewall.devices)
    reason = private_network.allow_forwarding("br", SUBNET)
    assert reason == f"{firewall.devices}: Is a directory"
    assert firewall.all() == []


def fake_iptables(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """An iptables that does what ``script`` says."""
    folder.mkdir()
    program = folder / "iptables"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


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
