"""Every verb: the module that does it, its help, and the settings it takes."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace

from gpuenv.core import paths
from gpuenv.core.errors import UsageError, nearest
from gpuenv.core.settings import OPTIONS, Option, Settings


@dataclass(frozen=True)
class Verb:
    """One verb of make and of the command: the module whose ``run(settings) -> int`` does it, help and options."""

    name: str
    #: Empty: a recipe of the Makefile alone.
    module: str
    help: str
    options: tuple[Option, ...] = ()
    #: Works on the project itself, which an installed package does not hold.
    needs_checkout: bool = False


def _take(*names: str) -> tuple[Option, ...]:
    return tuple(OPTIONS[name] for name in names)


_BUILD = _take("variant", "flavor", "engine", "base", "cuda", "cuda_lock", "sources_dir")
_CONDA = _take("prefix", "channels", "conda")
_ANY_FLAVOR = replace(
    OPTIONS["flavor"],
    help="gpu, cpu or all; what this machine uses if not given",
    choices=("gpu", "cpu", "all"),
)
_LOCKED = replace(
    OPTIONS["variant"], help="which variant, or `tool` for the command's own locks; all of them if not given"
)

VERBS = (
    Verb("help", "gpuenv.verbs", "show this list"),
    Verb(
        "gpu-shell",
        "gpuenv.shell.command",
        'a shell inside the pinned environment, or one command with CMD="..."',
        (*_BUILD, *_CONDA, *_take("gpus", "work", "add", "port", "cmd")),
    ),
    Verb(
        "test-env",
        "gpuenv.harness.command",
        "check the environments that this machine uses, from the inside",
        (
            *(_ANY_FLAVOR if option.name == "flavor" else option for option in _BUILD),
            *_CONDA,
            *_take("add", "target", "hosts", "jobs", "require_gpu", "upstream"),
        ),
    ),
    Verb(
        "explain",
        "gpuenv.explain.command",
        "name the root cause of a failure from its log, and what to do",
        _take("log", "json"),
    ),
    Verb(
        "doctor",
        "gpuenv.doctor.command",
        "say what of this machine gets in the way, how to mend it, and what to type",
        _take("variant", "sources_dir", "json", "verbose"),
    ),
    Verb(
        "conda-env",
        "gpuenv.prefix.command",
        "make a conda environment with the same packages (no container, no conda needed)",
        (*_take("variant", "flavor"), *_CONDA, *_take("cuda", "sources_dir")),
    ),
    Verb(
        "venv-env",
        "gpuenv.prefix.command",
        "make a virtual environment with the same packages on a CPython of this machine",
        _take("variant", "flavor", "prefix", "cuda", "cuda_lock", "sources_dir"),
    ),
    Verb("images", "gpuenv.images.command", "build every image that this machine can build", _BUILD),
    Verb(
        "engine",
        "gpuenv.engine.command",
        "say which container engine is used; start a private one if there is none",
        _take("engine"),
    ),
    Verb("engine-stop", "gpuenv.engine.command", "stop the private engine"),
    Verb(
        "lock",
        "gpuenv.lock.command",
        "resolve the requirements locks anew",
        (_LOCKED, *_take("check", "upgrade")),
        needs_checkout=True,
    ),
    Verb("docs", "gpuenv_dev.docs", "write the generated parts of the documentation", needs_checkout=True),
    Verb("bench", "gpuenv_dev.bench", "measure speed and size against the engine alone", _BUILD, needs_checkout=True),
    Verb(
        "mutation",
        "gpuenv_dev.mutation",
        "change what decides things, one place at a time, and name what no test notices",
        _take("jobs"),
        needs_checkout=True,
    ),
    Verb(
        "clean",
        "gpuenv.clean",
        "remove what this project made on this machine, and nothing else",
        _take("engine", "yes"),
    ),
    Verb("lint", "", "ruff, mypy, the order of imports, hadolint, shellcheck"),
    Verb("test-unit", "", "the command's own tests: no engine, no network, seconds", _take("jobs")),
    Verb("test-e2e", "", "the command through a real engine, with small images"),
    Verb("test-broken", "", "every check of the harness seen failing: broken images, simulated hosts"),
    Verb("test-attacks", "", "what another user, a hostile file and a hostile server get done: nothing"),
    Verb("soak", "", "what users do and what happens to them, at random, and what is left of it", _take("n", "seed")),
)
COMMANDS = {verb.name: verb for verb in VERBS if verb.module}
_ANYWHERE = "|".join(verb.name for verb in COMMANDS.values() if not verb.needs_checkout)
_NAMES = "|".join(option.make_name for option in OPTIONS.values())
#: What only a checkout has is told as it is typed there: `make lock VARIANT=...`.
_TYPED = rf"\bmake (?P<verb>{_ANYWHERE})\b(?!-)|(?<!make lock )\b(?P<name>{_NAMES})=(?P<one>1\b)?"


def as_typed(text: str) -> str:
    """A text that says ``make VERB NAME=value``, with ``gpuenv VERB --name=value`` where the command is installed."""

    def typed(match: re.Match[str]) -> str:
        if match["verb"]:
            return f"gpuenv {match['verb']}"
        option = OPTIONS[match["name"].lower()]
        return option.flag if option.is_flag else f"{option.flag}={match['one'] or ''}"

    return text if paths.is_checkout() else re.sub(_TYPED, typed, text)


def takers(name: str) -> list[str]:
    """The verbs that take the setting of a field."""
    return [verb.name for verb in VERBS if any(option.name == name for option in verb.options)]


def run(_settings: Settings) -> int:
    """Print every verb and every setting; of an installed command those that need no checkout."""
    is_here = paths.is_checkout()
    verbs = [verb for verb in VERBS if is_here or (verb.module and not verb.needs_checkout)]
    for verb in verbs:
        print(as_typed(f"  make {verb.name:12} {verb.help}"))
    program, how = (".venv/bin/gpuenv", "make VERB NAME=value") if is_here else ("gpuenv", "gpuenv VERB --name=value")
    print(f"  settings: {how}, of which `{program} VERB --help` lists those of one verb:")
    for option in OPTIONS.values():
        if is_here or any(option in verb.options for verb in verbs):
            name, text = (option.make_name, option.make_help) if is_here else (option.flag, as_typed(option.help))
            print(f"  {name:12} {text}")
    return 0


def check_given(given: list[str], goals: list[str]) -> None:
    """Refuse what make's command line names if it is no setting, empty, or for none of the goals. Raises UsageError."""
    known = {option.make_name: name for name, option in OPTIONS.items()}
    chosen = [verb.name for verb in VERBS if verb.name in goals]
    for name in given:
        if name not in known:
            # Below difflib's own 0.6, as half a command may stick to a name (`PO"RT;touch` is 0.53 near to PORT).
            near = nearest(name.upper(), known, cutoff=0.53)
            variable = f"for a variable of the environment: `{name}=... make {' '.join(goals)}`"
            raise UsageError(
                f"make knows no setting {name!r}",
                f"known: {', '.join(known)}",
                f"did you mean {near}=? ({variable})" if near else variable,
            )
        OPTIONS[known[name]].refuse_empty(os.environ.get(OPTIONS[known[name]].variable))
        if chosen and not set(chosen).intersection(takers(known[name])):
            mine = [option.make_name for option in OPTIONS.values() if chosen[0] in takers(option.name)]
            raise UsageError(
                f"`make {chosen[0]}` takes no {name}=",
                f"it is for {', '.join(takers(known[name]))}; {chosen[0]} takes {', '.join(mine) or 'no setting'}",
                "leave it out",
            )
