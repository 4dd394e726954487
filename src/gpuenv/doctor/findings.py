"""The result of a check of `make doctor`: what is wrong, how bad it is, what it keeps from working, and what mends it:
an entry of `remedies.toml`, rendered for a system, a user, and what starts services there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Union

from gpuenv.core import schema
from gpuenv.core.errors import GpuenvError, shortened

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


class Mend:
    """The entry of the remedies called ``name``; ``values`` of the finding fill it in."""

    def __init__(self, name: str, /, **values: str) -> None:
        self.name, self.values = name, values


@dataclass(frozen=True)
class Finding:
    """One line of the report, without ``check`` (its name there) when a check returns it.

    ``remedy`` is an entry of the remedies, or a text that is right for every machine; ``blocks`` what it stands in the
    way of.
    """

    severity: str
    message: str
    remedy: Mend | str | None = None
    blocks: frozenset[str] = frozenset()
    check: str = ""

    def __post_init__(self) -> None:
        """It may quote what a program said."""
        object.__setattr__(self, "message", shortened(self.message))


#: What a check returns.
Findings = Union[Finding, Iterable[Finding]]


def ok(message: str, *blocks: str) -> Finding:
    """Nothing is wrong."""
    return Finding(OK, message, None, frozenset(blocks))


def warning(message: str, remedy: Mend | str, *blocks: str) -> Finding:
    """It works, but not as well as it could, or only for now."""
    return Finding(WARNING, message, remedy, frozenset(blocks))


def error(message: str, remedy: Mend | str, *blocks: str) -> Finding:
    """Something that this machine is expected to do does not work until this is mended."""
    return Finding(ERROR, message, remedy, frozenset(blocks))


def unknown(message: str, remedy: Mend | str) -> Finding:
    """It could not be found out."""
    return Finding(UNKNOWN, message, remedy)


def refusal(problem: GpuenvError, *blocks: str) -> Finding:
    """What another part of the tool would stop at."""
    return error(f"{problem.what}: {problem.why}", problem.next_step, *blocks)


@cache
def load() -> Mapping[str, Mapping[str, str]]:
    """Every entry: kind of machine -> text."""
    return schema.read_toml(Path(__file__).with_name("remedies.toml"))


class _Texts(dict[str, str]):
    """Values of a finding, and else the entries themselves, for a machine of these kinds."""

    kinds: Sequence[str] = ()

    def __missing__(self, name: str) -> str:
        entry = load()[name]
        return next(entry[kind] for kind in self.kinds if kind in entry).format_map(self)


def render(remedy: Mend | str | None, kinds: Sequence[str]) -> str | None:
    """A remedy in words, for a machine and its user; of an entry's texts the first of these ``kinds`` counts."""
    if not isinstance(remedy, Mend):
        return remedy
    texts = _Texts(remedy.values)
    texts.kinds = kinds
    return texts[remedy.name]
