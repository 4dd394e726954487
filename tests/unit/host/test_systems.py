"""Which system this machine is."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.host import packages, systems


@pytest.mark.parametrize(
    ("platform", "kernel", "os_release", "system"),
    [
        ("linux", "5.10", "ID=ubuntu\nID_LIKE=debian\n", "debian"),
        ("linux", "5.10", 'NAME="Debian"\nID=debian\n', "debian"),
        ("linux", "5.10", 'ID="rocky"\nID_LIKE="rhel centos fedora"\n', "fedora"),
        ("linux", "5.10", "ID=manjaro\nID_LIKE=arch\n", "arch"),
        ("linux", "5.10", "ID=nixos\n", "linux"),
        ("linux", "5.15.90.1-microsoft-standard-WSL2", "ID=ubuntu\n", "wsl2"),
        ("win32", "10", "", "windows"),
        ("darwin", "21", "", "macos"),
    ],
)
def test_the_system(platform: str, kernel: str, os_release: str, system: str) -> None:
    assert systems.find_system(platform, kernel, systems.parse_os_release(os_release)) == system


@pytest.mark.parametrize(
    ("os_release", "expected"),
    [
        ("ID=debian\n", True),
        ('ID="ubuntu"\n', True),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', True),
        ("ID=fedora\n", False),
        ("", False),
    ],
)
def test_debian_is_known_by_its_release_file(os_release: str, *, expected: bool) -> None:
    assert systems.is_debian(systems.parse_os_release(os_release)) is expected


def test_without_any_os_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systems, "OS_RELEASE", (tmp_path / "none",))
    monkeypatch.setattr(packages, "missing", lambda: ["docker.io"])
    assert systems.read_os_release() == {}
    assert "on Debian and Ubuntu only" in str(packages.obstacle())
