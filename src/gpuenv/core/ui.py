"""Everything that gpuenv says to a person. Standard output is left to the user's own command.

`rich` is imported only where it draws: a warm `gpu-shell` spends a third of its time on imports (see `make bench`).
"""

from __future__ import annotations

import functools
import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

PREFIX = "gpuenv: "
_STREAMS = {"stdin": "r", "stdout": "w", "stderr": "w"}
#: As Python's own standard error: names of files need not be UTF-8, nor must a terminal know every character.
_ESCAPED = "backslashreplace"
#: As many as stand on a terminal together with what is said of them.
END_LINES = 8
#: Color codes, and characters that would command a terminal, turn its text around, or that no page may hold.
_COMMANDS = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff]"
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
        print(f"{PREFIX}{line}", file=sys.stderr, flush=True)
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
    print(f"{PREFIX}{deed}? [Y/n] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("", "y", "yes")


def printable(text: str) -> str:
    """Remove what is no text: what a machine says need not be what it should."""
    return _COMMANDS.sub("", text).encode("utf-8", "replace").decode("utf-8")


def end_of_output(text: str, of: str = "output") -> str:
    """Quote a program's last words, for where only they say why it failed."""
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join([f"the end of its {of}:", *(f"    {line}" for line in lines[-END_LINES:])])


def console() -> Console:
    """A rich console on standard error (plain text when that is not a terminal)."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


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
    columns: list[bars.ProgressColumn] = [bars.TextColumn("{task.description}"), bars.BarColumn()]
    columns += [bars.DownloadColumn(), bars.TransferSpeedColumn(), bars.TimeRemainingColumn()]
    with bars.Progress(*columns, console=target, disable=not target.is_terminal) as progress:
        progress.add_task(label, total=total_bytes)
        yield progress


def debug_enabled() -> bool:
    """Whether tracebacks are wanted (``--debug`` or ``GPUENV_DEBUG=1``)."""
    return os.environ.get("GPUENV_DEBUG", "") not in ("", "0")
