"""The command line. Every sub-command is one module, imported only when it is asked for."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from gpuenv.core import paths, signals, ui, variables
from gpuenv.core.errors import GpuenvError, UsageError, closed_file, full_disk, removed_folder
from gpuenv.core.settings import Option, Settings, warn_of_misspelled
from gpuenv.verbs import COMMANDS, Verb, as_typed, check_given


class _Parser(argparse.ArgumentParser):
    """Names the spelling that takes a value with a dash at its beginning, which looks like an option."""

    def error(self, message: str) -> NoReturn:
        name = message.removeprefix("argument ").removesuffix(": expected one argument")
        hint = (
            f" (one that begins with a dash: {name}=-x)" if message == f"argument {name}: expected one argument" else ""
        )
        super().error(ui.printable(f"{message}{hint}"))


def build_parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """Make the parser with every command, and the options of those in ``argv``: half the time that all options take.

    Defaults come from ``GPUENV_*`` variables.
    """
    parser = _Parser(prog="gpuenv", description="Pinned TensorFlow 1 environments that prove they train.")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    for command in COMMANDS.values():
        text = as_typed(command.help)
        verb = verbs.add_parser(command.name, help=text, description=text)
        for option in command.options if command.name in argv else ():
            _add_option(verb, option)
    return parser


def _add_option(parser: argparse.ArgumentParser, option: Option) -> None:
    default = os.environ.get(option.variable) or None
    text = f"{as_typed(option.help)} [{option.variable}]"
    if option.is_flag:
        parser.add_argument(option.flag, action="store_true", default=default not in (None, "0"), help=text)
        return
    if option.argument:
        parser.add_argument("argument", nargs="?", help=option.help, metavar=option.argument)
    parser.add_argument(option.flag, default=default, help=text, metavar=option.make_name)


def read_settings(argv: Sequence[str] | None) -> Settings:
    """Read the settings of one command. Raises UsageError for an empty value, or one outside an option's choices."""
    argv = sys.argv[1:] if argv is None else argv
    parsed = build_parser(argv).parse_args(argv)
    if parsed.debug:
        os.environ["GPUENV_DEBUG"] = "1"
    given = {name: value for name, value in vars(parsed).items() if value is not None}
    values: dict[str, Any] = {}
    for option in COMMANDS[parsed.verb].options:
        value = given.get("argument", given.get(option.name)) if option.argument else given.get(option.name)
        if value is not None:
            values[option.name] = option.value(value) if isinstance(value, str) else value
    return Settings(verb=parsed.verb, **values)


def refuse_without_checkout(verb: Verb) -> None:
    """Raise UsageError for a verb that works on the project itself, where only the command is installed."""
    if verb.needs_checkout and not paths.is_checkout():
        raise UsageError(
            f"{verb.name} works on a checkout of the project only",
            "this gpuenv is an installed package",
            f"clone the project and run `make {verb.name}` there",
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; the only place that prints errors."""
    ui.open_closed_streams()
    signals.hear_children()
    try:
        # Taken away, as programs that this one starts are not what make was asked for.
        given, goals = (os.environ.pop(f"GPUENV_MAKE_{name}", "").split() for name in ("GIVEN", "GOALS"))
        check_given(given, goals)
        variables.settle()
        warn_of_misspelled(os.environ)
        settings = read_settings(argv)
        refuse_without_checkout(COMMANDS[settings.verb])
        with signals.ending_cleanly():
            code = int(importlib.import_module(COMMANDS[settings.verb].module).run(settings))
            sys.stdout.flush()
            return code
    except KeyboardInterrupt as error:
        ui.say("interrupted")
        return 128 + (error.number if isinstance(error, signals.Ended) else signal.SIGINT)
    except BrokenPipeError:
        # The reader of our output went away (`| head`): nothing is left to be told to anybody.
        _drop_output()
        sys.stderr.close()
        return 141
    except Exception as error:  # noqa: BLE001 - nobody is shown a traceback without asking for it
        if ui.debug_enabled():
            ui.show_traceback()
        # A full disk, what is another user's, or a folder that has gone may show anywhere.
        known = full_disk(error) or closed_file(error) or removed_folder(error)
        told = error if isinstance(error, GpuenvError) else known or _unforeseen(error)
        ui.say(f"error: {as_typed(str(told))}")
        _drop_output()
        return told.exit_code


def _drop_output() -> None:
    """Lose what cannot be written to standard output: the interpreter would try again at its end, and complain."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _unforeseen(error: Exception) -> GpuenvError:
    said = f"{type(error).__name__}: {error}"
    return GpuenvError("something unforeseen happened", said, "run the same with GPUENV_DEBUG=1 to see where")
