"""``gpuenv images``: build what this machine can, and say of the rest why not."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from gpuenv.core import ui
from gpuenv.core.errors import EngineError, GpuenvError
from gpuenv.core.settings import Settings
from gpuenv.cuda import choice as cuda_choice
from gpuenv.engine.find import find_engine
from gpuenv.engine.model import Engine, inspect
from gpuenv.host.processor import check_host
from gpuenv.images import image
from gpuenv.variants import model as variants
from gpuenv.variants.environment import Environment
from gpuenv.variants.kinds import FLAVORS


@dataclass(frozen=True)
class Planned:
    """One image; ``reason_not`` says why it cannot be built here, None if it can."""

    environment: Environment
    reason_not: str | None = None


def run(settings: Settings) -> int:
    """Build, one after the other, and print a table; not 0 if one that should be there is missing.

    One at a time: a builder works on the stages of one image in parallel already, and two builds at once would
    only fetch at the same time what the second could find fetched.
    """
    check_host()
    if settings.variant:
        # A wrong name is told before an engine is started for it.
        variants.find_variant(settings.variant)
    engine = find_engine(settings.engine)
    if engine is None:
        raise EngineError("images need a container engine", "none is used", "run `make engine`, or `make gpu-shell`")
    from rich.table import Table

    table, failures = Table("image", "state", "size", "time", "why"), 0
    for planned in plan(settings, engine):
        row, is_failure = _try(engine, planned, settings)
        table.add_row(planned.environment.tag, *row)
        failures += is_failure
    ui.console().print(table, markup=False)
    return 1 if failures else 0


def plan(settings: Settings, engine: Engine) -> list[Planned]:
    """The images that ``settings`` ask for (all of them if nothing else is said), in the order of building.

    Raises UsageError for an unknown variant, DataError for an unusable lock.
    """
    chosen = [variants.find_variant(settings.variant)] if settings.variant else variants.load_all()
    # cpu first: the small one shows within minutes whether the network is right.
    flavors = (settings.flavor,) if settings.flavor else tuple(reversed(FLAVORS))
    find = partial(image.find_made, engine, settings)
    return [Planned(*cuda_choice.plan(settings, variant, flavor, find)) for variant in chosen for flavor in flavors]


def _try(engine: Engine, planned: Planned, settings: Settings) -> tuple[tuple[str, str, str, str], bool]:
    """Build one: its row (state, size, time, why), and whether it failed.

    An image that cannot be built is a failure only if its flavor was asked for.
    """
    if planned.reason_not is not None:
        return ("not built", "", "", planned.reason_not), settings.flavor is not None
    try:
        built = image.ensure_image(engine, planned.environment, settings)
    except EngineError:
        # Without an engine the next one fails as well.
        raise
    except GpuenvError as error:
        ui.say(f"error: {error}")
        return ("failed", "", "", error.why.splitlines()[0]), True
    size_bytes = (inspect(engine, built.id) or {}).get("Size", 0)
    size = f"{size_bytes / 1e9:.2f} GB" if size_bytes else ""
    return ("present", size, "", "") if built.seconds is None else ("built", size, f"{built.seconds:.0f} s", ""), False
