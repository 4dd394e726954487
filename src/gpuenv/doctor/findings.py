"""What a check of `make doctor` says: its name, how bad it is, what is wrong, and the command that mends it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

OK = "ok"
WARNING = "warning"
ERROR = "error"
#: It could not be found out: that is neither a pass nor a fault.
UNKNOWN = "unknown"
SEVERITIES = (OK, UNKNOWN, WARNING, ERROR)

EXIT_FINE = 0
EXIT_CANNOT = 2


@dataclass(frozen=True)
class Finding:
    """One line of the report. ``remedy`` is a command for this system, or what to do; None where nothing is wrong."""

    check: str
    severity: str
    message: str
    remedy: str | None = None


def ok(check: str, message: str) -> list[Finding]:
    """Nothing is wrong."""
    return [Finding(check, OK, message)]


def warning(check: str, message: str, remedy: str) -> list[Finding]:
    """It works, but not as well as it could, or only for now."""
    return [Finding(check, WARNING, message, remedy)]


def error(check: str, message: str, remedy: str) -> list[Finding]:
    """Something that this machine is expected to do does not work until this is mended."""
    return [Finding(check, ERROR, message, remedy)]


def unknown(check: str, message: str, remedy: str) -> list[Finding]:
    """It could not be found out."""
    return [Finding(check, UNKNOWN, message, remedy)]


def exit_code(findings: Iterable[Finding]) -> int:
    """2 if something cannot work, else 0: a machine with warnings works."""
    return EXIT_CANNOT if any(finding.severity == ERROR for finding in findings) else EXIT_FINE
