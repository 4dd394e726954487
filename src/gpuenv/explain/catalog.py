"""The catalog of `make explain`: its entries, read from `catalogue/<stage>.toml` (docs/catalogue.md has the format)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Annotated, Literal, Optional, get_args

from msgspec import Meta, field, structs

from gpuenv.core.errors import DataError
from gpuenv.core.schema import Data, Text, load

#: The catalog that comes with the command.
FOLDER = Path(__file__).resolve().parent / "catalogue"
_GUIDE = "docs/catalogue.md"
Stage = Literal["host", "supply", "create", "driver", "libraries", "architecture", "packages", "training", "use"]
System = Literal["debian", "fedora", "arch", "wsl2", "windows", "macos"]
Target = Literal["image", "conda", "venv", "host"]
#: Earliest first: what fails in one stage makes the later ones fail.
STAGES: tuple[str, ...] = get_args(Stage)
SYSTEMS: tuple[str, ...] = get_args(System)
LANGUAGES = ("en", "ko")
#: A rule looks at so many lines together at most; so many are kept between two pieces of a log.
MOST_LINES = 100

Id = Annotated[str, Meta(pattern=r"^[a-z0-9]+([.-][a-z0-9]+)*\Z", description="a name in kebab-case")]
Row = Annotated[str, Meta(pattern=r"^P\d\d\Z", description='a number of the pain list such as "P23"')]
Fragment = Annotated[str, Meta(pattern=r"^[^\n]+\Z", description="plain text within one line")]
Lines = Annotated[int, Meta(ge=1, le=MOST_LINES, description=f"a positive whole number, {MOST_LINES} lines at most")]
Texts = Annotated[tuple[Text, ...], Meta(min_length=1)]


class Rule(Data, frozen=True):
    """One way of recognizing a failure, in a window of ``within`` lines."""

    fragments: Annotated[tuple[Fragment, ...], Meta(min_length=1)]
    regex: Optional[re.Pattern] = None  # type: ignore[type-arg] # msgspec knows the bare type
    without: tuple[Fragment, ...] = ()
    within: Lines = 1
    #: Looked for behind what ``regex`` found: an expression that spans both would be tried from every beginning to
    #: the end of the window.
    then: Optional[re.Pattern] = None  # type: ignore[type-arg]

    def __post_init__(self) -> None:
        """Nothing stands behind what was not looked for."""
        super().__post_init__()
        if self.then and not self.regex:
            raise ValueError("then: it is looked for behind what `regex` finds, which is not there")

    @property
    def expressions(self) -> tuple[re.Pattern[str], ...]:
        """What has to be found, one behind the other."""
        return tuple(one for one in (self.regex, self.then) if one)

    @property
    def groups(self) -> set[str]:
        """The values that it captures."""
        return set[str]().union(*(one.groupindex for one in self.expressions))


class Derived(Data, frozen=True):
    """A value made from a captured one."""

    of: Text
    map: dict[str, Text]
    default: Text


class Words(Data, frozen=True):
    """A text in every language."""

    en: Text
    ko: Text

    def text(self, language: str) -> str:
        """The text in one of LANGUAGES."""
        return str(getattr(self, language))


class Remedy(Words, frozen=True):
    """One thing to do. Without ``systems`` it is for every system, without ``targets`` for every target."""

    command: Optional[Text] = None
    systems: tuple[System, ...] = ()
    targets: tuple[Target, ...] = ()


class Entry(Data, frozen=True):
    """One failure that is known."""

    id: Id
    rules: Annotated[tuple[Rule, ...], Meta(min_length=1)] = field(name="rule")
    cause: Words
    remedies: Annotated[tuple[Remedy, ...], Meta(min_length=1)] = field(name="remedy")
    references: Texts
    samples: Texts
    near_misses: Texts
    row: Optional[Row] = None
    consequence_of: tuple[Id, ...] = ()
    #: The program goes on after it: no root cause where the log shows a failure that ended something.
    is_notice: bool = field(name="notice", default=False)
    derive: dict[str, Derived] = field(default_factory=dict)
    #: Told by the name of the file.
    stage: Annotated[str, Meta(max_length=0, description="the file's name to say it")] = ""

    def __post_init__(self) -> None:
        """A text may only name what is known whichever rule matched."""
        super().__post_init__()
        groups = [rule.groups for rule in self.rules]
        for name, derived in self.derive.items():
            if derived.of not in set[str]().union(*groups):
                raise ValueError(f"derive.{name}.of: no rule captures {derived.of!r}")
        known = set.intersection(*groups) | self.derive.keys()
        for key, text in self._texts():
            try:
                names = {name for _, name, _, _ in Formatter().parse(text) if name is not None}
            except ValueError as error:
                raise ValueError(f"{key}: {error} in {text!r} (a brace itself is written twice)") from error
            for name in sorted(names - known):
                raise ValueError(f"{key}: {{{name}}} is neither captured by every rule nor derived")

    def _texts(self) -> Iterator[tuple[str, str]]:
        for key, words in (("cause", self.cause), *((f"remedy[{n}]", one) for n, one in enumerate(self.remedies))):
            yield from ((key, words.text(language)) for language in LANGUAGES)
            if isinstance(words, Remedy) and words.command:
                yield key, words.command

    @property
    def rank(self) -> int:
        """The place of its stage."""
        return STAGES.index(self.stage)


class _File(Data, frozen=True):
    entries: Annotated[tuple[Entry, ...], Meta(min_length=1)] = field(name="entry")


@cache
def load_catalog(folder: Path = FOLDER) -> tuple[Entry, ...]:
    """Every entry, by stage and then as written. Raises DataError for anything that is not as described."""
    files = {path.stem: path for path in folder.glob("*.toml")}
    strange = sorted(files.keys() - set(STAGES))
    if strange or not files:
        why = f"no stage is called {', '.join(strange)}" if strange else "no file of a stage stands in it"
        raise DataError(f"{folder} is not usable", why, f"the stages are {', '.join(STAGES)}; see {_GUIDE}")
    entries = tuple(
        structs.replace(entry, stage=stage)
        for stage in STAGES
        if stage in files
        for entry in load(files[stage], _File, guide=_GUIDE).entries
    )
    counts = Counter(entry.id for entry in entries)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise DataError(f"{folder} is not usable", f"more than one entry is called {twice[0]}", "rename one of them")
    for entry in entries:
        strange = sorted({*entry.consequence_of} - counts.keys() | {*entry.consequence_of} & {entry.id})
        if strange:
            why = f'{entry.stage}.toml: entry["{entry.id}"].consequence_of: no other entry is called {strange[0]}'
            raise DataError(f"{folder} is not usable", why, f"correct that key; the format is described in {_GUIDE}")
    return entries
