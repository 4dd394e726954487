"""``make bench``: this command beside the engine alone, in one run on one machine, against stated limits.

Every row is a ratio of two things measured here, or a time; no test depends on any of them.
"""

from __future__ import annotations

import dataclasses
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpuenv.core import paths, scratch, ui
from gpuenv.core.errors import CheckError, EngineError, GpuenvError, HostError
from gpuenv.core.settings import Settings
from gpuenv.cuda import archives
from gpuenv.cuda.files import cached_path
from gpuenv.engine.find import find_engine
from gpuenv.engine.model import Engine
from gpuenv.harness.targets.model import Target
from gpuenv.images import command as images
from gpuenv.images import image
from gpuenv.images.context import Built
from gpuenv.prefix import choice as prefix_choice
from gpuenv.variants.cuda_lock import load_cuda_lock, of_index
from gpuenv.variants.environment import Environment
from gpuenv.variants.model import Variant
from gpuenv_dev import builds as bench_builds
from gpuenv_dev import harness as bench_harness
from gpuenv_dev import programs as bench_programs

#: Runs of each of the two sides of a comparison, taken in turns so that both meet the same load.
ROUNDS = 9


#: What a measurement gives: a ratio or seconds, and what that was made of.
Measured = tuple[float, str]


@dataclass
class Row:
    """One measurement. ``value`` is in ``unit`` and should not exceed ``limit``; None as long as there is none."""

    name: str
    limit: float
    unit: str
    measure: Callable[[], Measured]
    value: float | None = None
    detail: str = "not measured"

    @property
    def is_within(self) -> bool:
        """Whether it was measured, and the limit was kept."""
        return self.value is not None and self.value <= self.limit


def run(settings: Settings) -> int:
    """Measure one variant's image (cpu unless FLAVOR says otherwise); not 0 if a limit was missed, or a row is."""
    engine = find_engine(settings.engine)
    if engine is None:
        raise EngineError("there is nothing to measure against", "no container engine is used", "run `make engine`")
    settings = dataclasses.replace(settings, flavor=settings.flavor or "cpu")
    planned = images.plan(settings, engine)[0 if settings.variant else -1]
    if planned.reason_not is not None:
        raise EngineError(f"{planned.environment.tag} cannot be built here", planned.reason_not, "try FLAVOR=cpu")
    settings = dataclasses.replace(settings, variant=planned.environment.variant.name)
    built = image.ensure_image(engine, planned.environment, settings)
    rows = [
        Row("warm gpu-shell / engine's own run", 1.5, "times", lambda: warm_shell(engine, built)),
        Row("make images, nothing to do", 0.3, "s", lambda: nothing_to_do(built)),
        Row("image size / its parts", 1.1, "times", lambda: image_size(engine, built)),
        Row("unpacking CUDA's wheels / unzip", 1.2, "times", lambda: unpacking(planned.environment.variant)),
        Row("import tensorflow, container / host", 1.1, "times", lambda: import_time(engine, built)),
        Row(
            "rebuild after a leaf pin / cold build", 0.4, "times",
            lambda: leaf_rebuild(engine, planned.environment, settings),
        ),
        Row("harness / its training and import work", 1.5, "times", lambda: harness_alone(engine, settings)),
        Row("harness, two images at a time / one", 1.3, "times", lambda: harness_in_parallel(engine, settings)),
        Row("harness, eight ssh hosts / the work alone", 1.5, "times", lambda: harness_over_ssh(engine, settings)),
    ]  # fmt: skip
    try:
        measure(rows)
    finally:
        # Also when it is interrupted: a run takes many minutes.
        show(built, rows)
    return 0 if all(row.is_within for row in rows) else CheckError.exit_code


def measure(rows: Sequence[Row]) -> None:
    """Fill in the values; one that cannot be measured says why and keeps no other from being measured."""
    for row in rows:
        try:
            row.value, row.detail = row.measure()
        except GpuenvError as error:  # noqa: PERF203 - a measurement takes seconds to minutes
            row.detail = f"not measured: {error.what}"
            ui.warn(f"{row.name} cannot be measured: {error}")
        else:
            ui.say(f"{row.name}: {row.value:.2f} {row.unit}")


def warm_shell(engine: Engine, built: Built) -> Measured:
    """`make gpu-shell CMD=true` beside the engine's own `run --rm IMAGE true`, the whole commands."""
    words = [f"VARIANT={built.environment.variant.name}", f"FLAVOR={built.environment.flavor}", f"ENGINE={engine.kind}"]
    ours = ["make", "-s", "-C", str(paths.project_root()), "gpu-shell", "CMD=true", *words]
    (program, *_), environment = engine.build_prefix()
    theirs = [program, "run", "--rm", built.tag, "true"]
    first, second = in_turns(lambda: timed(ours), lambda: timed(theirs, environment))
    return first / second, f"{first:.3f} s / {second:.3f} s, medians"


