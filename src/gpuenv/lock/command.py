"""``make lock``: resolve the locks of the variants, and the command's own, from what people wrote.

``CHECK=1`` needs no network: a lock is current when nobody edited it, when it was made from the inputs that stand
there now, and when its pins fulfill them. Only ``UPGRADE=1`` asks whether the index has something newer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from packaging.utils import canonicalize_name

from gpuenv.conda import lock as conda_lock
from gpuenv.conda import spec as conda_spec
from gpuenv.core import atomic, ui
from gpuenv.core.errors import DataError, suggest_known
from gpuenv.core.settings import Settings
from gpuenv.lock import conda, tool
from gpuenv.lock.resolve import resolve, resolve_suite, unsatisfied
from gpuenv.variants import model as variants
from gpuenv.variants.environment import Environment
from gpuenv.variants.kinds import FLAVORS
from gpuenv.variants.locks import Pin, drifted, load_lock, read_checked, render_lock, sha256_hex
from gpuenv.variants.model import Variant


@dataclass(frozen=True)
class LockSet:
    """Locks that are made together: a check that raises DataError on drift, and what renders them anew."""

    name: str
    paths: tuple[Path, ...]
    check: Callable[[], None]
    render: Callable[[bool], dict[Path, str]]


def run(settings: Settings) -> int:
    """Write the locks that changed, or with ``--check`` say whether any would."""
    chosen = select_locks(settings.variant)
    if settings.check:
        for locks in chosen:
            locks.check()
            ui.say(f"{locks.name}: {len(locks.paths)} locks are current")
        return 0
    for locks in chosen:
        update(locks, upgrade=settings.upgrade)
    return 0


def select_locks(name: str | None) -> list[LockSet]:
    """Every set of locks, or the one called ``name``. Raises UsageError, which lists the known ones."""
    known = [*variants.list_names(), tool.TOOL]
    if name is not None and name not in known:
        raise suggest_known("variant", name, known)
    names = known if name is None else [name]
    tools = LockSet(tool.TOOL, tool.lock_paths(), tool.check, tool.render)
    return [tools if each == tool.TOOL else variant_locks(variants.find_variant(each)) for each in names]


def update(locks: LockSet, *, upgrade: bool) -> None:
    """Write those of a set that changed. Raises DataError for one that was edited by hand."""
    existing = [path for path in locks.paths if path.exists()]
    for path in existing:
        # An edited lock is somebody's intention; it is refused here, before anything is resolved.
        read_checked(path)
    ui.say(f"{locks.name}: resolving {len(locks.paths)} locks")
    texts = locks.render(upgrade)
    for path, text in texts.items():
        is_same = path in existing and path.read_text(encoding="utf-8") == text
        if not is_same:
            atomic.write_text(path, text)
        ui.say(f"{path}: {'unchanged' if is_same else 'written'}")


def variant_locks(variant: Variant) -> LockSet:
    """The locks of both flavors of a variant, and the conda environments made from them."""
    suite = [variant.upstream_lock_path] if variant.upstream else []
    return LockSet(
        name=variant.name,
        paths=(*map(variant.lock_path, FLAVORS), *suite, *_conda_paths(variant)),
        check=partial(_check_variant, variant),
        render=partial(_render_variant, variant),
    )


def _conda_paths(variant: Variant) -> tuple[Path, ...]:
    files = tuple(map(conda_spec.path, conda_spec.environments(variant)))
    return (*files, conda_lock.path_of(variant)) if files else ()


def read_requirements(environment: Environment) -> tuple[str, ...]:
    """The framework of variant.toml, then the lines of requirements.in. Raises DataError if that cannot be read."""
    file = environment.variant.intent_path
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} is not usable", str(error), "restore it from version control") from error
    lines = (line.split(" #")[0].strip() for line in text.splitlines())
    written = (line for line in lines if line and not line.startswith("#"))
    return (environment.framework, f"keras=={environment.variant.keras}", *written)


def inputs_digest(environment: Environment) -> str:
    """The sha256 (hex) of everything that decides what is resolved: Python, framework, requirements.in."""
    return sha256_hex("\n".join([f"python {environment.variant.python}", *read_requirements(environment)]))


def _suite_requirements(variant: Variant) -> tuple[str, ...]:
    return (f"keras=={variant.keras}", *(variant.upstream.needs if variant.upstream else ()))


def _suite_digest(variant: Variant) -> str:
    """The sha256 (hex) of what decides the lock of the tests: Python, Keras, what they need. No wheel changes it."""
    return sha256_hex("\n".join([f"python {variant.python}", *_suite_requirements(variant)]))


def _check_variant(variant: Variant) -> None:
    for flavor in FLAVORS:
        environment, lock = Environment(variant, flavor), load_lock(variant.lock_path(flavor))
        if lock.inputs_digest != inputs_digest(environment):
            raise drifted(lock.path, "variant.toml or requirements.in changed after it was made", variant.name)
        if missing := unsatisfied(read_requirements(environment), lock.pins):
            raise drifted(lock.path, f"it does not fulfill {', '.join(missing)}", variant.name)
        if unproved := [pin.name for pin in lock.pins if not pin.is_proved_for_windows]:
            why = f"nothing says that {', '.join(unproved)} can be installed on Windows without a compiler"
            raise drifted(lock.path, why, variant.name)
    conda_spec.check(variant)
    conda_lock.check(variant)
    if variant.upstream:
        suite = load_lock(variant.upstream_lock_path)
        if suite.inputs_digest != _suite_digest(variant):
            raise drifted(suite.path, "variant.toml changed after it was made", variant.name)


def _render_variant(variant: Variant, upgrade: bool) -> dict[Path, str]:
    # The second flavor follows the first, so that they differ in nothing but the framework's distribution.
    texts: dict[Path, str] = {}
    present = [load_lock(path) for path in map(variant.lock_path, FLAVORS) if path.exists() and not upgrade]
    preferred = {pin.name: pin.version for lock in reversed(present) for pin in lock.pins}
    for environment in (Environment(variant, flavor) for flavor in FLAVORS):
        pins = resolve(read_requirements(environment), variant.python, preferred)
        _refuse_both_frameworks(environment, pins)
        texts[variant.lock_path(environment.flavor)] = render_lock(variant.name, pins, inputs_digest(environment))
        preferred = {pin.name: pin.version for pin in pins}
    if variant.upstream:
        path = variant.upstream_lock_path
        kept = load_lock(path).pins if path.exists() and not upgrade else ()
        suite = {pin.name: pin.version for pin in kept}
        source, *needs = _suite_requirements(variant)
        texts[path] = render_lock(
            variant.name, resolve_suite(source, needs, variant.python, pins, suite), _suite_digest(variant)
        )
    for environment in conda_spec.environments(variant):
        text = texts[variant.lock_path(environment.flavor)]
        texts[conda_spec.path(environment)] = conda_spec.render(environment, text)
    if variant.conda:
        texts[conda_lock.path_of(variant)] = conda.render(variant, upgrade=upgrade)
    return texts


def _refuse_both_frameworks(environment: Environment, pins: tuple[Pin, ...]) -> None:
    """Both distributions hold the same package; a requirement that pulls in the other one would overwrite it."""
    other = environment.variant.tensorflow.distribution("cpu" if environment.flavor == "gpu" else "gpu")
    if canonicalize_name(other) in {pin.name for pin in pins}:
        raise DataError(
            f"the {environment.flavor} lock of {environment.variant.name} would hold {other} too",
            "a requirement asks for it, and two distributions of TensorFlow overwrite each other",
            f"leave out of {environment.variant.intent_path} what asks for {other}",
        )
