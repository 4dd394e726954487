"""Measure what a wheel wants from NVIDIA's libraries; run by hand when a variant is added or its TensorFlow changes.

    export PYTHONPATH=tests
    python -m simulated.symbols stand-ins WHEEL SUFFIX > envs/VARIANT/stand-ins.txt
    python -m simulated.symbols driver WHEEL... > docker/libcuda/driver-api.h

SUFFIX is what the SONAMEs end in (".9.0"). A name counts when the wheel's libraries leave it undefined (TensorFlow up
to 1.13 links against CUDA) or hold it as a whole string of their read-only data (later ones look names up by it).
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from gpuenv.cuda import archives, stand_ins
from gpuenv.host import elf
from simulated import elf_symbols

#: What belongs to the driver, libcuda.so.1: `cu` and a capital; all capitals (cuDNN) is a name in a message instead.
DRIVER = re.compile(r"cu(?![A-Z]+$)[A-Z][A-Za-z0-9_]+")
_NAME = re.compile(rb"(?<=\0)(?:cu|nv|__cu)[A-Za-z0-9_]{3,80}(?=\0)")

STAND_INS_HEAD = """\
# The functions that {wheel} wants from the libraries of CUDA
# which have stand-ins where it comes from the package index. Measured on that wheel, not written by hand:
#   PYTHONPATH=tests python -m simulated.symbols stand-ins WHEEL {suffix}
"""
DRIVER_HEAD = """\
/* The functions of the NVIDIA driver that TensorFlow and NVIDIA's CUDA runtime bind, or look up by name while running.
 * Measured, not written by hand: python -m simulated.symbols driver WHEEL... on these wheels (those of cntk-gpu are
 * there for the CUDA runtime inside):
{wheels}
 */
"""


def read_only_strings(path: Path) -> set[str]:
    """Every identifier-like string that stands alone in the read-only data of a library."""
    from elftools.elf.elffile import ELFFile

    with path.open("rb") as stream:
        section = ELFFile(stream).get_section_by_name(".rodata")
        data = b"\0" + section.data() if section is not None else b""
    return {match.group().decode() for match in _NAME.finditer(data)}


def wanted_names(library: Path) -> set[str]:
    """The names that one library leaves undefined or looks up while running."""
    undefined = {symbol.name for symbol in elf_symbols.undefined_symbols(library)}
    return undefined | read_only_strings(library)


def libraries_of(wheels: Iterable[Path]) -> Iterator[Path]:
    """The libraries of TensorFlow and of the CUDA runtime inside ``wheels``, there for as long as they are used."""
    for wheel in wheels:
        with tempfile.TemporaryDirectory() as folder, wheel.open("rb") as stream:
            archives.unpack("zip", stream, wheel.name, Path(folder))
            for path in sorted(Path(folder).rglob("*.so*")):
                if elf.is_elf(path) and re.match(r"lib(tensorflow|cudart)|_pywrap_tensorflow_internal", path.name):
                    yield path


def by_library(names: set[str], suffix: str) -> dict[str, list[str]]:
    """SONAME -> the names that belong to it, sorted."""
    return {
        f"lib{family}.so{suffix}": sorted(name for name in names if re.match(f"{family}[A-Z]", name))
        for family in stand_ins.FAMILIES
    }


def render_stand_ins(wheel: str, suffix: str, names: set[str]) -> str:
    """The text of a variant's stand-ins.txt."""
    parts = [STAND_INS_HEAD.format(wheel=wheel, suffix=suffix)]
    for soname, members in by_library(names, suffix).items():
        parts.append(f"\n[{soname}]\n" + "".join(f"{name}\n" for name in members))
    return "".join(parts)


def render_driver(wheels: list[str], names: set[str]) -> str:
    """The text of driver-api.h: one macro call for each function."""
    functions = sorted(name for name in names if DRIVER.fullmatch(name))
    head = DRIVER_HEAD.format(wheels="\n".join(f" *   {wheel}" for wheel in wheels))
    return head + "".join(f"FUNCTION({name})\n" for name in functions)


def main(argv: list[str]) -> None:
    """Measure and print; see the top of this file."""
    if argv[0] == "stand-ins":
        wheel = Path(argv[1])
        names = set().union(*(wanted_names(path) for path in libraries_of([wheel])))
        sys.stdout.write(render_stand_ins(wheel.name, argv[2], names))
    else:
        wheels = [Path(name) for name in argv[1:]]
        names = set().union(*(wanted_names(path) for path in libraries_of(wheels)))
        sys.stdout.write(render_driver([wheel.name for wheel in wheels], names))


if __name__ == "__main__":
    main(sys.argv[1:])
