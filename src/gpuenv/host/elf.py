"""Reads SONAME, machine and needed libraries of an ELF file from its dynamic section, as the loader does."""

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
    with open_elf(path) as elf:
        section = elf.get_section_by_name(".dynamic")
        # A linker script's target or an object file has no dynamic section: nothing the loader would take.
        tags = list(section.iter_tags()) if section is not None else []
        return Library(
            machine=str(elf["e_machine"]),
            soname=next((tag.soname for tag in tags if tag.entry.d_tag == "DT_SONAME"), None),
            needed=tuple(tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED"),
        )


def read_needed(path: Path) -> tuple[str, ...]:
    """The SONAMEs that ``path`` needs, in order. Raises DataError when it is no ELF file."""
    library = read_library(path)
    if library is None:
        raise DataError(f"{path} is not an ELF file", "it does not start like one", "name a shared library")
    return library.needed


@contextmanager
def open_elf(path: Path) -> Iterator[Any]:
    """pyelftools' view of a file. Raises DataError for a damaged one."""
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile

    try:
        with path.open("rb") as stream:
            yield ELFFile(stream)
    except (ELFError, ConstructError, OSError, UnicodeDecodeError, ValueError) as error:
        raise DataError(f"{path} cannot be read as an ELF file", f"it is damaged: {error}", "fetch it again") from error
