"""The catalog of `make explain`, read strictly from `catalogue/<stage>.toml` (docs/catalogue.md has the format)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any, TypeVar

from gpuenv.core.errors import DataError
from gpuenv.core.schema import Table, read_toml
from gpuenv.explain.entry import (
    LANGUAGES,
    MOST_LINES,
    STAGES,
    SYSTEMS,
    TARGETS,
    Derived,
    Entry,
    Remedy,
    Rule,
)

T = TypeVar("T")

_ID = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")
_ROW = re.compile(r"P\d\d")
_NEXT = "the format is described in docs/catalogue.md"


def default_folder() -> Path:
    """The catalog that comes with the command."""
    return Path(__file__).resolve().parent / "catalogue"


@cache
def load_catalog(folder: Path | None = None) -> tuple[Entry, ...]:
    """Every entry, by stage and then as written. Raises DataError for anything that is not as described."""
    folder = folder or default_folder()
    files = {path.stem: path for path in folder.glob("*.toml")}
    strange = sorted(files.keys() - set(STAGES))
    if strange or not files:
        why = f"no stage is called {', '.join(strange)}" if strange else "no file of a stage stands in it"
        raise DataError(f"{folder} is not usable", why, f"the stages are {', '.join(STAGES)}; {_NEXT}")
    entries = tuple(entry for stage in STAGES if stage in files for entry in _load_stage(files[stage], stage))
    _refuse_clashes(folder, entries)
    return entries


def _load_stage(path: Path, stage: str) -> tuple[Entry, ...]:
    try:
        values = read_toml(path)
    except DataError as error:
        raise DataError(error.what, error.why, f"correct the file; {_NEXT}") from error
    part = _Part(values, path)
    entries = part.tables("entry", lambda one: _read_entry(one, stage))
    part.close()
    return entries


def _refuse_clashes(folder: Path, entries: tuple[Entry, ...]) -> None:
    counts = Counter(entry.id for entry in entries)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise DataError(f"{folder} is not usable", f"more than one entry is called {twice[0]}", "rename one of them")
    for entry in entries:
        strange = sorted({*entry.consequence_of} - counts.keys() | {*entry.consequence_of} & {entry.id})
        if strange:
            why = f'{entry.stage}.toml: entry "{entry.id}": consequence_of: no other entry is called {strange[0]}'
            raise DataError(f"{folder} is not usable", why, f"correct that key; {_NEXT}")


class _Part(Table):
    """A table of the catalog, which has more that may be absent than other files of the project."""

    def error(self, key: str, problem: str) -> DataError:
        return DataError(f"{self.path} is not usable", f"{self.prefix}{key}: {problem}", f"correct that key; {_NEXT}")

    def has(self, key: str) -> bool:
        return key in self._values

    def optional_text(self, key: str, pattern: re.Pattern[str] | None = None, expected: str = "") -> str | None:
        return self.text(key, pattern, expected) if self.has(key) else None

    def some_of(self, key: str, known: tuple[str, ...]) -> tuple[str, ...]:
        pattern = re.compile("|".join(known))
        return self.optional_texts(key, pattern, f"some of {', '.join(known)}")

    def by_language(self) -> dict[str, str]:
        return {language: self.text(language) for language in LANGUAGES}

    def keys(self) -> list[str]:
        return list(self._values)

    def item_prefix(self, key: str, number: int, item: Mapping[str, Any]) -> str:
        """Entries are called by their id, all else by its number."""
        return f'{self.prefix}{key} "{item["id"]}": ' if item.get("id") else f"{self.prefix}{key} {number + 1}: "


def _read_entry(part: _Part, stage: str) -> Entry:
    entry = Entry(
        id=part.text("id", _ID, "a name in kebab-case"),
        stage=stage,
        row=part.optional_text("row", _ROW, 'a number of the pain list such as "P23"'),
        consequence_of=part.optional_texts("consequence_of", _ID, "ids of entries"),
        is_notice=part.flag("notice", default=False),
        rules=part.tables("rule", _read_rule),
        derive=part.optional_table("derive", _read_derived) or {},
        cause=part.table("cause", _Part.by_language),
        remedies=part.tables("remedy", _read_remedy),
        references=part.texts("references"),
        samples=part.texts("samples"),
        near_misses=part.texts("near_misses"),
    )
    _refuse_derived_of_nothing(part, entry)
    _refuse_unknown_names(part, entry)
    return entry


def _read_rule(part: _Part) -> Rule:
    one_line = re.compile(r"[^\n]+")
    rule = Rule(
        fragments=part.texts("fragments", one_line, "plain text within one line"),
        regex=_compile(part) if part.has("regex") else None,
        without=part.optional_texts("without", one_line, "plain text within one line"),
        within=part.count("within") if part.has("within") else 1,
    )
    if rule.within > MOST_LINES:
        raise part.error("within", f"expected {MOST_LINES} lines at most, found {rule.within}")
    return rule


def _compile(part: _Part) -> re.Pattern[str]:
    text = part.text("regex")
    try:
        return re.compile(text)
    except re.error as error:
        raise part.error("regex", f"expected a regular expression, found {text!r}: {error}") from error


def _read_derived(part: _Part) -> dict[str, Derived]:
    return {name: part.table(name, _read_one_derived) for name in part.keys()}  # noqa: SIM118 (not a dict)


def _read_one_derived(part: _Part) -> Derived:
    mapping = part.table("map", lambda table: {key: table.text(key) for key in table.keys()})  # noqa: SIM118
    return Derived(part.text("of"), mapping, part.text("default"))


def _read_remedy(part: _Part) -> Remedy:
    return Remedy(
        texts=part.by_language(),
        command=part.optional_text("command"),
        systems=part.some_of("systems", SYSTEMS),
        targets=part.some_of("targets", TARGETS),
    )


def _refuse_derived_of_nothing(part: _Part, entry: Entry) -> None:
    captured = set[str]().union(*(rule.groups for rule in entry.rules))
    for name, derived in entry.derive.items():
        if derived.of not in captured:
            raise part.error(f"derive.{name}.of", f"no rule captures {derived.of!r}")


def _refuse_unknown_names(part: _Part, entry: Entry) -> None:
    """A text may only name what is known whichever rule matched."""
    always = set.intersection(*(rule.groups for rule in entry.rules)) | entry.derive.keys()
    texts = [("cause", text) for text in entry.cause.values()]
    for number, remedy in enumerate(entry.remedies, 1):
        texts += [(f"remedy {number}", text) for text in (*remedy.texts.values(), remedy.command or "")]
    for key, text in texts:
        try:
            names = {name for _, name, _, _ in Formatter().parse(text) if name is not None}
        except ValueError as error:
            raise part.error(key, f"{error} in {text!r} (a brace itself is written twice)") from error
        for name in sorted(names - always):
            raise part.error(key, f"{{{name}}} is neither captured by every rule nor derived")
