"""One run of the harness over several broken targets: it starts once, and each target has its own outcomes."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gpuenv import harness, paths, report
from gpuenv.engine import Engine
from gpuenv.report import Outcome
from gpuenv.target import Plan, Target, save_plan
from gpuenv.target_container import remove_leftovers

from . import images
from .table import Fault

#: pytest's exit codes when it ran to its end.
PASSED, SOME_FAILED = 0, 1


def run(engine: Engine, faults: Sequence[Fault], folder: Path) -> tuple[Outcome, ...]:
    """Make every broken image, check it, remove it; the outcomes of all of them."""
    for source in sorted({source for fault in faults for source in fault.sources}):
        images.ensure_good(engine, source)
    jobs = min(os.cpu_count() or 1, len(faults))
    try:
        with ThreadPoolExecutor(jobs) as pool:
            built = dict(zip((fault.name for fault in faults), pool.map(lambda one: images.build(engine, one), faults)))
        return check(engine, make_plan(engine, faults, built), built, folder, jobs)
    finally:
        images.remove(engine, [images.tag_of(fault) for fault in faults])


def make_plan(engine: Engine, faults: Sequence[Fault], built: Mapping[str, str]) -> Plan:
    """What the harness is told: each broken image is a target like any other."""
    found = (
        Target(fault.identity, "image", fault.variant, fault.flavor, fault.cuda_label, built[fault.name])
        for fault in faults
    )
    return Plan(secrets.token_hex(8), tuple(found), dataclasses.asdict(engine), require_gpu=False)


def check(engine: Engine, plan: Plan, built: Mapping[str, str], folder: Path, jobs: int) -> tuple[Outcome, ...]:
    """Run the harness in a process of its own."""
    folder.mkdir(exist_ok=True)
    save_plan(plan, folder / "plan.json")
    results = folder / "results.jsonl"
    argv = harness.pytest_argv(folder / "plan.json", results, folder / "junit.xml", jobs)
    environment = harness.pytest_environment(engine)
    environment.update(PYTHONPATH=str(paths.project_root() / "tests"), GPUENV_BROKEN=json.dumps(built))
    try:
        done = subprocess.run(
            [*argv, "-p", "broken.in_harness"],
            cwd=paths.project_root(), env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        remove_leftovers(engine, plan.run)
    assert done.returncode in (PASSED, SOME_FAILED), done.stdout + done.stderr
    return report.parse_results(results.read_text("utf-8"))
