"""``make bench``: this command beside the engine alone, in one run on one machine, against stated limits.

Every row is a ratio of two things measured here, or a time; no test depends on any of them.
"""

from __future__ import annotations

import dataclasses
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gpuenv.core import paths, ui
from gpuenv.core.errors import CheckError, EngineError, HostError
from gpuenv.core.settings import Settings
from gpuenv.engine.find import find_engine
from gpuenv.engine.model import Engine
from gpuenv.harness.targets.model import Target
from gpuenv.images import command as images
from gpuenv.images import image
from gpuenv.images.image import Built
from gpuenv.prefix import choice as prefix_choice
from gpuenv.variants.environment import Environment
from gpuenv_dev import builds as bench_builds
from gpuenv_dev import harness as bench_harness
from gpuenv_dev import programs as bench_programs

#: Runs of each of the two sides of a comparison, taken in turns so that both meet the same load.
ROUNDS = 9


@dataclass(frozen=True)
class Row:
    """One measurement. ``value`` is a ratio or seconds, as ``unit`` says; it should not exceed ``limit``."""

    name: str
    value: float
    limit: float
    unit: str
    detail: str

    @property
    def is_within(self) -> bool:
        """Whether the limit was kept."""
        return self.value <= self.limit


def run(settings: Settings) -> int:
    """Measure one variant's image (cpu unless FLAVOR says otherwise); 1 if a limit was missed."""
    engine = find_engine(settings.engine)
    if engine is None:
        raise EngineError("there is nothing to measure against", "no container engine is used", "run `make engine`")
    settings = dataclasses.replace(settings, flavor=settings.flavor or "cpu")
    planned = images.plan(settings, engine)[0 if settings.variant else -1]
    if planned.reason_not is not None:
        raise EngineError(f"{planned.environment.tag} cannot be built here", planned.reason_not, "try FLAVOR=cpu")
    settings = dataclasses.replace(settings, variant=planned.environment.variant.name)
    built = image.ensure_image(engine, planned.environment, settings)
    rows: list[Row] = []
    measures: tuple[Callable[[], Row], ...] = (
        lambda: warm_shell(engine, built),
        lambda: nothing_to_do(built),
        lambda: image_size(engine, built),
        lambda: import_time(engine, built),
        lambda: leaf_rebuild(engine, planned.environment, settings),
        lambda: harness_alone(engine, settings),
        lambda: harness_in_parallel(engine, settings),
        lambda: harness_over_ssh(engine, settings),
    )
    for measure in measures:
        rows.append(measure())
        ui.say(f"{rows[-1].name}: {rows[-1].value:.2f} {rows[-1].unit}")
    show(built, rows)
    return 0 if all(row.is_within for row in rows) else CheckError.exit_code


def warm_shell(engine: Engine, built: Built) -> Row:
    """`make gpu-shell CMD=true` beside the engine's own `run --rm IMAGE true`, the whole commands."""
    words = [f"VARIANT={built.environment.variant.name}", f"FLAVOR={built.environment.flavor}", f"ENGINE={engine.kind}"]
    ours = ["make", "-s", "-C", str(paths.project_root()), "gpu-shell", "CMD=true", *words]
    (program, *_), environment = engine.build_prefix()
    theirs = [program, "run", "--rm", built.tag, "true"]
    first, second = in_turns(lambda: timed(ours), lambda: timed(theirs, environment))
    return Row(
        "warm gpu-shell / engine's own run", first / second, 1.5, "times", f"{first:.3f} s / {second:.3f} s, medians"
    )


def nothing_to_do(built: Built) -> Row:
    """`make images` when the image is current."""
    words = [f"VARIANT={built.environment.variant.name}", f"FLAVOR={built.environment.flavor}"]
    ours = ["make", "-s", "-C", str(paths.project_root()), "images", *words]
    value = statistics.median(timed(ours) for _ in range(ROUNDS))
    return Row("make images, nothing to do", value, 1.0, "s", f"median of {ROUNDS}")


