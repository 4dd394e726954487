from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from gpuenv import report
from gpuenv.report import Outcome
from gpuenv.target import Plan, Target

PASSED = Outcome("training/xor/xor_keras", "a", "training", "passed", "", "", "n1", 1.0, 2.5)
FAILED = dataclasses.replace(PASSED, check="gpu/driver", group="gpu", outcome="failed", what="no GPU", why="no GPU\n")
SKIPPED = dataclasses.replace(PASSED, check="gpu/driver", group="gpu", outcome="skipped", why="not tested: no driver")
PLAN = Plan("r", (Target("a", "image", "cuda10.0", "gpu", "simulated"), Target("b", "image", "cuda9.0", "cpu")))


def test_last_line_counts_and_says_why() -> None:
    counts = report.count([PASSED, PASSED, FAILED, SKIPPED, dataclasses.replace(SKIPPED, why="not tested: x")])
    assert report.render_last_line(counts) == "2 passed, 1 failed, 2 not tested (no driver: 1; x: 1)"


def test_last_line_without_reasons() -> None:
    assert report.render_last_line(report.count([PASSED])) == "1 passed, 0 failed, 0 not tested"


def test_not_tested_never_counts_as_passed() -> None:
    counts = report.count([SKIPPED, SKIPPED])
    assert (counts.passed, counts.failed, counts.not_tested) == (0, 0, 2)


def test_results_survive_a_line_that_was_cut_off() -> None:
    line = json.dumps(dataclasses.asdict(PASSED))
    assert report.parse_results(f"{line}\n{line}\n{line[:20]}") == (PASSED, PASSED)
    assert report.parse_results("") == ()


@pytest.mark.parametrize(
    ("outcomes", "text"),
    [([], "-"), ([PASSED, PASSED], "2 passed"), ([PASSED, FAILED, SKIPPED], "1 failed, 1 passed, 1 not tested")],
)
def test_cell_names_failures_first(outcomes: list[Outcome], text: str) -> None:
    assert report.render_cell(outcomes) == text


def test_table_has_a_row_for_each_group_and_a_column_for_each_target() -> None:
    stream = io.StringIO()
    Console(file=stream, width=120).print(report.render_table(PLAN, [PASSED, FAILED]))
    text = stream.getvalue()
    assert "cuda10.0-gpu (simulated CUDA)" in text
    assert "cuda9.0-cpu" in text
    assert "1 failed" in text
    assert "training" in text
    assert "linkage" not in text


def test_report_file_holds_every_check(tmp_path: Path) -> None:
    report.save_report(PLAN, [PASSED, FAILED, SKIPPED], tmp_path / "report.json")
    data = json.loads((tmp_path / "report.json").read_text())
    assert data["counts"] == {"passed": 1, "failed": 1, "not_tested": 1}
    assert data["not_tested"] == {"no driver": 1}
    assert [check["outcome"] for check in data["checks"]] == ["passed", "failed", "skipped"]
    assert data["targets"][0]["title"] == "cuda10.0-gpu (simulated CUDA)"
