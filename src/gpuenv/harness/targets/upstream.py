"""Keras' own tests: fetched once, by the target's own pip and against their lock, for a folder of the cache.

They are in Keras' source distribution alone, and pip asks a source for its metadata by running it: the pinned build
tools of the target can do that, those of this machine perhaps not.
"""

from __future__ import annotations

import os
import subprocess
from functools import partial
from pathlib import Path

from gpuenv.core import paths, scratch, signals
from gpuenv.core.errors import SourceError
from gpuenv.cuda.files import keep
from gpuenv.engine import container as containers
from gpuenv.engine.container import Mount
from gpuenv.engine.model import Engine
from gpuenv.harness.targets.connection import Connection, last_line
from gpuenv.harness.targets.container import host_of
from gpuenv.harness.targets.model import Target
from gpuenv.net import build_settings
from gpuenv.net.pip_settings import pip_environment
from gpuenv.variants import locks
from gpuenv.variants.model import Variant

#: Where a container finds them.
INSIDE = "/gpuenv-upstream"
_DOWNLOAD = ("-I", "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--no-build-isolation")


def fetch(target: Target, variant: Variant, engine: Engine | None) -> Path:
    """The folder with the archives of the tests and of what they need. Raises SourceError if pip cannot fetch them."""
    lock = locks.load_lock(variant.upstream_lock_path)
    folder = paths.cache_dir() / "upstream" / lock.digest[:12]
    return keep(folder, "fetching Keras' own tests", partial(_fill, target, engine, lock))


def _fill(target: Target, engine: Engine | None, lock: locks.Lock, folder: Path) -> None:
    with scratch.folder("upstream") as place:
        (place / "requirements.txt").write_text("".join(map(locks.render_pin, lock.pins)), encoding="utf-8")
        if target.kind == "image":
            assert engine is not None, "an image target needs an engine"  # noqa: S101 - the plan is our own file
            code, said = _in_container(target, engine, place, folder)
        else:
            argv = [target.python, *_DOWNLOAD, "--dest", str(folder), "-r", str(place / "requirements.txt")]
            done = signals.run(argv, env=pip_environment(os.environ), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            code, said = done.returncode, done.stdout.decode("utf-8", "replace")
    if code != 0:
        raise SourceError(
            "Keras' own tests could not be fetched",
            f"pip says: {next((line for line in said.splitlines() if line.startswith('ERROR')), last_line(said))}",
            "check the network, or name another index: PIP_INDEX_URL=https://...",
        )


def _in_container(target: Target, engine: Engine, place: Path, folder: Path) -> tuple[int, str]:
    """Run pip in a container of the image with the network that builds have; its exit code and what it said."""
    network = build_settings.load_network()
    secrets = build_settings.write_secrets(network, place / "secrets")
    inside = {"pip": "/etc/pip.conf", "ca": build_settings.CA_INSIDE}
    mounts = [Mount(str(path), inside[name], read_only=True) for name, path in secrets.items()]
    mounts += [
        Mount(str(place / "requirements.txt"), "/requirements.txt", read_only=True),
        Mount(str(folder), "/files"),
    ]
    proxies = {name: os.environ[name] for name in network.proxies}
    with containers.running(engine, image=target.image, mounts=tuple(mounts), environment=proxies) as name:
        connection = Connection(target, host_of(engine, name), "")
        done = connection.run(f"{target.python} {' '.join(_DOWNLOAD)} --dest /files -r /requirements.txt")
    return done.code, done.stdout + done.stderr
