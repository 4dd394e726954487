"""Everything that gpuenv says to a person. Standard output is left to the user's own command.

What is said may hold words of others: of a log, a host, an engine, the name of a file. Here it leaves us, and here, at
every exit, it is cleaned of what would command a terminal (:func:`printable`).

`rich` is imported only where it draws: a warm `gpu-shell` spends a third of its time on imports (see `make bench`).
"""

from __future__ import annotations

import functools
import io
import json
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

PREFIX = "gpuenv: "
_STREAMS = {"stdin": "r", "stdout": "w", "stderr": "w"}
#: As Python's own standard error: names of files need not be UTF-8, nor must a terminal know every character.
_ESCAPED = "backslashreplace"
#: As many as stand on a terminal together with what is said of them.
END_LINES = 8
# Colors, titles of windows; then single characters that command a terminal (C0 without tab and new line, C1), turn its
# text around, are not seen there, or that no page may hold. The character that begins a code is one of them: what is
# left when a code has gone is never another one.
_COMMANDS = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffe\uffff\U000e0000-\U000e007f]"
)


def open_closed_streams() -> None:
    """Open the null device as each standard stream that our caller closed (``2>&-``).

    Else the next file or pipe would be that stream, here and in programs that are started, and what is said to people
    would be printed among a command's output. Standard output takes any text from now on, escaped where it must be.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < len(_STREAMS):
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for number, (name, mode) in enumerate(_STREAMS.items()):
        if getattr(sys, name) is None:
            stream = open(number, mode, encoding="utf-8", errors=_ESCAPED)  # noqa: PTH123, SIM115 - open to the end
            setattr(sys, name, stream)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=_ESCAPED)


def say(line: str) -> None:
    """Print one line for people on standard error; where that cannot be written to, as on a full disk, it is lost."""
    try:
        print(f"{PREFIX}{printable(line)}", file=sys.stderr, flush=True)
    except BrokenPipeError:
        raise
    except OSError:
        # A new one: what the old one still holds would be tried again, and change the exit code.
        sys.stderr = open(2, "w", encoding="utf-8", errors=_ESCAPED, closefd=False)  # noqa: SIM115 - open to the end


def warn(line: str) -> None:
    """Print one warning line on standard error."""
    say(f"warning: {line}")


@functools.cache
def warn_once(line: str) -> None:
    """Print a warning unless this process printed the same one already."""
    warn(line)


def is_interactive() -> bool:
    """Whether a person can answer: both standard input and standard error are terminals."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(deed: str) -> bool:
    """Ask on a terminal whether to do something; elsewhere say that it is done.

    Only for what was asked for by name, or what the README promises: see `clean.py` for what needs ``YES=1``.
    """
    if not is_interactive():
        say(f"no terminal to ask on, so this goes ahead: {deed}")
        return True
    print(f"{PREFIX}{printable(deed)}? [Y/n] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("", "y", "yes")


def show(text: str) -> None:
    """Print an answer for people on standard output."""
    print(printable(text), flush=True)


def show_json(value: Any, *, ensure_ascii: bool = True) -> None:
    """Print an answer for programs on standard output."""
    print(json.dumps(cleaned(value), ensure_ascii=ensure_ascii, indent=2), flush=True)


def show_traceback() -> None:
    """Print where the error that is handled now came from, on standard error."""
    print(printable(traceback.format_exc()), end="", file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """Remove what is no text: what others say, or call a file, need not be what it should."""
    return _COMMANDS.sub("", text).encode("utf-8", _ESCAPED).decode("utf-8")


def cleaned(value: Any) -> Any:
    """Data for JSON with every text :func:`printable`."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {cleaned(name): cleaned(one) for name, one in value.items()}
    return [cleaned(one) for one in value] if isinstance(value, (list, tuple)) else value


def end_of_output(text: str, of: str = "output") -> str:
    """Quote a program's last words, for where only they say why it failed."""
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join([f"the end of its {of}:", *(f"    {line}" for line in lines[-END_LINES:])])


def console(*, stderr: bool = True) -> Console:
    """A rich console on standard error, or output (plain text when that is not a terminal); colors are ours alone."""
    from rich.console import Console
    from rich.segment import Segment

    class Cleaning(Console):
        """Cleans the texts that it draws, not the codes that it makes of styles and of the cursor's way."""

        def render(self, *what: Any, **how: Any) -> Iterator[Segment]:
            """Everything that is drawn comes through here, parts of tables and of what lives, too."""
            for text, style, control in super().render(*what, **how):
                yield Segment(text if control else printable(text), style, control)

    return Cleaning(stderr=stderr, highlight=False)


@contextmanager
def download_progress(label: str, total_bytes: int | None) -> Iterator[Progress]:
    """A progress display for one transfer: a bar on a terminal, one line otherwise.

    Advance it with ``progress.update(progress.task_ids[0], advance=n_bytes)``.
    """
    from rich import progress as bars

    target = console()
    if not target.is_terminal:
        size = f" ({total_bytes / 1e6:.1f} MB)" if total_bytes else ""
        say(f"{label}{size}")
    columns: list[bars.ProgressColumn] = [bars.TextColumn("{task.description}", markup=False), bars.BarColumn()]
    columns += [bars.DownloadColumn(), bars.TransferSpeedColumn(), bars.TimeRemainingColumn()]
    with bars.Progress(*columns, console=target, disable=not target.is_terminal) as progress:
        progress.add_task(label, total=total_bytes)
        yield progress


def debug_enabled() -> bool:
    """Whether tracebacks are wanted (``--debug`` or ``GPUENV_DEBUG=1``)."""
    return os.environ.get("GPUENV_DEBUG", "") not in ("", "0")
