"""Picks, of the host's Debian or Ubuntu sources, those that a minimal system of the same release needs.

Pure functions over the content of ``/etc/apt``: what comes from elsewhere (other vendors'
repositories) is left out, and so is everything that would weaken verification.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

#: Settings of the host's apt that say how mirrors are reached. Anything about skipping checks stays behind.
_TRANSPORT = re.compile(r"Acquire::(https?::|Retries\b|ForceIPv[46]\b)", re.IGNORECASE)
_WEAKENING = re.compile(r"Verify-|AllowInsecure|AllowWeak|Check-", re.IGNORECASE)
_ONE_LINE = re.compile(r"deb\s+(\[[^]]*\]\s+)?\S+\s+(?P<suite>\S+)\s+(?P<components>.+)")


def suite_of(os_release: Mapping[str, str]) -> str | None:
    """The code name of the release whose packages this system uses; Ubuntu's where a derivative names it."""
    return os_release.get("UBUNTU_CODENAME") or os_release.get("VERSION_CODENAME") or None


def is_of_release(suite: str, codename: str) -> bool:
    """Whether a suite is the release itself, its updates or its security fixes."""
    return suite.strip("/") in {codename, f"{codename}-updates", f"{codename}-security", f"{codename}/updates"}


def pick_lines(text: str, codename: str) -> str:
    """The lines of a one-line-style list that belong to the release; empty if there is none."""
    picked = []
    for line in text.splitlines():
        match = _ONE_LINE.match(line.partition("#")[0].strip())
        if match and is_of_release(match["suite"], codename) and "main" in match["components"].split():
            picked.append(match[0].strip())
    return "".join(f"{line}\n" for line in picked)


def pick_stanzas(text: str, codename: str) -> str:
    """The stanzas of a deb822-style file that belong to the release; empty if there is none."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    stanzas = [stanza.strip("\n") for stanza in re.split(r"\n\s*\n", "\n".join(lines))]
    return "\n\n".join(stanza for stanza in stanzas if _is_stanza_of_release(stanza, codename))


def _is_stanza_of_release(stanza: str, codename: str) -> bool:
    pairs = re.findall(r"^([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)", stanza, re.MULTILINE)
    fields = {name.lower(): value.split() for name, value in pairs}
    if fields.get("enabled", ["yes"])[:1] in (["no"], ["false"], ["0"]):
        return False
    suits = any(is_of_release(suite, codename) for suite in fields.get("suites", []))
    return suits and "deb" in fields.get("types", []) and "main" in fields.get("components", [])


def pick_sources(etc_apt: Path, codename: str) -> list[str]:
    """The texts of the host's sources, at most one of each style, in a form that mmdebstrap takes."""
    lists = [etc_apt / "sources.list", *sorted((etc_apt / "sources.list.d").glob("*.list"))]
    one_line = "".join(pick_lines(_read(path), codename) for path in lists)
    files = sorted((etc_apt / "sources.list.d").glob("*.sources"))
    stanzas = [stanza for stanza in (pick_stanzas(_read(path), codename) for path in files) if stanza]
    return [text for text in (one_line, "\n\n".join(stanzas) + "\n" if stanzas else "") if text]


def transport_options(apt_config_dump: str) -> str:
    """The lines of ``apt-config dump`` that say how mirrors are reached (proxies, retries, certificates)."""
    lines = apt_config_dump.splitlines()
    picked = [line for line in lines if _TRANSPORT.match(line) and not _WEAKENING.search(line)]
    # The headings of groups are listed as empty values.
    return "".join(f"{line}\n" for line in picked if not line.endswith('"";'))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