def nothing_to_do(built: Built) -> Measured:
    """`make images` when the image is current."""
    words = [f"VARIANT={built.environment.variant.name}", f"FLAVOR={built.environment.flavor}"]
    ours = ["make", "-s", "-C", str(paths.project_root()), "images", *words]
    return statistics.median(timed(ours) for _ in range(ROUNDS)), f"median of {ROUNDS}"


def image_size(engine: Engine, built: Built) -> Measured:
    """The image beside what it has to hold: base, installed files of the locked packages, CUDA libraries."""
    sizes = bench_programs.sizes(engine, built)
    parts = {name: size for name, size in sizes.items() if name != "image"}
    detail = " + ".join(f"{name} {size / 1e6:.0f}" for name, size in parts.items())
    return sizes["image"] / sum(parts.values()), f"MB: {detail}"


def unpacking(variant: Variant) -> Measured:
    """CUDA's libraries out of the cached wheels beside `unzip` of the same members."""
    parts = [(part, cached_path(part.sources[0])) for part in of_index(load_cuda_lock(variant.cuda_lock_path)).parts]
    if missing := [path.name for _, path in parts if not path.is_file()]:
        raise HostError(f"{missing[0]} is not in the cache", "it was not fetched", "make images CUDA=index")
    if shutil.which("unzip") is None:
        raise HostError("there is no unzip to compare with", "it is not on PATH", "install unzip")

    def ours(folder: Path) -> None:
        for part, path in parts:
            with path.open("rb") as stream:
                archives.unpack("zip", stream, path.name, folder, part.sonames)

    def theirs(folder: Path) -> None:
        for part, path in parts:
            members = (f"*/{soname}" for soname in part.sonames)
            bench_programs.output(["unzip", "-q", str(path), *members, "-d", str(folder)], None)

    first, second = in_turns(lambda: _in_new_folder(ours), lambda: _in_new_folder(theirs), rounds=3)
    return first / second, f"{first:.1f} s / {second:.1f} s, medians of 3"


def _in_new_folder(fill: Callable[[Path], object]) -> float:
    """Seconds to fill a folder of the cache's disk, without its removal."""
    with scratch.folder("bench") as folder:
        began = time.perf_counter()
        fill(folder)
        return time.perf_counter() - began


def import_time(engine: Engine, built: Built) -> Measured:
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
    return inside / outside, f"{inside:.2f} s / {outside:.2f} s, medians"


def leaf_rebuild(engine: Engine, environment: Environment, settings: Settings) -> Measured:
    """A rebuild after one leaf pin changed beside a cold build with warm download caches."""
    cold, rebuilt = bench_builds.cold_and_rebuilt(engine, environment, settings)
    return rebuilt / cold, f"{rebuilt:.0f} s / {cold:.0f} s"


def harness_alone(engine: Engine, settings: Settings) -> Measured:
    """All checks on one cached image beside its own training and import work."""
    whole, work = bench_harness.alone(engine, _own_target(engine, settings))
    return whole / work, f"{whole:.1f} s / {work:.1f} s"


def harness_in_parallel(engine: Engine, settings: Settings) -> Measured:
    """Two images at a time beside the slower of them alone."""
    both, slower = bench_harness.in_parallel(engine, bench_harness.image_targets(engine, settings)[:2])
    return both / slower, f"{both:.1f} s / {slower:.1f} s"


def harness_over_ssh(engine: Engine, settings: Settings) -> Measured:
    """Eight hosts over ssh beside what two cores need for the work alone."""
    whole, work = bench_harness.over_ssh(engine, _own_target(engine, settings))
    return whole / work, f"{whole:.0f} s / {work:.0f} s"


def _own_target(engine: Engine, settings: Settings) -> Target:
    found = bench_harness.image_targets(engine, settings)
    return next(target for target in found if target.variant == settings.variant)


def in_turns(first: Callable[[], float], second: Callable[[], float], rounds: int = ROUNDS) -> tuple[float, float]:
    """The medians of both, measured in turns after one run each that does not count."""
    first(), second()
    pairs = [(first(), second()) for _ in range(rounds)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def timed(argv: Sequence[str], environment: dict[str, str] | None = None) -> float:
    """Seconds that a command takes. Raises CheckError if it fails."""
    began = time.perf_counter()
    bench_programs.output(argv, environment)
    return time.perf_counter() - began


def show(built: Built, rows: Sequence[Row]) -> None:
    """Print the table on standard output: it is what was asked for. Rows without a value say why."""
    from rich.console import Console
    from rich.table import Table

    cuda = built.labels.get("gpuenv.cuda", "none")
    title = f"{built.tag} (CUDA: {cuda}; base: {built.labels['gpuenv.base']}; Python {sys.version.split()[0]})"
    table = Table("measured", "value", "limit", "kept", "detail", title=title)
    for row in rows:
        value = "-" if row.value is None else f"{row.value:.2f} {row.unit}"
        table.add_row(row.name, value, f"{row.limit:g} {row.unit}", "yes" if row.is_within else "NO", row.detail)
    Console(highlight=False).print(table)
