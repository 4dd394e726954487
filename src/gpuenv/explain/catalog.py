"""Reads the catalog of `make explain` from `catalogue/<stage>.toml` (docs/catalogue.md has the format)."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Annotated

from msgspec import Meta, field, structs

from gpuenv.core.errors import DataError
from gpuenv.core.schema import Data, load
from gpuenv.explain.entry import STAGES, Entry

_GUIDE = "docs/catalogue.md"


class _File(Data, frozen=True):
    entries: Annotated[tuple[Entry, ...], Meta(min_length=1)] = field(name="entry")


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
        raise DataError(f"{folder} is not usable", why, f"the stages are {', '.join(STAGES)}; see {_GUIDE}")
    entries = tuple(
        structs.replace(entry, stage=stage)
        for stage in STAGES
        if stage in files
        for entry in load(files[stage], _File, guide=_GUIDE).entries
    )
    _refuse_clashes(folder, entries)
    return entries


def _refuse_clashes(folder: Path, entries: tuple[Entry, ...]) -> None:
    counts = Counter(entry.id for entry in entries)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise DataError(f"{folder} is not usable", f"more than one entry is called {twice[0]}", "rename one of them")
    for entry in entries:
        strange = sorted({*entry.consequence_of} - counts.keys() | {*entry.consequence_of} & {entry.id})
        if strange:
            why = f'{entry.stage}.toml: entry["{entry.id}"].consequence_of: no other entry is called {strange[0]}'
            raise DataError(f"{folder} is not usable", why, f"correct that key; the format is described in {_GUIDE}")