def image_size(engine: Engine, built: Built) -> Row:
    """The image beside what it has to hold: base, installed files of the locked packages, CUDA libraries."""
    sizes = bench_programs.sizes(engine, built)
    parts = {name: size for name, size in sizes.items() if name != "image"}
    detail = " + ".join(f"{name} {size / 1e6:.0f}" for name, size in parts.items())
    return Row("image size / its parts", sizes["image"] / sum(parts.values()), 1.10, "times", f"MB: {detail}")


def import_time(engine: Engine, built: Built) -> Row:
    """`import tensorflow` in the container beside the same lock in a virtual environment on this machine."""
    try:
        venv = prefix_choice.make("venv", Environment(built.environment.variant, "cpu"), Settings()).folder
    except HostError as error:
        raise HostError("the import cannot be compared", error.what, error.next_step) from error
    with bench_programs.started(engine, built) as container:
        inside, outside = in_turns(
            lambda: bench_programs.import_seconds([*container, "python"]),
            lambda: bench_programs.import_seconds([str(venv / "bin" / "python")]),
        )
    detail = f"{inside:.2f} s / {outside:.2f} s, medians"
    return Row("import tensorflow, container / host", inside / outside, 1.1, "times", detail)


def leaf_rebuild(engine: Engine, environment: Environment, settings: Settings) -> Row:
    """A rebuild after one leaf pin changed beside a cold build with warm download caches."""
    cold, rebuilt = bench_builds.cold_and_rebuilt(engine, environment, settings)
    return Row("rebuild after a leaf pin / cold build", rebuilt / cold, 0.4, "times", f"{rebuilt:.0f} s / {cold:.0f} s")


def harness_alone(engine: Engine, settings: Settings) -> Row:
    """All checks on one cached image beside its own training and import work."""
    target = _own_target(engine, settings)
    whole, work = bench_harness.alone(engine, target)
    return Row("harness / its training and import work", whole / work, 1.5, "times", f"{whole:.1f} s / {work:.1f} s")


def harness_in_parallel(engine: Engine, settings: Settings) -> Row:
    """Two images at a time beside the slower of them alone."""
    both, slower = bench_harness.in_parallel(engine, bench_harness.image_targets(engine, settings)[:2])
    return Row("harness, two images at a time / one", both / slower, 1.3, "times", f"{both:.1f} s / {slower:.1f} s")


def harness_over_ssh(engine: Engine, settings: Settings) -> Row:
    """Eight hosts over ssh beside what two cores need for the work alone."""
    whole, work = bench_harness.over_ssh(engine, _own_target(engine, settings))
    detail = f"{whole:.0f} s / {work:.0f} s"
    return Row("harness, eight ssh hosts / the work alone", whole / work, 1.5, "times", detail)


def _own_target(engine: Engine, settings: Settings) -> Target:
    found = bench_harness.image_targets(engine, settings)
    return next(target for target in found if target.variant == settings.variant)


def in_turns(first: Callable[[], float], second: Callable[[], float]) -> tuple[float, float]:
    """The medians of both, measured in turns after one run each that does not count."""
    first(), second()
    pairs = [(first(), second()) for _ in range(ROUNDS)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def timed(argv: Sequence[str], environment: dict[str, str] | None = None) -> float:
    """Seconds that a command takes. Raises CheckError if it fails."""
    began = time.perf_counter()
    done = subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        raise CheckError(f"`{' '.join(argv)}` failed", done.stderr.strip()[-500:], "run it by hand")
    return seconds


def show(built: Built, rows: Sequence[Row]) -> None:
    """Print the table on standard output: it is what was asked for."""
    from rich.console import Console
    from rich.table import Table

    cuda = built.labels.get("gpuenv.cuda", "none")
    title = f"{built.tag} (CUDA: {cuda}; base: {built.labels['gpuenv.base']}; Python {sys.version.split()[0]})"
    table = Table("measured", "value", "limit", "kept", "detail", title=title)
    for row in rows:
        limit = f"{row.limit:g} {row.unit}"
        table.add_row(row.name, f"{row.value:.2f} {row.unit}", limit, "yes" if row.is_within else "NO", row.detail)
    Console(highlight=False).print(table)
