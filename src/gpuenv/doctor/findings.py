"""The result of a check of `make doctor`: what is wrong, how bad it is, what it keeps from working, and what mends it:
an entry of `remedies.toml`, rendered for a system, a user, and what starts services there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Union

from gpuenv.core import schema

OK = "ok"
WARNING = "warning"
ERROR = "error"
#: It could not be found out: that is neither a pass nor a fault.
UNKNOWN = "unknown"

#: What a finding can stand in the way of: every environment; programs on the GPU, inside a container, of this machine;
#: whatever uses a container, or this machine's own C library; installing packages; building an image.
MACHINE, GPU, CONTAINER_GPU, PREFIX_GPU = "machine", "gpu", "container-gpu", "prefix-gpu"
CONTAINER, PREFIX, INSTALL, BUILD = "container", "prefix", "install", "build"
#: What starts and stops services here; "" where nothing does, as in most containers.
SYSTEMD, SYSV, OPENRC = "systemd", "sysv", "openrc"


class Remedy:
    """The entry called ``name``; ``values`` of the finding fill it in."""

    def __init__(self, name: str, /, **values: str) -> None:
        self.name, self.values = name, values


@dataclass(frozen=True)
class Verdict:
    """What a check says. ``remedy`` is an entry of the remedies, or a text that is right everywhere."""

    severity: str
    message: str
    remedy: Remedy | str | None = None
    blocks: frozenset[str] = frozenset()


#: What a check returns.
Verdicts = Union[Verdict, Iterable[Verdict]]


@dataclass(frozen=True)
class Finding:
    """One line of the report: a verdict with the name of its check, and its remedy in words for this machine."""

    check: str
    severity: str
    message: str
    remedy: str | None = None
    blocks: frozenset[str] = frozenset()


def ok(message: str, *blocks: str) -> Verdict:
    """Nothing is wrong."""
    return Verdict(OK, message, None, frozenset(blocks))


def warning(message: str, remedy: Remedy | str, *blocks: str) -> Verdict:
    """It works, but not as well as it could, or only for now."""
    return Verdict(WARNING, message, remedy, frozenset(blocks))


def error(message: str, remedy: Remedy | str, *blocks: str) -> Verdict:
    """Something that this machine is expected to do does not work until this is mended."""
    return Verdict(ERROR, message, remedy, frozenset(blocks))


def unknown(message: str, remedy: Remedy | str) -> Verdict:
    """It could not be found out."""
    return Verdict(UNKNOWN, message, remedy)


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
