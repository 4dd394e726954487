"""Which targets a run of the harness has: images through an engine, or virtual environments."""

from __future__ import annotations

import argparse
import dataclasses

from gpuenv import images, ui, variants, venv_env
from gpuenv.engine import Engine
from gpuenv.errors import GpuenvError
from gpuenv.images import Planned
from gpuenv.target import Target
from gpuenv.variants import Variant


def list_images(args: argparse.Namespace, engine: Engine) -> tuple[Target, ...]:
    """Every image that was asked for, built if it can be; what cannot be built says why."""
    return tuple(_make_image(args, engine, planned) for planned in images.plan(args, engine))


def _make_image(args: argparse.Namespace, engine: Engine, planned: Planned) -> Target:
    name, flavor = planned.variant.name, planned.flavor
    cuda = planned.cuda_lock.label if flavor == "gpu" else "none"
    blank = Target(image_identity(name, flavor, cuda), "image", name, flavor, cuda)
    if planned.reason_not is not None:
        # Asked for by its flavor, it has to be there; as one of all that can be built, it need not.
        return lacking(blank, planned.reason_not, is_required=args.flavor is not None)
    try:
        built = images.ensure(engine, planned, args)
    except GpuenvError as error:
        ui.say(f"{blank.title}: {error}")
        return lacking(blank, f"{error.what}: {error.why}", is_required=True)
    return dataclasses.replace(blank, image=built.id)


def image_identity(variant: str, flavor: str, cuda: str) -> str:
    """The target's part of a check's id, such as ``"cuda10.0-gpu-simulated"``."""
    return f"{variant}-{flavor}" + ("-simulated" if cuda == "simulated" else "")


def lacking(target: Target, reason: str, *, is_required: bool) -> Target:
    """``target`` as one that could not be made."""
    return dataclasses.replace(target, missing=reason, is_required=is_required)


def list_venvs(args: argparse.Namespace) -> tuple[Target, ...]:
    """A virtual environment for each variant that was asked for (they exist in the cpu flavor only)."""
    chosen = [variants.find_variant(args.variant)] if args.variant else variants.load_all()
    if args.flavor in (None, "cpu"):
        return tuple(_make_venv(variant) for variant in chosen)
    variants.check_flavor(args.flavor)
    reason = "a virtual environment has no gpu flavor"
    blanks = (Target(f"{variant.name}-gpu-venv", "venv", variant.name, "gpu") for variant in chosen)
    return tuple(lacking(blank, reason, is_required=True) for blank in blanks)


def _make_venv(variant: Variant) -> Target:
    blank = Target(f"{variant.name}-venv", "venv", variant.name, "cpu")
    try:
        folder = venv_env.ensure_venv(variant)
    except GpuenvError as error:
        ui.say(f"{blank.title}: {error}")
        return lacking(blank, f"{error.what}: {error.why}", is_required=True)
    return dataclasses.replace(blank, prefix=str(folder))
