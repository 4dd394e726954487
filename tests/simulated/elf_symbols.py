"""The symbols that an ELF file binds and offers, and its SONAME."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpuenv.core.errors import DataError
from gpuenv.host import elf


@dataclass(frozen=True)
class Symbol:
    """A dynamic symbol. ``version`` is its version node (``"libcufft.so.9.0"``), or None without one;
    ``library`` is the SONAME that an undefined symbol of that version is expected from.
    """

    name: str
    version: str | None
    library: str | None
    is_weak: bool


def read_soname(path: Path) -> str | None:
    """The SONAME of ``path``; None when it has none or is no ELF file. Raises DataError for a damaged one."""
    library = elf.read_library(path)
    return library.soname if library else None


def undefined_symbols(path: Path) -> tuple[Symbol, ...]:
    """The symbols that the loader has to find elsewhere, sorted. Raises DataError when it is no ELF file."""
    return _symbols(path, undefined=True)


def exported_symbols(path: Path) -> tuple[Symbol, ...]:
    """The symbols that others can bind to, sorted. Raises DataError when it is no ELF file."""
    return _symbols(path, undefined=False)


def _symbols(path: Path, *, undefined: bool) -> tuple[Symbol, ...]:
    if not elf.is_elf(path):
        raise DataError(f"{path} is not an ELF file", "it does not start like one", "name a shared library")
    with elf.open_elf(path) as file:
        table = file.get_section_by_name(".dynsym")
        if table is None:
            return ()
        nodes, indices = _version_nodes(file), file.get_section_by_name(".gnu.version")
        found = set()
        for number, symbol in enumerate(table.iter_symbols()):
            is_undefined = symbol["st_shndx"] == "SHN_UNDEF"
            if not symbol.name or symbol["st_info"]["bind"] == "STB_LOCAL" or is_undefined != undefined:
                continue
            index = indices.get_symbol(number)["ndx"] if indices else None
            version, library = nodes.get(_plain(index), (None, None))
            found.add(Symbol(symbol.name, version, library, symbol["st_info"]["bind"] == "STB_WEAK"))
    return tuple(sorted(found, key=lambda symbol: (symbol.name, symbol.version or "")))


def _plain(index: Any) -> Any:
    # The top bit marks a hidden (older) version of a symbol; pyelftools names the reserved indices by text.
    return index & 0x7FFF if isinstance(index, int) else index


def _version_nodes(file: Any) -> dict[Any, tuple[str | None, str | None]]:
    """Version index -> (version node, library that is to have it); index 1 and its kin name no node."""
    nodes: dict[Any, tuple[str | None, str | None]] = {}
    needs = file.get_section_by_name(".gnu.version_r")
    for library, versions in needs.iter_versions() if needs else ():
        for version in versions:
            nodes[_plain(version["vna_other"])] = (version.name, library.name)
    definitions = file.get_section_by_name(".gnu.version_d")
    for definition, names in definitions.iter_versions() if definitions else ():
        is_file_itself = definition["vd_flags"] & 1  # VER_FLG_BASE: the file's own name, no node
        if not is_file_itself:
            nodes[_plain(definition["vd_ndx"])] = (next(iter(names)).name, None)
    return nodes
