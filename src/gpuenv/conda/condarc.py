"""Reads the settings of conda and its kin that matter here: certificates and channels."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: What conda takes for no; ``<false>`` is libmamba's word.
_FALSE = ("false", "no", "off", "0")


@dataclass(frozen=True)
class Mirrors:
    """Where channels are that are called by their names: conda's ``channel_alias``, ``custom_channels`` and
    ``default_channels``; empty where nothing is said.
    """

    alias: str = ""
    customs: Mapping[str, str] = field(default_factory=dict)
    defaults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Condarc:
    """One file of settings; None or empty where it says nothing."""

    path: str
    ssl_verify: str | None = None
    channels: tuple[str, ...] = ()
    #: Why it cannot be used; None if it can.
    problem: str | None = None
    #: Else ``path`` is a variable that stands for one.
    is_file: bool = True
    #: Whether ssl_verify is marked ``#!final``: nothing that is read later changes it.
    is_final: bool = False
    mirrors: Mirrors = field(default_factory=Mirrors)
    #: ``pkgs_dirs``; those that a variable names come first, and these are used all the same.
    caches: tuple[str, ...] = ()

    @property
    def is_unverified(self) -> bool:
        """Whether it switches the verification of certificates off."""
        return (self.ssl_verify or "").strip("<>").lower() in _FALSE


def read_condarcs(environ: Mapping[str, str], home: Path, program: str = "") -> Iterator[Condarc]:
    """The files that are there, in conda's own order, then the variables; ``program`` is what would read them."""
    yield from filter(None, map(_read, _condarc_files(environ, home, program)))
    for name in ("CONDA_SSL_VERIFY", "MAMBA_SSL_VERIFY"):
        if environ.get(name):
            yield Condarc(name, environ[name], is_file=False)


def read_mirrors(environ: Mapping[str, str], home: Path, program: str) -> Mirrors:
    """What all files say together; what is read later wins."""
    found = Mirrors()
    for one in (each.mirrors for each in read_condarcs(environ, home, program)):
        found = Mirrors(one.alias or found.alias, {**found.customs, **one.customs}, one.defaults or found.defaults)
    return found


def _read(path: Path) -> Condarc | None:
    try:
        return parse_condarc(path.read_text(encoding="utf-8-sig"), str(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError:
        return Condarc(str(path), problem="it is not UTF-8 text")
    except OSError as error:
        return Condarc(str(path), problem=f"it cannot be read ({error.strerror})")


def parse_condarc(text: str, path: str) -> Condarc:
    """Read one file as conda does, with ruamel.yaml, which keeps the comment ``#!final``."""
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.error import YAMLError

    try:
        values = YAML(typ="rt").load(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        return Condarc(path, problem=f"its line {mark.line + 1} is not YAML" if mark else "it is not YAML")
    if values is None:
        return Condarc(path)
    if not isinstance(values, CommentedMap):
        return Condarc(path, problem="it holds no settings (expected lines such as `channels: [conda-forge]`)")
    value, customs = values.get("ssl_verify"), values.get("custom_channels")
    comments = [token.value for token in values.ca.items.get("ssl_verify", ()) if hasattr(token, "value")]
    return Condarc(
        path,
        ssl_verify=None if value is None else str(value).lower() if isinstance(value, bool) else str(value),
        channels=_words(values.get("channels")),
        is_final=any(comment.startswith("#!final") for comment in comments),
        mirrors=Mirrors(
            "".join(_words(values.get("channel_alias"))[:1]),
            {str(name): "".join(_words(url)) for name, url in customs.items()} if isinstance(customs, dict) else {},
            _words(values.get("default_channels")),
        ),
        caches=_words(values.get("pkgs_dirs")),
    )


def _words(value: object) -> tuple[str, ...]:
    """A list of words, or one; variables in them are replaced, as conda does."""
    listed = value if isinstance(value, list) else [value] if value else []
    return tuple(os.path.expandvars(str(each)) for each in listed)


def _condarc_files(environ: Mapping[str, str], home: Path, program: str) -> Iterable[Path]:
    # The installation's own is found by the program (`<root>/bin/conda`, `<root>/condabin/conda`).
    roots = [Path("/etc/conda"), Path("/var/lib/conda")]
    roots += [Path(program).resolve().parents[1]] if program else []
    roots += [Path(environ["CONDA_ROOT"])] if environ.get("CONDA_ROOT") else []
    roots += [Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "conda", home / ".conda"]
    named = [environ.get(name) for name in ("CONDA_PREFIX", "MAMBA_ROOT_PREFIX")]
    late = [Path(folder) for folder in named if folder]
    own = [home / ".condarc", home / ".mambarc"]
    given = [Path(environ[name]) for name in ("CONDARC", "MAMBARC") if environ.get(name)]
    return dict.fromkeys([*_in_roots(roots), *own, *_in_roots(late), *given])


def _in_roots(roots: Iterable[Path]) -> Iterable[Path]:
    for root in roots:
        yield from (root / ".condarc", root / "condarc", *sorted(root.glob("condarc.d/*.y*ml")))
