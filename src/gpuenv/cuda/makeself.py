"""Opens an archive that unpacks itself (makeself) without running it: a shell script with packed tars behind it.

The script tells how many lines of its own come first and how many bytes each tar has; nothing else of it is read.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from typing import IO

#: Of the script: one of makeself 2 has 20 to 30 kB, and one with a license in it some 100 kB more.
SCRIPT_LIMIT_BYTES = 1 << 20
_SIZES = re.compile(rb'filesizes="([0-9]{1,15}(?: [0-9]{1,15}){0,15}) *"')
#: Makeself 2.1 to 2.3 write the number of lines where they count them, 2.4 in a variable.
_LINES = re.compile(rb'^skip="([0-9]{1,6})"$|\boffset=`head -(?:n )?([0-9]{1,6}) "\$[01]" \| wc -c')


def tars(stream: IO[bytes]) -> Iterator[tarfile.TarFile]:
    """Open the tars behind the script at which ``stream`` stands, each to be read once, from front to back.

    Raises ValueError where there is no such script, and what tarfile raises for a damaged tar.
    """
    for size in _read_script(stream):
        part = _Part(stream, size)
        # Packed by gzip, bzip2, xz or not at all: its first bytes tell.
        with tarfile.open(fileobj=io.BufferedReader(part), mode="r|*") as tar:
            yield tar
        part.skip()


def _read_script(stream: IO[bytes]) -> list[int]:
    """Read the script; returns the sizes of the tars (bytes). ``stream`` stands at the first of them then."""
    sizes: list[int] = []
    wanted = count = 0
    left = SCRIPT_LIMIT_BYTES
    while not (sizes and wanted and count >= wanted):
        line = stream.readline(left)
        count, left = count + 1, left - len(line)
        if count == 1 and not line.startswith(b"#!"):
            raise ValueError("it does not begin as a script that unpacks itself")
        if not line.endswith(b"\n") or left <= 0:
            raise ValueError("its script does not tell where the packed files begin")
        if not sizes and (told := _SIZES.match(line)):
            sizes = [int(size) for size in told[1].split()]
        if not wanted and (told := _LINES.search(line)):
            wanted = int(told[1] or told[2])
    if count != wanted:
        raise ValueError(f"its script says that it has {wanted} lines, and goes on after them")
    return sizes


class _Part(io.RawIOBase):
    """The next so many bytes of a stream."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        super().__init__()
        self._stream = stream
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        piece = self._stream.read(min(len(buffer), self._left))
        buffer[: len(piece)] = piece
        self._left -= len(piece)
        return len(piece)

    def skip(self) -> None:
        """Read what is left of it."""
        while self._left and (piece := self._stream.read(min(self._left, 1 << 20))):
            self._left -= len(piece)
