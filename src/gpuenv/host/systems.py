"""Detects the family of the operating system: debian, fedora, arch, wsl2, windows, macos, linux."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from pathlib import Path

#: Families, by the names that os-release gives in ID and ID_LIKE.
_FAMILIES = {"debian": {"debian", "ubuntu"}, "fedora": {"fedora", "rhel", "centos"}, "arch": {"arch"}}
OS_RELEASE = (Path("/etc/os-release"), Path("/usr/lib/os-release"))


def detect() -> str:
    """``debian``, ``fedora``, ``arch``, ``wsl2``, ``windows``, ``macos``, or ``linux`` for any other."""
    return find_system(sys.platform, platform.release(), read_os_release())


def read_os_release() -> dict[str, str]:
    """The fields of this machine's os-release; empty where there is none (macOS)."""
    text = next((path.read_text(encoding="utf-8", errors="replace") for path in OS_RELEASE if path.is_file()), "")
    return parse_os_release(text)


def parse_os_release(text: str) -> dict[str, str]:
    """The fields of an os-release file (os-release(5): shell-like assignments, quotes optional)."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, value in pairs}


def is_debian(os_release: Mapping[str, str]) -> bool:
    """Whether a system with these fields of os-release is Debian, Ubuntu or derived from them."""
    return _family(os_release) == "debian"


def _family(os_release: Mapping[str, str]) -> str | None:
    names = {os_release.get("ID", ""), *os_release.get("ID_LIKE", "").split()}
    return next((family for family, known in _FAMILIES.items() if known & names), None)


def find_system(platform_name: str, kernel: str, os_release: Mapping[str, str]) -> str:
    """The system from Python's name of the platform, the kernel's version and the fields of os-release."""
    if platform_name in ("win32", "cygwin", "msys"):
        return "windows"
    if platform_name == "darwin":
        return "macos"
    if "microsoft" in kernel.lower():
        return "wsl2"
    return _family(os_release) or "linux"
