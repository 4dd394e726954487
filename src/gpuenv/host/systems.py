"""Detects the family of the operating system: debian, fedora, arch, wsl2, windows, macos, linux."""

from __future__ import annotations

import platform
import re
import sys
from pathlib import Path

#: Families, by the names that os-release gives in ID and ID_LIKE.
_FAMILIES = {
    "debian": ("debian", "ubuntu"),
    "fedora": ("fedora", "rhel", "centos"),
    "arch": ("arch",),
}
OS_RELEASE = (Path("/etc/os-release"), Path("/usr/lib/os-release"))


def detect() -> str:
    """``debian``, ``fedora``, ``arch``, ``wsl2``, ``windows``, ``macos``, or ``linux`` for any other."""
    text = next((path.read_text(encoding="utf-8", errors="replace") for path in OS_RELEASE if path.is_file()), "")
    return find_system(sys.platform, platform.release(), text)


def find_system(platform_name: str, kernel: str, os_release: str) -> str:
    """The system from Python's name of the platform, the kernel's version and the text of os-release."""
    if platform_name in ("win32", "cygwin", "msys"):
        return "windows"
    if platform_name == "darwin":
        return "macos"
    if "microsoft" in kernel.lower():
        return "wsl2"
    values = " ".join(re.findall(r"^ID(?:_LIKE)?=[\"']?([^\"'\n]*)", os_release, re.MULTILINE)).split()
    return next((family for family, names in _FAMILIES.items() if {*names} & {*values}), "linux")
