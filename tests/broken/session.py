"""One run of the harness over several broken targets: it starts once, and each target has its own outcomes."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gpuenv.core import paths
from gpuenv.engine.model import Engine
from gpuenv.harness import command as harness
from gpuenv.harness.report.model import Outcome, Report
from gpuenv.harness.targets.container import remove_leftovers
from gpuenv.harness.targets.model import Plan, Target, save_plan

from . import images, prefixes
from .table import Fault

#: pytest's exit codes when it ran to its end.
PASSED, SOME_FAILED = 0, 1


def run(engine: Engine, faults: Sequence[Fault], folder: Path) -> tuple[Outcome, ...]:
    """Make every broken target, check it, remove it; the outcomes of all of them."""
    for source in sorted({source for fault in faults if fault.kind == "image" for source in fault.sources}):
        images.ensure_good(engine, source)
    jobs = min(os.cpu_count() or 1, len(faults))
    copies = folder / "copies"
    copies.mkdir(parents=True)

    def make(fault: Fault) -> str:
        return images.build(engine, fault) if fault.kind == "image" else str(prefixes.make(fault, copies))

    try:
        with ThreadPoolExecutor(jobs) as pool:
            built = dict(zip((fault.name for fault in faults), pool.map(make, faults)))
        return check(engine, make_plan(engine, faults, built), built, folder, jobs)
    finally:
        images.remove(engine, [images.tag_of(fault) for fault in faults if fault.kind == "image"])
        shutil.rmtree(copies)


def make_plan(engine: Engine, faults: Sequence[Fault], built: Mapping[str, str]) -> Plan:
    """What the harness is told: each broken image, or environment, is a target like any other."""

    def target(fault: Fault) -> Target:
        there = Target(fault.identity, fault.kind, fault.variant, fault.flavor, fault.cuda_label, added=fault.added)
        if fault.kind == "image":
            return dataclasses.replace(there, image=built[fault.name])
        return dataclasses.replace(there, prefix=built[fault.name])

    found = map(target, faults)
    return Plan(secrets.token_hex(8), tuple(found), engine, require_gpu=False, upstream=True)


def check(engine: Engine, plan: Plan, built: Mapping[str, str], folder: Path, jobs: int) -> tuple[Outcome, ...]:
    """Run the harness in a process of its own."""
    save_plan(plan, folder / "plan.json")
    results = folder / "results.jsonl"
    argv = harness.pytest_argv(folder / "plan.json", results, folder / "junit.xml", jobs)
    environment = harness.pytest_environment(engine)
    environment.update(GPUENV_BROKEN=json.dumps(built))
    try:
        done = run_pytest([*argv, "-p", "broken.in_harness"], environment)
    finally:
        remove_leftovers(engine, plan.run)
    assert done.returncode in (PASSED, SOME_FAILED), done.stdout + done.stderr
    found = Report(plan).update(results)
    assert found.unreadable == 0
    return tuple(found.outcomes)


def run_pytest(argv: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """The harness in a process of its own, with what it printed."""
    root = paths.project_root()
    return subprocess.run(argv, cwd=root, env=dict(environment), capture_output=True, text=True, check=False)
