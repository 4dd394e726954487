"""What mends a machine: an entry of `remedies.toml`, rendered for a system, a user, and what starts services there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gpuenv.core import schema

#: What starts and stops services here; "" where nothing does, as in most containers.
SYSTEMD, SYSV, OPENRC = "systemd", "sysv", "openrc"


@dataclass(frozen=True)
class Remedy:
    """The entry called ``name``, with values of the finding that it names in braces."""

    name: str
    values: tuple[tuple[str, str], ...] = ()


def remedy(entry: str, **values: str) -> Remedy:
    """The entry called ``entry``; ``values`` fill it in."""
    return Remedy(entry, tuple(values.items()))


@cache
def load() -> Mapping[str, Mapping[str, str]]:
    """Every entry: kind of machine -> text."""
    return schema.read_toml(Path(__file__).with_name("remedies.toml"))


class _Texts(dict[str, str]):
    """Values of a finding, and else the entries themselves, for a machine of these kinds."""

    kinds: tuple[str, ...] = ()

    def __missing__(self, name: str) -> str:
        entry = load()[name]
        return next(entry[kind] for kind in self.kinds if kind in entry).format_map(self)


def render(asked: Remedy, system: str, *, is_root: bool, init: str) -> str:
    """The text for one machine and its user."""
    texts = _Texts(asked.values)
    texts.kinds = (*(["root"] if is_root else []), system, init, "*")
    return texts[asked.name]
