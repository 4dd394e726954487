"""What the settings of an image are: those of the image below, and what the Dockerfile's lines set."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template
from typing import Any

#: What they should be by the recipe; the image's label of this name says it.
LABEL = "gpuenv.settings"
#: What an image says of the containers that are made of it; its labels apart.
NAMES = (
    "Env", "User", "WorkingDir", "Cmd", "Entrypoint", "ExposedPorts", "Volumes", "OnBuild", "Healthcheck", "StopSignal",
)  # fmt: skip
#: Lines that change none of them.
_OTHER = ("ARG", "COPY", "FROM", "RUN", "SHELL")


def settings_in(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in an image's ``Config``, variables by name; what is empty is left out."""
    found = {name: config[name] for name in NAMES if config.get(name)}
    return {**found, "Env": dict(one.partition("=")[::2] for one in found.get("Env", ()))}


def render(dockerfile: str, target: str, arguments: Mapping[str, str], base: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of ``target``, a stage of ``dockerfile``, on an image with the settings ``base``.

    Raises ValueError for a line that this function does not know.
    """
    settings = {**base, "Env": dict(base.get("Env", {}))}
    for name, value in _lines_of(dockerfile, target, arguments):
        if name == "ENV":
            for word in shlex.split(value):
                variable, _, text = word.partition("=")
                settings["Env"][variable] = Template(text).substitute(settings["Env"])
        elif name == "CMD":
            settings["Cmd"] = json.loads(value)
        elif name in ("USER", "WORKDIR"):
            settings["User" if name == "USER" else "WorkingDir"] = value
        elif name not in _OTHER:
            raise ValueError(f"{name} {value}: what it sets is not known here")
    return settings


def copied(dockerfile: str, target: str, flavor: str) -> dict[str, str]:
    """The files of the build's context that end in ``target`` by themselves: their paths there, and in the context."""
    lines = (value.split() for name, value in _lines_of(dockerfile, target, {"FLAVOR": flavor}) if name == "COPY")
    files = (parts for parts in lines if not parts[0].startswith("--") and not parts[0].endswith("/"))
    return {f"{folder}{Path(source).name}" if folder.endswith("/") else folder: source for source, folder in files}


def _lines_of(dockerfile: str, target: str, arguments: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The lines that ``target`` is made of, from the first stage below it; each as instruction and value."""
    code = re.sub(r"^\s*#.*\n", "", dockerfile, flags=re.MULTILINE).replace("\\\n", " ")
    lines = [(name, value.strip()) for name, _, value in (line.partition(" ") for line in code.splitlines() if line)]
    stages: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    for name, value in lines:
        if name == "FROM":
            below, _, stage = value.split()
            stages[stage] = (Template(below).safe_substitute(arguments), [])
        if stages:
            list(stages.values())[-1][1].append((name, value))
    below, own = stages[target]
    if below in stages:
        yield from _lines_of(dockerfile, below, arguments)
    yield from own
