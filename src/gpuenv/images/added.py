"""A user's own packages in a layer on top of an image (`ADD=requirements.txt`), made once for the same content."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from contextlib import suppress

from gpuenv.core import locking, paths, scratch, ui
from gpuenv.core.errors import BuildError
from gpuenv.engine.model import Engine, RefusedError, inspect, is_own, labels_in
from gpuenv.images import build
from gpuenv.images.context import Built, lock_path
from gpuenv.net.requirements import Requirements
from gpuenv.variants import locks

#: Of the image with them: the name of the requirements file, and the id of the image below.
NAME_LABEL, BASE_LABEL = "gpuenv.added", "gpuenv.added_to"


def ensure_added(engine: Engine, base: Built, wanted: Requirements) -> Built:
    """Have the image with what is ``wanted`` on top of ``base``; with nothing to do this is one request.

    Raises BuildError where that would change what the lock holds, or pip fails; HostError, EngineError.
    """
    environment = base.environment
    pins = locks.linux_pins(locks.load_lock(environment.variant.lock_path(environment.flavor)))
    constraints = "".join(f"{pin.name}=={pin.version}\n" for pin in pins)
    folder = paths.docker_dir() / "added"
    recipe = {name: (folder / name).read_text(encoding="utf-8") for name in ("Dockerfile", "add.py")}
    content = [base.id, wanted.digest(), constraints, sorted(recipe.items())]
    key = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    labels = {"gpuenv.key": key, NAME_LABEL: wanted.name, BASE_LABEL: base.id}
    blank = dataclasses.replace(base, labels={**base.labels, **labels}, more=f"-added-{key[:12]}")
    found = _find(engine, blank)
    if found:
        return found
    # The lock of the image below: nobody replaces it meanwhile.
    with locking.held(lock_path(environment), f"another gpuenv builds {base.tag}; waiting for it"):
        found = _find(engine, blank)
        # The engine's cache goes by the files: secrets do not count there, but in the key.
        return found or _build(engine, base, blank, wanted, {**recipe, "constraints.txt": constraints, "key": key})


def _find(engine: Engine, blank: Built) -> Built | None:
    details = inspect(engine, blank.tag)
    if details is None or labels_in(details).get("gpuenv.key") != blank.labels["gpuenv.key"]:
        return None
    return dataclasses.replace(blank, id=details["Id"])


def _build(engine: Engine, base: Built, blank: Built, wanted: Requirements, files: dict[str, str]) -> Built:
    if (inspect(engine, base.tag) or {}).get("Id") != base.id:
        raise BuildError(f"{wanted.name} was not added", f"another gpuenv replaced {base.tag} meanwhile", "try again")
    began = time.monotonic()
    ui.say(f"adding {wanted.name} to {base.tag}")
    with scratch.folder("add") as folder:
        context = folder / "context"
        context.mkdir()
        wanted.write(context)
        for name, text in files.items():
            (context / name).write_text(text, encoding="utf-8")
        labels = {name: value for name, value in blank.labels.items() if base.labels.get(name) != value}
        log_name, secrets = f"gpuenv-{base.environment.name}-added", {"variables": json.dumps(dict(wanted.variables))}
        job = build.Job(context, {"IMAGE": base.tag}, labels, log_name, secrets)
        failure = f"{wanted.name} could not be added to {base.environment.name}"
        image_id = build.run(engine, job, folder, failure)
    build.give_name(engine, blank.tag, image_id, blank.labels)
    _remove_useless(engine, base)
    seconds = time.monotonic() - began
    ui.say(f"built {blank.tag} in {seconds:.0f} s")
    return dataclasses.replace(blank, id=image_id, seconds=seconds)


def _remove_useless(engine: Engine, base: Built) -> None:
    """Remove what was added to an older image of that name: nobody finds it any more.

    What somebody built on that inherits the labels, and bears a name of theirs.
    """
    names = ("gpuenv.variant", "gpuenv.flavor", "gpuenv.cuda")
    for image in engine.listed("images", NAME_LABEL, *(f"{name}={base.labels[name]}" for name in names)):
        if image["Labels"].get(BASE_LABEL) != base.id:
            with suppress(RefusedError):  # a container uses it
                for tag in filter(is_own, image["RepoTags"] or ()):
                    engine.call("DELETE", f"/images/{tag}")
