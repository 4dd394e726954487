"""Each check of `gpuenv.doctor.checks.host` is seen giving every severity that it has."""

from __future__ import annotations

import pytest

from fakes.doctor import (
    Case,
    assert_says,
    assert_seen,
    machine,
)
from gpuenv.doctor.checks import host as checks

#: Check, severity, a part of the message, a part of the remedy, and what is changed of the good machine.
CASES: list[Case] = [
    Case("architecture", "ok", "x86_64", "", []),
    Case("architecture", "error", "aarch64", "another machine", [machine(architecture="aarch64")]),
    Case("avx", "ok", "has AVX", "", []),
    Case("avx", "unknown", "does not say", "cpuinfo", [machine(flags=None)]),
    Case("avx", "unknown", "does not say", "sysctl", [machine(system="macos", flags=None)]),
    Case("avx", "error", "no AVX", "2011", [machine(flags=frozenset({"avx2"}))]),
    Case("avx", "error", "virtual machine", "-cpu host", [machine(flags=frozenset({"hypervisor"}))]),
    Case("kernel", "ok", "6.1.0", "", []),
    Case("kernel", "ok", "(WSL2)", "", [machine(system="wsl2", kernel="5.15.90.1-microsoft-standard-WSL2")]),
    Case("kernel", "ok", "Darwin", "", [machine(system="macos", kernel="23.1.0")]),
    Case(
        "kernel",
        "warning",
        "WSL2",
        "wsl.exe --update",
        [machine(system="wsl2", kernel="5.4.72-microsoft-WSL2")],
    ),
    Case("kernel", "error", "WSL 1", "set-version", [machine(system="wsl2", kernel="4.4.0-19041-Microsoft")]),
    Case("kernel", "error", "3.10", "newer", [machine(kernel="2.6.32-754.el6")]),
    Case("kernel", "error", "Windows itself", "wsl --install", [machine(system="windows", kernel="10")]),
    Case("libc", "ok", "glibc 2.36", "", []),
    Case("libc", "ok", "bring their own", "", [machine(system="macos", libc="")]),
    Case("libc", "warning", "older than 2.17", "container", [machine(libc="glibc 2.12")]),
    Case("libc", "warning", "not glibc", "container", [machine(libc="")]),
]


@pytest.mark.parametrize(Case._fields, CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_check_says_what_it_sees(name: str, severity: str, message: str, remedy: str, changes: list[object]) -> None:
    assert_says(Case(name, severity, message, remedy, changes))


def test_every_check_is_seen_to_pass_and_to_fail() -> None:
    assert_seen(checks, CASES)
