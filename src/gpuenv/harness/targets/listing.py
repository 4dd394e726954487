"""Which targets a run of the harness has: images through an engine, or environments of this machine."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from gpuenv.core import ui
from gpuenv.core.errors import GpuenvError, UsageError
from gpuenv.core.settings import Settings
from gpuenv.engine.model import Engine
from gpuenv.harness.targets.model import Target
from gpuenv.host.gpu import HostGpus, default_flavor
from gpuenv.images import command as images
from gpuenv.images import image
from gpuenv.images.command import Planned
from gpuenv.prefix import choice as prefix_choice
from gpuenv.variants import model as variants
from gpuenv.variants.environment import name_of
from gpuenv.variants.kinds import FLAVORS, TITLES
from gpuenv.variants.model import Variant

#: Value of FLAVOR with which both flavors are tested.
ALL = "all"


def list_images(settings: Settings, engine: Engine, host: HostGpus) -> tuple[Target, ...]:
    """Every image asked for, by default in this machine's flavor, built if it can be; what cannot be says why."""
    flavor = None if settings.flavor == ALL else settings.flavor or default_flavor(host)
    wanted = dataclasses.replace(settings, flavor=flavor)
    return tuple(_make_image(settings, engine, planned) for planned in images.plan(wanted, engine))


def describe_left_out(found: Sequence[Target], host: HostGpus) -> str:
    """Return which flavor none of this machine's targets has, and how to have it tested; "" if there is none."""
    here = {target.flavor for target in found if target.kind != "host"}
    left_out = [flavor for flavor in FLAVORS if here and flavor not in here]
    why = "this machine has no NVIDIA driver; " if "gpu" in left_out and host.driver is None else ""
    return f"flavor {left_out[0]} ({why}FLAVOR={ALL} tests both)" if left_out else ""


def _make_image(settings: Settings, engine: Engine, planned: Planned) -> Target:
    environment = planned.environment
    blank = Target(environment.name, "image", environment.variant.name, environment.flavor, environment.cuda_label)
    if settings.add:
        blank = dataclasses.replace(blank, identity=f"{environment.name}-added", added=settings.add.name)
    if planned.reason_not is not None:
        # Asked for by its flavor, it has to be there; as one of all that can be built, it need not.
        return blank.lacking(planned.reason_not, is_required=settings.flavor not in (None, ALL))
    try:
        built = image.ensure_image(engine, environment, settings)
    except GpuenvError as error:
        ui.say(f"{blank.title}: {error}")
        return blank.lacking(f"{error.what}: {error.why}")
    return dataclasses.replace(blank, image=built.id)


def list_prefixes(settings: Settings) -> tuple[Target, ...]:
    """An environment of this machine for each variant asked for, in its flavor or both. Raises UsageError."""
    flavors = FLAVORS if settings.flavor == ALL else (settings.flavor,)
    is_one = settings.variant is not None or prefix_choice.find_mark(settings) is not None
    chosen = [prefix_choice.find_variant(settings)] if is_one else variants.load_all()
    wanted = [(dataclasses.replace(settings, flavor=flavor), variant) for variant in chosen for flavor in flavors]
    if settings.prefix and len(wanted) > 1:
        why = f"{len(wanted)} environments are asked for"
        raise UsageError("PREFIX= names one folder", why, "add VARIANT=, and FLAVOR=gpu or FLAVOR=cpu")
    return tuple(itertools.starmap(_make_prefix, wanted))


def _make_prefix(settings: Settings, variant: Variant) -> Target:
    kind = settings.target if settings.target in TITLES else prefix_choice.choose_kind(settings, variant)
    environment = prefix_choice.choose_environment(settings, kind, variant)
    flavor = environment.flavor
    blank = Target(prefix_identity(variant.name, flavor, kind, "none"), kind, variant.name, flavor)
    try:
        made = prefix_choice.make(kind, environment, settings)
    except GpuenvError as error:
        ui.say(f"{blank.title}: {error}")
        return blank.lacking(f"{error.what}: {error.why}")
    identity = prefix_identity(variant.name, flavor, kind, made.cuda)
    return dataclasses.replace(blank, identity=identity, cuda=made.cuda, prefix=str(made.folder))


def prefix_identity(variant: str, flavor: str, kind: str, cuda: str) -> str:
    """The target's part of a check's id, such as ``"cuda10.0-venv"`` (cpu) or ``"cuda10.0-gpu-conda"``."""
    name = variant if flavor == "cpu" else name_of(variant, flavor, cuda)
    return f"{name}-{kind}"
