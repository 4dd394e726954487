"""The builds that `make bench` compares: cold with warm download caches, and after one leaf pin changed."""

from __future__ import annotations

import dataclasses
import re
import shutil
from contextlib import suppress
from pathlib import Path

from gpuenv.core import scratch, ui
from gpuenv.core.settings import Settings
from gpuenv.engine.model import Engine, RefusedError
from gpuenv.images import image
from gpuenv.lock import command as lock
from gpuenv.variants import locks
from gpuenv.variants import model as variants
from gpuenv.variants.environment import Environment
from gpuenv.variants.model import Variant

#: A package on which nothing depends; `make bench` asks for a release before the locked one.
LEAF = "tqdm"


class ColdEngine(Engine):
    """The same engine, whose builds repeat every step. Caches of downloads stay: they are no steps."""

    def build_prefix(self) -> tuple[list[str], dict[str, str]]:
        """The client of the engine, told to take no step from its cache."""
        prefix, environment = super().build_prefix()
        return [*prefix, "--no-cache"], environment


def cold_and_rebuilt(engine: Engine, environment: Environment, settings: Settings) -> tuple[float, float]:
    """Seconds of both builds, of a copy of the variant under a name of its own; its images are removed again."""
    cold_engine = ColdEngine(**{field.name: getattr(engine, field.name) for field in dataclasses.fields(engine)})
    tags = set()
    with scratch.folder("bench") as folder:
        copy = _copy(environment.variant, folder)
        try:
            seconds = []
            for builder in (cold_engine, engine):
                chosen = dataclasses.replace(environment, variant=copy)
                tags.add(chosen.tag)
                built = image.ensure_image(builder, chosen, settings)
                seconds.append(built.seconds or 0.0)
                if builder is cold_engine:
                    change_leaf(copy, environment.flavor)
        finally:
            for tag in tags:
                with suppress(RefusedError):
                    engine.call("DELETE", f"/images/{tag}", query={"force": 1})
    return seconds[0], seconds[1]


def _copy(variant: Variant, folder: Path) -> Variant:
    target = folder / f"bench-{variant.name}"
    shutil.copytree(variant.folder, target)
    path = target / "variant.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r'(?m)^name = ".*"', f'name = "{target.name}"', text, count=1), encoding="utf-8")
    return variants.load_variant(target)


def change_leaf(variant: Variant, flavor: str) -> None:
    """Lock an older release of one package, with the real resolver."""
    locked = next(pin.version for pin in locks.load_lock(variant.lock_path(flavor)).pins if pin.name == LEAF)
    text = variant.intent_path.read_text(encoding="utf-8")
    changed = re.sub(rf"(?m)^{LEAF}\b.*$", f"{LEAF}<{locked}", text, count=1)
    variant.intent_path.write_text(changed, encoding="utf-8")
    ui.say(f"locking {LEAF}<{locked} in a copy of the variant")
    lock.update(lock.variant_locks(variant), upgrade=False)
