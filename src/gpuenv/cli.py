"""The command line. Every sub-command is one module, imported only when it is asked for.

``make VERB NAME=value`` sets ``GPUENV_NAME``, which is the default of ``--name`` here; so both ways
of calling mean the same.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

from gpuenv.core import signals, ui
from gpuenv.core.errors import GpuenvError, full_disk, is_full_disk


@dataclass(frozen=True)
class Option:
    """One option: its name without dashes, its help, and the values it may take, if few."""

    name: str
    help: str
    choices: tuple[str, ...] | None = None
    is_flag: bool = False
    #: Also taken as the first argument, which helps call by this name.
    argument: str | None = None

    @property
    def variable(self) -> str:
        """The environment variable that holds its default."""
        return "GPUENV_" + self.name.upper().replace("-", "_")


@dataclass(frozen=True)
class Command:
    """One verb: the module whose ``run(args) -> int`` does it, its help and its options."""

    name: str
    module: str
    help: str
    options: tuple[Option, ...] = ()


VARIANT = Option("variant", "which variant (a folder of envs/); the default one if not given")
FLAVOR = Option("flavor", "gpu or cpu; gpu where this machine has an NVIDIA driver")
ENGINES = ("auto", "docker", "podman", "private", "venv", "conda")
ENGINE = Option("engine", "auto, docker, podman, private; venv or conda: no container", ENGINES)
BASE = Option("base", "registry or local: where the base image comes from", ("auto", "registry", "local"))
CUDA = Option("cuda", "genuine, or simulated (no GPU can use it)", ("genuine", "simulated"))
CUDA_LOCK = Option("cuda-lock", "another cuda.lock.toml than the variant's")
SOURCES_DIR = Option("sources-dir", "a folder that is asked for archives before any network")
PREFIX = Option("prefix", "the folder of a conda or virtual environment; one of the cache if not given")
CHANNELS = Option("channels", "conda channels instead of the variant's: a mirror, or a folder")
CONDA = Option("conda", "micromamba, mamba, conda or rattler; the first of them that is here if not given", (
    "micromamba", "mamba", "conda", "rattler",
))  # fmt: skip
YES = Option("yes", "remove without a question, also what other checkouts use", is_flag=True)
JSON = Option("json", "print JSON, for programs", is_flag=True)
VERBOSE = Option("verbose", "also list what is fine", is_flag=True)
BUILD_OPTIONS = (VARIANT, FLAVOR, ENGINE, BASE, CUDA, CUDA_LOCK, SOURCES_DIR)
CONDA_OPTIONS = (PREFIX, CHANNELS, CONDA)

COMMANDS = (
    Command(
        "gpu-shell",
        "gpuenv.shell.command",
        "a shell, or one command, inside an environment",
        (
            *BUILD_OPTIONS,
            *CONDA_OPTIONS,
            Option("gpus", "all, none, or device numbers such as 0,1"),
            Option("work", "the folder to work in (it becomes /work); the current one if not given"),
            Option("port", "publish this port of the environment on 127.0.0.1 (for a notebook server)"),
            Option("cmd", "run this with bash instead of a prompt"),
        ),
    ),
    Command("images", "gpuenv.images.plan", "build every image that this machine can build", BUILD_OPTIONS),
    Command(
        "test-env",
        "gpuenv.harness.command",
        "check every environment from the inside",
        (
            *BUILD_OPTIONS,
            *CONDA_OPTIONS,
            Option("target", "image, venv or conda", ("image", "venv", "conda")),
            Option("hosts", "environments on other machines, such as ssh://lab1 (any connection of testinfra)"),
            Option("jobs", "how many targets at a time"),
            Option("require-gpu", "1: a missing GPU is a failure; 0: it is counted as not tested", ("0", "1")),
        ),
    ),
    Command(
        "conda-env",
        "gpuenv.prefix.command",
        "make the conda environment (Python and CUDA by conda, all else by pip from the lock)",
        (VARIANT, FLAVOR, *CONDA_OPTIONS, SOURCES_DIR),
    ),
    Command(
        "venv-env",
        "gpuenv.prefix.command",
        "make the virtual environment on a CPython of this machine",
        (VARIANT, FLAVOR, PREFIX, CUDA, CUDA_LOCK, SOURCES_DIR),
    ),
    Command(
        "lock",
        "gpuenv.lock.command",
        "resolve the requirements locks anew",
        (
            Option("variant", "which variant, or `tool` for the command's own locks; all of them if not given"),
            Option("check", "only say whether the locks are current (needs no network)", is_flag=True),
            Option("upgrade", "take the newest versions instead of keeping those locked now", is_flag=True),
        ),
    ),
    Command(
        "explain",
        "gpuenv.explain.command",
        "name the root cause of a failure from its log, and what to do",
        (Option("log", "the log of what failed; standard input if not given, or for -", argument="FILE"), JSON),
    ),
    Command(
        "doctor",
        "gpuenv.doctor.command",
        "say what of this machine would get in the way, how to mend it, and what to type",
        (VARIANT, JSON, VERBOSE),
    ),
    Command("engine", "gpuenv.engine.command", "start the private engine, or say which one is used", (ENGINE,)),
    Command("engine-stop", "gpuenv.engine.command", "stop the private engine"),
    Command("docs", "gpuenv.dev.docs", "write the generated parts of the documentation"),
    Command("bench", "gpuenv.dev.bench", "measure this against the engine alone", BUILD_OPTIONS),
    Command("clean", "gpuenv.clean", "remove what the project made, and nothing else", (ENGINE, YES)),
)


def build_parser() -> argparse.ArgumentParser:
    """The parser with every command; defaults come from ``GPUENV_*`` variables."""
    parser = argparse.ArgumentParser(
        prog="gpuenv", description="Pinned TensorFlow 1 environments that prove they train."
    )
    parser.add_argument("--debug", action="store_true", default=ui.debug_enabled(), help="show tracebacks")
    verbs = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        verb = verbs.add_parser(command.name, help=command.help, description=command.help)
        for option in command.options:
            _add_option(verb, option)
    return parser


def _add_option(parser: argparse.ArgumentParser, option: Option) -> None:
    default = os.environ.get(option.variable) or None
    text = f"{option.help} [{option.variable}]"
    if option.is_flag:
        is_set = default not in (None, "0")
        parser.add_argument(f"--{option.name}", action="store_true", default=is_set, help=text)
        return
    if option.argument:
        parser.add_argument("argument", nargs="?", help=option.help, metavar=option.argument)
    parser.add_argument(f"--{option.name}", default=default, help=text, metavar=option.name.upper().replace("-", "_"))


def check_choices(args: argparse.Namespace) -> None:
    """Refuse values outside an option's choices, wherever they came from. Raises UsageError."""
    from gpuenv.variants.model import suggest_known

    command = next(command for command in COMMANDS if command.name == args.command)
    for option in command.options:
        value = getattr(args, option.name.replace("-", "_"))
        if option.choices and value is not None and value not in option.choices:
            raise suggest_known(option.name, value, list(option.choices))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; the only place that prints errors."""
    args = build_parser().parse_args(argv)
    command = next(command for command in COMMANDS if command.name == args.command)
    try:
        check_choices(args)
        with signals.ending_cleanly():
            return int(importlib.import_module(command.module).run(args))
    except GpuenvError as error:
        if args.debug:
            traceback.print_exc()
        ui.say(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt as error:
        ui.say("interrupted")
        return 128 + (error.number if isinstance(error, signals.Ended) else signal.SIGINT)
    except BrokenPipeError:
        # The reader of our output went away (`| head`): nothing is left to be told to anybody, and what is still
        # buffered would make the interpreter complain at its end.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.stderr.close()
        return 141
    except Exception as error:  # noqa: BLE001 - nobody is shown a traceback without asking for it
        if args.debug:
            traceback.print_exc()
        described = describe_unforeseen(error)
        ui.say(f"error: {described}")
        return described.exit_code


def describe_unforeseen(error: Exception) -> GpuenvError:
    """An error that no module expected, in three lines. A full disk may show anywhere."""
    if is_full_disk(error):
        return full_disk(error)
    said = f"{type(error).__name__}: {error}"
    return GpuenvError("something unforeseen happened", said, "run the same with GPUENV_DEBUG=1 to see where")


if __name__ == "__main__":
    sys.exit(main())
