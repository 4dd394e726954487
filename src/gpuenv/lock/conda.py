"""Resolves the conda lock of a variant: py-rattler solves against the metadata of the channels themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import msgspec

from gpuenv.conda import channels, failures, spec
from gpuenv.conda import lock as conda_lock
from gpuenv.conda.channels import CondaRequest
from gpuenv.conda.lock import Package
from gpuenv.core import atomic, paths, scratch, signals, ui
from gpuenv.core.errors import HostError, SourceError
from gpuenv.net import redact
from gpuenv.variants.environment import Environment
from gpuenv.variants.kinds import FLAVORS
from gpuenv.variants.model import Variant

#: Seconds for one solution: the metadata of a large channel are hundreds of megabytes where it does not share them out.
_SOLVE_S = 900


def render(variant: Variant, *, upgrade: bool) -> str:
    """The text of the lock: what is there, where that was made from the present inputs and nothing newer is wanted.

    Raises SourceError where no channel answers and there is nothing to keep; DataError where no set of packages fits.
    """
    path = conda_lock.path_of(variant)
    kept = path.read_text(encoding="utf-8") if path.exists() else None
    is_current = kept is not None and conda_lock.read(variant).inputs == conda_lock.inputs_digest(variant)
    if kept is not None and is_current and not upgrade:
        return kept
    try:
        solved = {flavor: solve(Environment(variant, flavor)) for flavor in FLAVORS}
    except SourceError as error:
        if kept is None or not is_current:
            raise
        ui.warn(f"{path} is kept as it is: {error.what}")
        return kept
    return conda_lock.render(variant, merge(solved))


def merge(solved: dict[str, list[dict[str, Any]]]) -> list[Package]:
    """The packages of the solutions (flavor -> conda's records); one that is in several stands there once."""
    flavors: dict[str, list[str]] = {}
    records: dict[str, dict[str, Any]] = {}
    for flavor, found in solved.items():
        for record in found:
            key = f"{record['channel']} {record['subdir']}/{record['file_name']}"
            records[key] = record
            flavors.setdefault(key, []).append(flavor)
    return [_package(record, flavors[key]) for key, record in records.items()]


def _package(record: dict[str, Any], flavors: Iterable[str]) -> Package:
    # "conda-forge", or the address of one: its last part is what it is called.
    channel = str(record["channel"]).rstrip("/").rpartition("/")[2]
    keys = ("name", "version", "build", "build_number", "sha256", "md5", "size", "depends")
    values = {key: record[key] for key in keys if record.get(key) is not None}
    # Records of that time say `true` for what is of no system, and mean a package of Python.
    noarch = {True: "python", "python": "python", "generic": "generic"}.get(record.get("noarch") or "")
    file = f"{record['subdir']}/{record['file_name']}"
    values.update(channel=channel, file=file, noarch=noarch, flavors=sorted(flavors, reverse=True))
    return msgspec.convert(values, Package)


def solve(environment: Environment) -> list[dict[str, Any]]:
    """Conda's records of what an environment is made of. Raises what :func:`gpuenv.conda.failures.explain` returns."""
    request = CondaRequest(spec.channels(environment), spec.specifications(environment))
    # Packages may ask for a driver, which the machine that locks need not have; and for an older system than it is.
    environ = {**os.environ, **channels.network_variables(os.environ), "CONDA_OVERRIDE_GLIBC": "2.17"}
    if environment.flavor == "gpu":
        environ["CONDA_OVERRIDE_CUDA"] = environment.variant.cuda.version
    with scratch.folder("conda-lock") as folder:
        job, answer = folder / "job.json", folder / "answer.json"
        cache = str(paths.cache_dir() / "conda")
        values = {"channels": request.channels, "specifications": request.specifications, "cache": cache}
        job.write_text(json.dumps({**values, "subdir": spec.SUBDIRS[0], "answer": str(answer)}), encoding="utf-8")
        argv = [sys.executable, "-I", "-m", "gpuenv.conda.rattler", str(job)]
        try:
            done = signals.ask(argv, _SOLVE_S, env=environ)
        except subprocess.TimeoutExpired as error:
            raise SourceError("the channels do not answer", f"no solution within {_SOLVE_S} s", "try again") from error
        if "No module named 'rattler'" in done.stderr:
            raise HostError(
                "the conda packages cannot be solved for",
                "the package py-rattler is not installed (it needs Python 3.10 or newer for the command itself)",
                "run it with a newer Python: `make lock PYTHON=python3.12`",
            )
        if done.returncode != 0:
            log = paths.state_dir() / "logs" / "conda-lock.log"
            log.parent.mkdir(exist_ok=True)
            atomic.write_text(log, redact.text(done.stderr), mode=0o600)
            raise failures.explain(done.stderr, program="rattler", request=request, log=log)
        found: list[dict[str, Any]] = json.loads(answer.read_text(encoding="utf-8"))
        return found
