"""What an ELF file says about itself: its SONAME, what it needs, and the symbols it binds and offers.

Read from the dynamic section, as the loader does; a file's name tells nothing for certain.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpuenv.core.errors import DataError

MAGIC = b"\x7fELF"
#: Bytes up to the last field that a reader needs to tell what follows (the header of a 64-bit ELF file).
_HEADER_BYTES = 64


@dataclass(frozen=True)
class Library:
    """``machine`` as pyelftools names it (``"EM_X86_64"``); ``soname`` is None where the file has none."""

    machine: str
    soname: str | None
    needed: tuple[str, ...]


@dataclass(frozen=True)
class Symbol:
    """A dynamic symbol. ``version`` is its version node (``"libcufft.so.9.0"``), or None without one;
    ``library`` is the SONAME that an undefined symbol of that version is expected from.
    """

    name: str
    version: str | None
    library: str | None
    is_weak: bool


def is_elf(path: Path) -> bool:
    """Whether ``path`` is a regular file that starts like an ELF file of full header length."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        head = stream.read(_HEADER_BYTES)
    return head.startswith(MAGIC) and len(head) == _HEADER_BYTES


def read_library(path: Path) -> Library | None:
    """The dynamic section of ``path``; None for what is no ELF file. Raises DataError for a damaged one."""
    if not is_elf(path):
        return None
    with _opened(path) as elf:
        section = elf.get_section_by_name(".dynamic")
        # A linker script's target or an object file has no dynamic section: nothing the loader would take.
        tags = list(section.iter_tags()) if section is not None else []
        return Library(
            machine=str(elf["e_machine"]),
            soname=next((tag.soname for tag in tags if tag.entry.d_tag == "DT_SONAME"), None),
            needed=tuple(tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED"),
        )


def read_soname(path: Path) -> str | None:
    """The SONAME of ``path``; None when it has none or is no ELF file. Raises DataError for a damaged one."""
    library = read_library(path)
    return library.soname if library else None


def read_needed(path: Path) -> tuple[str, ...]:
    """The SONAMEs that ``path`` needs, in order. Raises DataError when it is no ELF file."""
    library = read_library(path)
    if library is None:
        raise _not_elf(path)
    return library.needed


def undefined_symbols(path: Path) -> tuple[Symbol, ...]:
    """The symbols that the loader has to find elsewhere, sorted. Raises DataError when it is no ELF file."""
    return _symbols(path, undefined=True)


def exported_symbols(path: Path) -> tuple[Symbol, ...]:
    """The symbols that others can bind to, sorted. Raises DataError when it is no ELF file."""
    return _symbols(path, undefined=False)


def _symbols(path: Path, *, undefined: bool) -> tuple[Symbol, ...]:
    if not is_elf(path):
        raise _not_elf(path)
    with _opened(path) as elf:
        table = elf.get_section_by_name(".dynsym")
        if table is None:
            return ()
        nodes, indices = _version_nodes(elf), elf.get_section_by_name(".gnu.version")
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


def _version_nodes(elf: Any) -> dict[Any, tuple[str | None, str | None]]:
    """Version index -> (version node, library that is to have it); index 1 and its kin name no node."""
    nodes: dict[Any, tuple[str | None, str | None]] = {}
    needs = elf.get_section_by_name(".gnu.version_r")
    for library, versions in needs.iter_versions() if needs else ():
        for version in versions:
            nodes[_plain(version["vna_other"])] = (version.name, library.name)
    definitions = elf.get_section_by_name(".gnu.version_d")
    for definition, names in definitions.iter_versions() if definitions else ():
        is_file_itself = definition["vd_flags"] & 1  # VER_FLG_BASE: the file's own name, no node
        if not is_file_itself:
            nodes[_plain(definition["vd_ndx"])] = (next(iter(names)).name, None)
    return nodes


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile

    try:
        with path.open("rb") as stream:
            yield ELFFile(stream)
    except (ELFError, ConstructError, OSError, UnicodeDecodeError, ValueError) as error:
        raise DataError(f"{path} cannot be read as an ELF file", f"it is damaged: {error}", "fetch it again") from error


def _not_elf(path: Path) -> DataError:
    return DataError(f"{path} is not an ELF file", "it does not start like one", "name a shared library")
