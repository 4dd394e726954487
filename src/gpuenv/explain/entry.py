"""What an entry of the catalog is: how a failure is recognized, its cause and its remedies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

#: Earliest first: what fails in one stage makes the later ones fail.
STAGES = ("host", "supply", "create", "driver", "libraries", "architecture", "packages", "training", "use")
SYSTEMS = ("debian", "fedora", "arch", "wsl2", "windows", "macos")
TARGETS = ("image", "conda", "venv", "host")
LANGUAGES = ("en", "ko")
#: A rule looks at so many lines together at most; so many are kept between two pieces of a log.
MOST_LINES = 100


@dataclass(frozen=True)
class Rule:
    """One way of recognizing a failure, in a window of ``within`` lines."""

    fragments: tuple[str, ...]
    regex: re.Pattern[str] | None
    without: tuple[str, ...]
    within: int

    @property
    def groups(self) -> set[str]:
        """The values that it captures."""
        return set(self.regex.groupindex) if self.regex else set()


@dataclass(frozen=True)
class Derived:
    """A value made from a captured one."""

    of: str
    map: Mapping[str, str]
    default: str


@dataclass(frozen=True)
class Remedy:
    """One thing to do. Without ``systems`` it is for every system, without ``targets`` for every target."""

    texts: Mapping[str, str]
    command: str | None
    systems: tuple[str, ...]
    targets: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """One failure that is known."""

    id: str
    stage: str
    row: str | None
    consequence_of: tuple[str, ...]
    #: The program goes on after it: no root cause where the log shows a failure that ended something.
    is_notice: bool
    rules: tuple[Rule, ...]
    derive: Mapping[str, Derived]
    cause: Mapping[str, str]
    remedies: tuple[Remedy, ...]
    references: tuple[str, ...]
    samples: tuple[str, ...]
    near_misses: tuple[str, ...]

    @property
    def rank(self) -> int:
        """The place of its stage."""
        return STAGES.index(self.stage)
