"""Which system this machine is, as far as the commands that mend something differ between systems."""

from __future__ import annotations

import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from gpuenv.variants import model as variants

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


@dataclass(frozen=True)
class CondaEnvironment:
    """An environment that conda makes on Windows."""

    name: str
    command: str


def for_windows(command: str) -> str:
    """The same command where there is no POSIX shell and conda alone; what has no equal stays as it is."""
    if re.fullmatch(r"make conda-env( VARIANT=\S+)?", command):
        return _conda(command).command
    words = command.split(" ")
    if words[0] == "unset":
        return " & ".join(f"set {name}=" for name in words[1:])
    return re.sub(r"^export (?=\w+=\S+$)", "set ", command)


def conda_for_windows(command: str) -> CondaEnvironment | None:
    """What conda makes in place of a plain `make gpu-shell`; None for any other command."""
    plain = re.fullmatch(r"make gpu-shell(?: (?:VARIANT|FLAVOR)=\S+| GPUS=(?:none|all))*", command)
    return _conda(command) if plain else None


def _conda(command: str) -> CondaEnvironment:
    settings = dict(re.findall(r" ([A-Z]+)=(\S+)", command))
    variant = settings.get("VARIANT") or variants.find_variant(None).name
    suffix = "-cpu" if settings.get("FLAVOR") == "cpu" else ""
    return CondaEnvironment(
        f"gpuenv-{variant}{suffix}", f"conda env create -f envs\\{variant}\\environment{suffix}.yml"
    )
