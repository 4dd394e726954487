"""A run of the harness with everything in it that a report can show, made without any environment.

The training is real: the project's own perceptron, and its two-layer net again in plain Python, so that no numpy is
needed. Four targets: one in order, one with stand-ins, one with failures, one that could not be made.
"""

from __future__ import annotations

import dataclasses
import json
import math
import random
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from gpuenv.core import paths
from gpuenv.harness.report.evidence import PACKAGES, REFERENCE
from gpuenv.harness.report.model import GROUPS, Outcome, Report
from gpuenv.harness.targets.model import Plan, Target

GOOD = Target("cuda10.0-cpu", "image", "cuda10.0", "cpu")
INDEX = Target("cuda10.0-gpu-index", "image", "cuda10.0", "gpu", "index")
FAILING = Target("cuda9.0-cpu", "image", "cuda9.0", "cpu")
MISSING = Target("cuda9.0-gpu", "image", "cuda9.0", "gpu", "complete", missing="no source answers for CUDA 9.0")
BEGAN = 1_800_000_000.0
HIDDEN, RATE, STEPS = 8, 0.5, 400
ROWS = ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0))
WANTED = (0.0, 1.0, 1.0, 0.0)
CHECKS = {
    "target": ["starts"],
    "identity": ["python", "tensorflow", "keras", "installed", "files"],
    "imports": ["numpy", "scipy", "pandas", "matplotlib", "h5py", "keras", "tensorflow"],
    "linkage": ["needed", "symbols", "no-driver"],
    "training": ["perceptron/AND", "perceptron/XOR-not", "xor/xor_keras", "curve/xor_tfkeras", "seeds", "convnet"],
    "isolation": ["not-root", "read-only", "layers"],
    "notebook": ["runs"],
}
HOSTILE = "<script>alert('x')</script> & \x1b[31mred\x1b[0m \udc80"


def make_report(exit_code: int | None = 1) -> Report:
    """The run; with 0 as exit code, without its failures."""
    targets = (GOOD, INDEX, FAILING, MISSING)
    found = {target.identity: findings(target, is_good=exit_code == 0) for target in targets[:3]}
    outcomes = [outcome for target in targets for outcome in outcomes_of(target)]
    if exit_code == 0:
        outcomes = [outcome for outcome in outcomes if outcome.outcome != "failed"]
    return Report(Plan("r", targets), outcomes, found, BEGAN, BEGAN + 194.0, exit_code)


def outcomes_of(target: Target) -> list[Outcome]:
    """The outcomes of one target, one after the other."""
    if target.missing is not None:
        return [_outcome(target, "target/starts", BEGAN, "skipped", target.missing)]
    names = [f"{group}/{name}" for group in GROUPS for name in CHECKS.get(group, [])]
    found = [_outcome(target, name, BEGAN + number) for number, name in enumerate(names)]
    if target.flavor == "gpu":
        reason = "no NVIDIA driver on this host"
        found += [_outcome(target, f"gpu/{name}", BEGAN + 30, "skipped", reason) for name in ("driver", "product")]
    return [_failed(one) if (target, one.check) in FAILURES else one for one in found]


def _outcome(target: Target, check: str, finished: float, outcome: str = "passed", why: str = "") -> Outcome:
    group = check.partition("/")[0]
    return Outcome(check, target.identity, group, outcome, "", why, f"tests/env::{check}", finished, 0.93)


def _failed(outcome: Outcome) -> Outcome:
    what, why, next_step, output = FAILURES[FAILING, outcome.check]
    return dataclasses.replace(outcome, outcome="failed", what=what, why=why, next_step=next_step, output=output)


FAILURES = {
    (FAILING, "identity/installed"): (
        "numpy is 1.16.4, the lock says 1.16.6",
        "the image was built from another lock, or a package was installed by hand",
        "make clean, then build it again: make images",
        f"$ python facts.py\nexit code 0\n--- standard output\n{HOSTILE}\n--- standard error",
    ),
    (FAILING, "training/curve/xor_tfkeras"): (
        "the loss leaves the numpy reference by 0.026 at step 1 (at most 0.0001)",
        "another optimizer, loss or initial weight than the reference's; or an update out of order",
        "run it by hand: make gpu-shell VARIANT=... CMD='python ...' with the command below",
        "$ python training.py\nexit code 0\n--- standard output\n--- standard error\nUsing TensorFlow backend.",
    ),
}


#: The worst output of :func:`train` from each of the seeds 1 to 20: to train them all takes a second.
STARTS = (
    0.0136, 0.0169, 0.0132, 0.0183, 0.0160, 0.0144, 0.0143, 0.0109, 0.0185, 0.0135,
    0.0195, 0.0170, 0.0127, 0.0207, 0.0130, 0.0153, 0.0165, 0.0153, 0.0166, 0.0146,
)  # fmt: skip


