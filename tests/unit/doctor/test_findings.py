"""Remedies: for every system, used, and asking for nothing that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.doctor import command as doctor
from gpuenv.doctor import findings
from gpuenv.doctor.facts import (
    Machine,
)


def test_every_remedy_has_one_for_all_systems_or_names_the_systems_that_there_are() -> None:
    systems = {"debian", "fedora", "arch", "wsl2", "windows", "macos", "linux", "*"}
    for name, known in findings.load().items():
        assert "*" in known, name
        assert set(known) <= systems | {"root", findings.SYSTEMD, findings.SYSV, findings.OPENRC}, name


def test_every_remedy_is_used() -> None:
    code = "".join(path.read_text() for path in Path(doctor.__file__).parent.rglob("*.py"))
    texts = "".join(text for entry in findings.load().values() for text in entry.values())
    assert [name for name in findings.load() if f'"{name}"' not in code and f"{{{name}}}" not in texts] == []


VALUES = {"name": "x", "group": "docker", "path": "/x", "forget": "x"}


def rendered(name: str, system: str, *, is_root: bool, init: str) -> str:
    kinds = Machine(system=system, is_root=is_root, init=init).kinds
    return str(findings.render(findings.Mend(name, **VALUES), kinds))


@pytest.mark.parametrize("name", sorted(findings.load()))
def test_no_remedy_asks_root_for_sudo_nor_for_systemd_what_does_not_run(name: str) -> None:
    for system in ("debian", "fedora", "arch", "linux"):
        text = rendered(name, system, is_root=True, init=findings.SYSV)
        assert not any(
            word in text for word in ("sudo", "$USER", "systemctl start", "systemctl restart", "timedatectl")
        )
        assert text.strip(" &,") == text or name == "trust-first"


def test_root_on_debian_installs_without_joining_a_group() -> None:
    text = "sudo apt-get install docker.io && sudo usermod -aG docker $USER  (then log in again)"
    assert rendered("install-engine", "debian", is_root=True, init=findings.SYSTEMD) == "apt-get install docker.io"
    assert rendered("install-engine", "debian", is_root=False, init=findings.SYSTEMD) == text


def test_a_toolkit_is_set_up_without_systemd() -> None:
    text = rendered("install-toolkit", "debian", is_root=False, init=findings.SYSV)
    assert "sudo nvidia-ctk runtime configure --runtime=docker && sudo service docker restart" in text
