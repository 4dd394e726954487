"""Reads a log of any origin as clean UTF-8 lines, piece by piece, so that its size does not matter.

Gone are terminal codes, carriage returns, byte order marks and NUL bytes; of a progress bar the last state is left.
"""

from __future__ import annotations

import codecs
import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gpuenv.core import ui
from gpuenv.core.errors import UsageError
from gpuenv.explain.encoding import Console, find_encoding
from gpuenv.explain.lines import CUT

#: Small enough that what is made of a piece stays in the processor's cache.
PIECE_BYTES = 128 * 1024
#: Longer lines are cut: no message is that long, and no regular expression has to stand it.
LINE_BYTES = 8 * 1024
#: From this size on a terminal shows how far the reading is (bytes).
SHOWN_BYTES = 50_000_000

# Colors and cursor movements; titles of windows; single characters. Also as notebooks store them, in JSON.
_CODES = re.compile(rb"(?:\x1b|\\u001[bB])(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)|[@-Z\\^_=>])")
# What BuildKit and docker compose put before each line of what they run.
_PREFIX = re.compile(rb"^(?:#\d+ \d+\.\d+ ?|[\w.-]+[-_]\d+ +\| ?)", re.MULTILINE)
# What is left of colors where the character that begins them got lost or was written out, as web pages and editors do.
_PALE = re.compile(rb"(?:\^\[|\\x1[bB]|\\033)?\[\d{1,2}(?:;\d{1,3})*m")
# A notebook that was saved as a page.
_TAGS = re.compile(rb"</?span(?: [^<>\n]*)?>")
_CHARACTERS = (
    (b"&#39;", b"'"),
    (b"&#x27;", b"'"),
    (b"&quot;", b'"'),
    (b"&lt;", b"<"),
    (b"&gt;", b">"),
    (b"&amp;", b"&"),
)


@contextmanager
def open_pieces(name: str | None) -> Iterator[Iterator[bytes]]:
    """The pieces of a file, or of standard input (None or ``-``). Raises UsageError, also while they are read."""
    if name in (None, "-"):
        if sys.stdin is None:
            raise UsageError("standard input is closed", "no log can come from there", "make explain LOG=<file>")
        if sys.stdin.isatty():
            ui.say("paste the log, then press Ctrl-D on a line of its own (Ctrl-Z and Enter on Windows)")
        yield read_pieces(_chunks(sys.stdin.buffer, "standard input"), "standard input")
        return
    path = Path(str(name))
    try:
        path = path.expanduser()
        # That of `<(command)` lies in /dev or /proc, and ends by itself.
        if path.is_fifo() and not str(path).startswith(("/dev/", "/proc/")):
            ui.say(f"{path} is a pipe: reading what a program writes to it (Ctrl-C ends that)")
        stream = None if path.is_dir() else path.open("rb")
    except (OSError, RuntimeError, ValueError) as error:
        raise _unreadable(str(path), error) from error
    if stream is None:
        raise UsageError(
            f"{path} is a folder", "one log is explained at a time", f"make explain LOG={shlex.quote(str(path))}/<file>"
        )
    with stream:
        yield read_pieces(_shown(path, _chunks(stream, str(path))), str(path))


def _unreadable(name: str, error: Exception) -> UsageError:
    why = error.strerror if isinstance(error, OSError) else None
    return UsageError(
        f"{name} cannot be read", why or str(error), "check the name: make explain LOG=<file>, or pipe the log in"
    )


def _chunks(stream: BinaryIO, name: str) -> Iterator[bytes]:
    while True:
        try:
            chunk = stream.read(PIECE_BYTES)
        except OSError as error:
            raise _unreadable(name, error) from error
        if not chunk:
            return
        yield chunk


def _shown(path: Path, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same; for a big file on a terminal, with a bar that shows how far the reading is."""
    size = path.stat().st_size
    if size < SHOWN_BYTES or not sys.stderr.isatty():
        yield from chunks
        return
    with ui.download_progress(f"reading {path.name}", size) as progress:
        for chunk in chunks:
            yield chunk
            progress.update(progress.task_ids[0], advance=len(chunk))


def read_pieces(chunks: Iterable[bytes], origin: str) -> Iterator[bytes]:
    """Whole lines, clean, in UTF-8 where their encoding is known. Raises UsageError if it is no text, or empty."""
    is_empty = True
    rest = b""
    console = Console()
    for text in _decode(iter(chunks), origin):
        is_empty = is_empty and not text.strip()
        data = rest + text
        end = data.rfind(b"\n") + 1
        rest = data[end:]
        if end:
            yield clean(console.to_utf8(data[:end]))
        if len(rest) > PIECE_BYTES:
            # A progress bar, or no log at all: its last state may still be written over.
            last = rest.rstrip(b"\r").rfind(b"\r") + 1
            yield from () if last else (clean(console.to_utf8(rest + b"\n"))[:-1] + CUT,)
            rest = rest[last:] if last else b""
    if is_empty:
        raise UsageError(f"{origin} is empty", "there is no line to be explained", "make explain LOG=<file>")
    if rest:
        yield clean(console.to_utf8(rest + b"\n"))


def _decode(chunks: Iterator[bytes], origin: str) -> Iterator[bytes]:
    first = next(chunks, b"")
    encoding, mark = find_encoding(first)
    if encoding is None:
        raise UsageError(
            f"{origin} is no text",
            "it holds NUL bytes, as programs, pictures and archives do",
            "hand in the text itself; of a compressed log what it holds: zcat FILE | gpuenv explain -",
        )
    decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)("replace")
    chunk = first[mark:]
    while chunk:
        text = decoder.decode(chunk).encode("utf-8", "replace") if decoder else chunk
        # PowerShell's `>>` puts UTF-16 behind whatever the file was before.
        yield text.replace(b"\0", b"")
        chunk = next(chunks, b"")


def clean(piece: bytes) -> bytes:
    """Whole lines as somebody sees them on a terminal, except that long ones are cut."""
    if b"\x1b" in piece or b"\\u001" in piece:
        # Of what is no whole code its beginning: what is left must not be read as another one.
        piece = _CODES.sub(b"", piece).replace(b"\x1b", b"")
    if b"[0m" in piece:
        piece = _PALE.sub(b"", piece)
    if b"| " in piece or piece.startswith(b"#") or b"\n#" in piece:
        piece = _PREFIX.sub(b"", piece)
    if b"<span" in piece or b"</span" in piece:
        piece = _TAGS.sub(b"", piece)
    if b"&#" in piece or b"&quot;" in piece:
        for written, character in _CHARACTERS:
            piece = piece.replace(written, character)
    piece = piece.replace(b"\r\n", b"\n")
    lines = piece.split(b"\n")
    if b"\r" not in piece and max(map(len, lines)) <= LINE_BYTES:
        return piece
    # Of a line that was written over, its last state.
    states = [line.rstrip(b"\r").rpartition(b"\r")[2] if b"\r" in line else line for line in lines]
    return b"\n".join(
        CUT.join(line[start : start + LINE_BYTES] for start in range(0, len(line) or 1, LINE_BYTES)) for line in states
    )
