from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from gpuenv.core.errors import DataError
from gpuenv.host import elf
from simulated import elf_symbols


@pytest.fixture
def libc() -> Path:
    """This process's own C library: an ELF file that every Linux machine with glibc has."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").split()
    return next(Path(word) for word in maps if word.endswith("/libc.so.6"))


def test_soname_is_read_from_the_file_and_not_from_its_name(libc: Path, tmp_path: Path) -> None:
    shutil.copy(libc, tmp_path / "libother.so.9")
    assert elf_symbols.read_soname(tmp_path / "libother.so.9") == "libc.so.6"


def test_library_says_machine_and_needs(libc: Path) -> None:
    library = elf.read_library(libc)
    assert library is not None
    assert library.machine == "EM_X86_64"
    assert library.needed == ("ld-linux-x86-64.so.2",)


def test_exported_symbols_carry_their_version_node(libc: Path) -> None:
    exported = elf_symbols.exported_symbols(libc)
    assert elf_symbols.Symbol("printf", "GLIBC_2.2.5", None, is_weak=False) in exported
    # Both the default and the hidden older version count.
    assert {symbol.version for symbol in exported if symbol.name == "memcpy"} == {"GLIBC_2.2.5", "GLIBC_2.14"}


def test_undefined_symbols_say_from_which_library_they_are_wanted(libc: Path) -> None:
    # A small one: every symbol takes time.
    library = libc.with_name("libresolv.so.2")
    wanted = {
        (symbol.library, symbol.version.split("_")[0])
        for symbol in elf_symbols.undefined_symbols(library)
        if symbol.version
    }
    assert ("libc.so.6", "GLIBC") in wanted
    assert not {symbol.name for symbol in elf_symbols.undefined_symbols(library)} & {
        symbol.name for symbol in elf_symbols.exported_symbols(library)
    }


def test_executable_without_soname_has_none() -> None:
    assert elf_symbols.read_soname(Path(sys.executable).resolve()) is None


def test_text_is_no_library(tmp_path: Path) -> None:
    path = tmp_path / "libscript.so"
    path.write_text("INPUT(libc.so.6)\n")
    assert elf.read_library(path) is None
    assert elf_symbols.read_soname(path) is None
    assert not elf.is_elf(tmp_path)
    with pytest.raises(DataError, match="not an ELF file"):
        elf.read_needed(path)
    with pytest.raises(DataError, match="not an ELF file"):
        elf_symbols.undefined_symbols(path)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.99])
def test_truncated_file_is_called_damaged(libc: Path, tmp_path: Path, share: float) -> None:
    content = libc.read_bytes()
    path = tmp_path / "libc.so.6"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match="damaged"):
        elf.read_library(path)
