"""Translates the commands of an answer for Windows, where there is no POSIX shell and conda alone."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gpuenv.variants import model as variants


@dataclass(frozen=True)
class CondaEnvironment:
    """An environment that conda makes on Windows."""

    name: str
    command: str


def for_windows(command: str) -> str:
    """The same command where there is no POSIX shell and conda alone; what has no equal stays as it is."""
    if re.fullmatch(r"make conda-env( VARIANT=\S+)?", command):
        return _conda(command).command
    words = command.split(" ")
    if words[0] == "unset":
        return " & ".join(f"set {name}=" for name in words[1:])
    return re.sub(r"^export (?=\w+=\S+$)", "set ", command)


def conda_for_windows(command: str) -> CondaEnvironment | None:
    """What conda makes in place of a plain `make gpu-shell`; None for any other command."""
    plain = re.fullmatch(r"make gpu-shell(?: (?:VARIANT|FLAVOR)=\S+| GPUS=(?:none|all))*", command)
    return _conda(command) if plain else None


def _conda(command: str) -> CondaEnvironment:
    settings = dict(re.findall(r" ([A-Z]+)=(\S+)", command))
    variant = settings.get("VARIANT") or variants.find_variant(None).name
    suffix = "-cpu" if settings.get("FLAVOR") == "cpu" else ""
    return CondaEnvironment(
        f"gpuenv-{variant}{suffix}", f"conda env create -f envs\\{variant}\\environment{suffix}.yml"
    )
