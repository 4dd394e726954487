"""``gpuenv conda-env`` and ``gpuenv venv-env``: make an environment of this machine, and print where it is."""

from __future__ import annotations

import shlex

from gpuenv.core import ui
from gpuenv.core.settings import Settings
from gpuenv.prefix import choice

#: How each is used without the command, by the name of its verb.
_BY_HAND = {"conda-env": "conda activate {}", "venv-env": ". {}/bin/activate"}


def run(settings: Settings) -> int:
    """Make the environment that `gpu-shell` with the same settings would use."""
    kind = settings.verb.partition("-")[0]
    variant = choice.find_variant(settings)
    made = choice.make(kind, choice.choose_environment(settings, kind, variant), settings)
    folder = shlex.quote(str(made.folder))
    named = " CUDA=index" if made.cuda == "index" and settings.cuda else ""
    named += f" PREFIX={folder}" if settings.prefix else ""
    ui.say(
        f"to use it: make gpu-shell ENGINE={kind} VARIANT={variant.name} FLAVOR={made.flavor}{named}, "
        f"or {_BY_HAND[settings.verb].format(folder)}"
    )
    print(made.folder)
    return 0
