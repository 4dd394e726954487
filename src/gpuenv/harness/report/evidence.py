"""Read what a target showed in a run from its programs' findings: versions, devices, and what its nets learned.

A finding that is missing or cannot be read leaves a gap with a reason, never a made-up value: reports show both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import msgspec

from gpuenv.core.errors import CheckError
from gpuenv.harness.judges.training import leaves_at, require_part

T = TypeVar("T")

#: The three programs that train the two-layer net, and what they are called in a report.
PACKAGES = {"xor_keras": "Keras", "xor_tfkeras": "tf.keras", "xor_graph": "TensorFlow graph"}
REFERENCE = "xor_numpy"


@dataclass(frozen=True)
class Perceptron:
    """A trained perceptron: it gives 1 where ``w1 * x + w2 * y + bias > 0``. ``best`` is of 4 rows, at any time."""

    weights: tuple[float, float]
    bias: float
    table: tuple[int, ...]
    epochs: int
    best: int

    def value(self, x: float, y: float) -> float:
        """The sum that is compared with 0."""
        return self.weights[0] * x + self.weights[1] * y + self.bias


@dataclass(frozen=True)
class Net:
    """A trained two-layer net (2-8-1, tanh and sigmoid): the loss before each step, and the weights at the end.

    ``weights`` are ``(w1 (2, hidden), b1 (hidden,), w2 (hidden, 1), b2 (1,))``, as in reference/xor_numpy.py.
    """

    losses: tuple[float, ...]
    output: tuple[float, ...]
    table: tuple[int, ...]
    weights: tuple[Any, ...]
    device: str

    def __post_init__(self) -> None:
        if not self.losses or len(self.output) != 4:
            raise ValueError("no losses, or not four outputs")
        self.value(0.0, 0.0)  # weights of another shape are found here and not by a picture

    def value(self, x: float, y: float) -> float:
        """The net's output, 0 to 1, for one point."""
        first, biases, second, (bias,) = self.weights
        total = bias
        for one, other, offset, (weight,) in zip(first[0], first[1], biases, second):
            total += weight * math.tanh(one * x + other * y + offset)
        # The sigmoid in a form that cannot overflow.
        return 0.5 * (1.0 + math.tanh(total / 2.0))


@dataclass(frozen=True)
class Evidence:
    """All that is known of one target. ``gaps`` says for a part of the training why there is no result."""

    versions: Mapping[str, str] = field(default_factory=dict)
    devices: tuple[str, ...] = ()
    perceptrons: Mapping[str, Perceptron] = field(default_factory=dict)
    nets: Mapping[str, Net] = field(default_factory=dict)
    #: For each start, how far the worst of the four outputs is from its target.
    seeds: Mapping[str, float] = field(default_factory=dict)
    gaps: Mapping[str, str] = field(default_factory=dict)
    #: Of Keras' own tests, where they ran: how many "passed", "failed" and were "skipped".
    upstream: Mapping[str, int] = field(default_factory=dict)

    @property
    def upstream_words(self) -> str:
        """``"410 passed, 0 failed, 82 skipped"``; "" where they did not run."""
        return ", ".join(f"{number} {kind}" for kind, number in self.upstream.items())

    @property
    def trained_on(self) -> tuple[str, ...]:
        """``("CPU",)`` or ``("GPU",)``: what TensorFlow had when it trained; empty if it did not."""
        return tuple(sorted({self.nets[name].device for name in PACKAGES if name in self.nets}))


def parse_evidence(findings: Mapping[str, Any]) -> Evidence:
    """Read the findings of one target: ``{program: data}``."""
    training = findings.get("training") or {}
    facts, frameworks = findings.get("facts") or {}, findings.get("frameworks") or {}
    versions = {"Python": facts.get("python"), "TensorFlow": frameworks.get("tensorflow")}
    versions["Keras"] = frameworks.get("keras")
    driver = findings.get("driver_inside") or {}
    gaps: dict[str, str] = {}
    seeds = _part(training, "seeds", dict[int, float], gaps) or {}
    return Evidence(
        versions={title: str(version) for title, version in versions.items() if version},
        devices=tuple(f"{one.get('name')} ({one.get('capability')})" for one in driver.get("devices") or ()),
        perceptrons=_part(training, "perceptron", dict[str, Perceptron], gaps) or {},
        nets={name: net for name in (REFERENCE, *PACKAGES) if (net := _part(training, name, Net, gaps))},
        seeds={str(seed): worst for seed, worst in sorted(seeds.items())},
        gaps=gaps,
        upstream=_count_suites(list((findings.get("keras_tests") or {}).values())),
    )


def _count_suites(parts: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    if not parts:
        return {}
    passed, skipped = (sum(part[kind] for part in parts) for kind in ("passed", "skipped"))
    return {"passed": passed, "failed": sum(len(part["failed"]) for part in parts), "skipped": skipped}


def _part(training: Mapping[str, Any], name: str, kind: type[T], gaps: dict[str, str]) -> T | None:
    if training.get(name) is None:
        return None
    try:
        return msgspec.convert(require_part(training, name), kind, strict=False, str_keys=True)
    except CheckError as error:
        gaps[name] = f"{error.what}: {error.why}"
    except (msgspec.ValidationError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        gaps[name] = f"the result of the program {name} cannot be read: {type(error).__name__}: {error}"
    return None


def worst_difference(losses: Sequence[float], reference: Sequence[float]) -> float:
    """The largest distance between two loss curves; not a number if they cannot be compared."""
    if len(losses) != len(reference) or not losses:
        return math.nan
    differences = [abs(one - other) for one, other in zip(losses, reference)]
    return math.nan if any(map(math.isnan, differences)) else max(differences)


@dataclass(frozen=True)
class Curve:
    """One net's losses beside those of numpy in the same target."""

    target: str
    package: str
    net: Net
    reference: Net

    @property
    def difference(self) -> float:
        """The largest distance from the reference; not a number if they cannot be compared."""
        return worst_difference(self.net.losses, self.reference.losses)

    @property
    def leaves_at(self) -> int | None:
        """The first step at which the distance is more than the check allows; None if it never is."""
        return leaves_at(self.net.losses, self.reference.losses)


def summarize(evidence: Evidence) -> dict[str, Any]:
    """The evidence for report.json: everything but the curves, of which first, last and distance are kept."""
    found = asdict(evidence)
    nets: dict[str, dict[str, Any]] = found.pop("nets")
    perceptrons = found.pop("perceptrons")
    reference = evidence.nets.get(REFERENCE)
    for net in nets.values():
        losses = net.pop("losses")
        net.update(steps=len(losses), first_loss=losses[0], final_loss=losses[-1])
        net["worst_difference_from_numpy"] = worst_difference(losses, reference.losses) if reference else None
    return {**found, "perceptron": perceptrons, "xor": nets, "trained_on": evidence.trained_on}
