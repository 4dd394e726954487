"""What `make bench` reads from inside an image: sizes, and how long an import takes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from gpuenv.core.errors import CheckError
from gpuenv.engine.model import Engine, inspect
from gpuenv.images.context import Built

#: Sums up the files that each installed package lists as its own, and the CUDA libraries. Bytes, as JSON.
SIZES = """
import glob, json, os, pkg_resources
packages = 0
for found in pkg_resources.working_set:
    for line in found.get_metadata_lines('RECORD'):
        path = os.path.join(found.location, line.rsplit(',', 2)[0].strip('"'))
        packages += os.path.getsize(path) if os.path.isfile(path) else 0
cuda = sum(os.path.getsize(path) for path in glob.glob('/usr/local/cuda-*/lib64/*'))
print(json.dumps({'packages': packages, 'CUDA': cuda}))
"""
IMPORT = """
import time
began = time.perf_counter()
import tensorflow
print(time.perf_counter() - began)
"""


def sizes(engine: Engine, built: Built) -> dict[str, int]:
    """Bytes of the image, its base, the packages' own files and the CUDA libraries."""
    (program, *_), environment = engine.build_prefix()
    inside = json.loads(output([program, "run", "--rm", built.tag, "python", "-c", SIZES], environment))
    identity = built.labels["gpuenv.base_identity"].split("+")[0]
    is_local = built.labels["gpuenv.base"] == "local"
    reference = f"gpuenv-base:{identity[:12]}" if is_local else built.environment.variant.base.pinned
    image, base = inspect(engine, built.id), inspect(engine, reference)
    if image is None or base is None:
        raise CheckError(f"{reference} is not there any more", "somebody removed the base image", "make clean images")
    return {"image": int(image["Size"]), "base": int(base["Size"]), **inside}


@contextmanager
def started(engine: Engine, built: Built) -> Iterator[list[str]]:
    """A container that stays up; yields the command that runs something in it."""
    (program, *_), environment = engine.build_prefix()
    container = output([program, "run", "--detach", "--rm", built.tag, "sleep", "3600"], environment).strip()
    address = ["env", f"DOCKER_HOST={environment['DOCKER_HOST']}"] if "DOCKER_HOST" in environment else []
    try:
        yield [*address, program, "exec", container]
    finally:
        output([program, "rm", "--force", container], environment)


def import_seconds(python: Sequence[str]) -> float:
    """Seconds of `import tensorflow`, taken by the interpreter itself, so that its start does not count."""
    return float(output([*python, "-W", "ignore", "-c", IMPORT], None).splitlines()[-1])


def output(argv: Sequence[str], environment: dict[str, str] | None) -> str:
    """What a command prints on standard output. Raises CheckError if it fails."""
    done = subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CheckError(f"`{' '.join(argv[:6])} ...` failed", done.stderr.strip()[-500:], "run it by hand")
    return done.stdout
