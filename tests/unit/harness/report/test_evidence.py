"""What the programs found: handed over in files, read into values."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from fakes import report as fake
from gpuenv.harness.report import evidence, learned
from gpuenv.harness.report.evidence import parse_evidence
from gpuenv.harness.report.model import Report, add_result
from gpuenv.harness.targets.model import Plan


def test_findings_travel_through_the_file_of_results(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    found = Report(Plan("r", ()))
    assert (found.update(results).findings, found.expected) == ({}, {})
    add_result(results, "finding", target="v-cpu-on-ssh://lab1", name="facts", data={"python": "3.6"})
    add_result(results, "finding", target="v-cpu-on-ssh://lab1", name="training", data={"x": math.nan})
    add_result(results, "finding", target="w" * 300, name="facts", data=1)
    add_result(results, "expected", a={"gpu": 3})
    assert found.update(results).findings["v-cpu-on-ssh://lab1"]["facts"] == {"python": "3.6"}
    assert math.isnan(found.findings["v-cpu-on-ssh://lab1"]["training"]["x"])
    assert found.findings["w" * 300] == {"facts": 1}
    assert found.expected == {"a": {"gpu": 3}}


def test_evidence_of_a_target_in_order() -> None:
    found = parse_evidence(fake.findings(fake.GOOD))
    assert found.versions == {"Python": "3.6.15", "TensorFlow": "1.15.5", "Keras": "2.2.5"}
    assert found.trained_on == ("CPU",)
    assert set(found.nets) == {"xor_numpy", "xor_keras", "xor_tfkeras", "xor_graph"}
    assert list(found.seeds) == [str(seed) for seed in range(1, 21)]
    assert found.gaps == {}


def test_keras_own_tests_are_counted() -> None:
    parts = {"a": {"passed": 3, "skipped": 1, "failed": []}, "b": {"passed": 1, "skipped": 0, "failed": ["x", "y"]}}
    assert parse_evidence({"keras_tests": parts}).upstream_words == "4 passed, 2 failed, 1 skipped"
    assert evidence.summarize(parse_evidence({"keras_tests": parts}))["upstream"]["passed"] == 4
    assert parse_evidence({}).upstream_words == ""


def test_the_starts_are_those_of_the_net() -> None:
    assert [round(fake.worst_of(fake.train(seed)), 4) for seed in (1, 14)] == [fake.STARTS[0], fake.STARTS[13]]


def test_nothing_known_is_a_gap_with_a_reason() -> None:
    found = parse_evidence({})
    assert found == evidence.Evidence()
    assert learned.say_why(fake.GOOD, found, "perceptron") == "training was not run on this target"
    assert learned.say_why(fake.MISSING, found, "perceptron") == "no source answers for CUDA 9.0"


@pytest.mark.parametrize(
    "broken",
    [
        {"losses": [], "output": [0, 0, 0, 0], "table": [], "weights": [[[1], [1]], [0], [[1]], [0]], "device": "CPU"},
        {"losses": [1], "output": [0, 0], "table": [], "weights": [[[1], [1]], [0], [[1]], [0]], "device": "CPU"},
        {"losses": [1], "output": [0, 0, 0, 0], "table": [], "weights": [[1], [0]], "device": "CPU"},
        {"losses": ["x"]},
        [],
        None,
    ],
)
def test_what_cannot_be_read_is_a_gap_and_no_crash(broken: Any) -> None:
    found = parse_evidence({"training": {"xor_keras": {"result": broken, "error": None}}})
    assert found.nets == {}
    assert found.gaps["xor_keras"].startswith("the result of the program xor_keras cannot be read: ")


def test_an_error_is_a_gap_with_its_last_line() -> None:
    found = parse_evidence({"training": {"seeds": {"result": None, "error": "Traceback\nValueError: no\n"}}})
    assert found.gaps["seeds"] == "the program seeds failed: ValueError: no"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [((1.0, 2.0), (1.0, 2.5), 0.5), ((1.0,), (1.0, 2.0), None), ((math.nan,), (1.0,), None)],
)
def test_distance_of_curves(one: tuple[float, ...], other: tuple[float, ...], expected: float | None) -> None:
    found = evidence.worst_difference(one, other)
    assert math.isnan(found) if expected is None else found == expected


def test_the_fake_net_is_that_of_the_reference() -> None:
    # The last loss and output of reference/xor_numpy.py, in double precision.
    result = fake.train()
    assert result["table"] == [0, 1, 1, 0]
    assert result["losses"][0] == pytest.approx(0.7752454355517135, abs=1e-7)
