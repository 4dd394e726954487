"""``gpuenv conda-env`` and ``gpuenv venv-env``: make an environment of this machine, and print where it is."""

from __future__ import annotations

import argparse
import shlex

from gpuenv.core import ui
from gpuenv.prefix import choice as prefix_choice

#: How each is used without the command, by the name of its verb.
_BY_HAND = {"conda-env": "conda activate {}", "venv-env": ". {}/bin/activate"}


def run(args: argparse.Namespace) -> int:
    """Make the environment that `gpu-shell` with the same settings would use."""
    kind = args.command.partition("-")[0]
    variant = prefix_choice.find_variant(args)
    made = prefix_choice.make(kind, prefix_choice.choose_flavor(args, kind, variant), args, variant)
    folder = shlex.quote(str(made.folder))
    named = f" PREFIX={folder}" if args.prefix else ""
    ui.say(
        f"to use it: make gpu-shell ENGINE={kind} VARIANT={variant.name} FLAVOR={made.flavor}{named}, "
        f"or {_BY_HAND[args.command].format(folder)}"
    )
    print(made.folder)
    return 0