# --- what the programs found ------------------------------------------------------------------------


def findings(target: Target, *, is_good: bool = False) -> dict[str, Any]:
    """What pytest hands over for one target, in the form in which the programs print it."""
    is_old = target.variant == "cuda9.0"
    training = training_data()
    if target == FAILING and not is_good:
        training["xor_tfkeras"]["result"] = train(rate=0.0)
        training["seeds"]["result"]["7"] = 0.43
        training["xor_graph"] = {"result": None, "error": "Traceback ...\nImportError: libfoo.so.1: no such file\n"}
    return {
        "facts": {"python": "3.6.15"},
        "frameworks": {"tensorflow": "1.12.0" if is_old else "1.15.5", "keras": "2.2.4" if is_old else "2.2.5"},
        "training": training,
    }


def training_data() -> dict[str, Any]:
    """The output of reference/training.py; the frameworks' curves are numpy's with the noise of single precision."""
    data: dict[str, Any] = json.loads(_training_text())
    return data


@cache
def _training_text() -> str:
    reference = train()
    parts: dict[str, Any] = {"perceptron": perceptrons(), REFERENCE: {**reference, "device": "numpy"}}
    noise = random.Random(1)
    for name in PACKAGES:
        parts[name] = {**reference, "losses": [loss + noise.uniform(-1e-7, 1e-7) for loss in reference["losses"]]}
    parts["seeds"] = {str(seed): worst for seed, worst in enumerate(STARTS, start=1)}
    return json.dumps({name: {"result": part, "error": None, "seconds": 1.0} for name, part in parts.items()})


@cache
def _perceptrons() -> str:
    program = paths.project_root() / "src/gpuenv/harness/reference/perceptron.py"
    return subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=True).stdout


def perceptrons() -> dict[str, Any]:
    """What reference/perceptron.py prints."""
    found: dict[str, Any] = json.loads(_perceptrons().splitlines()[-1])
    return found


def worst_of(result: dict[str, Any]) -> float:
    """How far the worst output is from its target."""
    output: list[float] = result["output"]
    return max(abs(value - want) for value, want in zip(output, WANTED))


@cache
def train(seed: int = 1, rate: float = RATE) -> dict[str, Any]:
    """The net of reference/xor_numpy.py in plain Python: same start, same steps, same form of the result."""
    source = _Lcg(seed)
    w1 = [[source.uniform() for _ in range(HIDDEN)] for _ in range(2)]
    w2 = [source.uniform() for _ in range(HIDDEN)]
    b1, b2 = [0.0] * HIDDEN, 0.0
    losses = []
    for _ in range(STEPS):
        layers = [[math.tanh(x * w1[0][k] + y * w1[1][k] + b1[k]) for k in range(HIDDEN)] for x, y in ROWS]
        output = [_sigmoid(sum(map(float.__mul__, layer, w2)) + b2) for layer in layers]
        losses.append(-sum(math.log(o if want else 1 - o) for o, want in zip(output, WANTED)) / 4)
        slopes = [(o - want) / 4 for o, want in zip(output, WANTED)]
        inner = [[s * w2[k] * (1 - layer[k] ** 2) for k in range(HIDDEN)] for s, layer in zip(slopes, layers)]
        for k in range(HIDDEN):
            w2[k] -= rate * sum(s * layer[k] for s, layer in zip(slopes, layers))
            b1[k] -= rate * sum(one[k] for one in inner)
            for axis in range(2):
                w1[axis][k] -= rate * sum(row[axis] * one[k] for row, one in zip(ROWS, inner))
        b2 -= rate * sum(slopes)
    output = [
        _sigmoid(sum(w2[k] * math.tanh(x * w1[0][k] + y * w1[1][k] + b1[k]) for k in range(HIDDEN)) + b2)
        for x, y in ROWS
    ]
    weights = [w1, b1, [[value] for value in w2], [b2]]
    table = [int(value > 0.5) for value in output]
    return {"losses": losses, "output": output, "table": table, "weights": weights, "device": "CPU"}


def _sigmoid(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-value))


class _Lcg:
    """As in reference/common.py, which is no package and cannot be imported here."""

    def __init__(self, seed: int) -> None:
        self.state = seed
        for _ in range(8):
            self.uniform()

    def uniform(self) -> float:
        self.state = (1664525 * self.state + 1013904223) % 2**32
        return -1.0 + 2.0 * self.state / 2**32


def main(folder: Path) -> None:
    """Write the page of such a run into a folder, to look at."""
    from gpuenv.harness.report import files as report_files

    report_files.save(make_report(), folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
