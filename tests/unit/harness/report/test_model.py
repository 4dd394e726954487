from __future__ import annotations

import dataclasses
import io
import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rich.console import Console

from fakes import report as fake
from gpuenv.core.errors import CheckError
from gpuenv.harness.report import files
from gpuenv.harness.report import model as report
from gpuenv.harness.report import table as report_table
from gpuenv.harness.report.model import Outcome, Report
from gpuenv.harness.targets.model import Plan, Target

PASSED = Outcome("training/xor/xor_keras", "a", "training", "passed", "", "", "n1", 1.0, 2.5)
FAILED = dataclasses.replace(PASSED, check="gpu/driver", group="gpu", outcome="failed", what="no GPU")
SKIPPED = dataclasses.replace(PASSED, check="gpu/driver", group="gpu", outcome="skipped", why="no driver")
PLAN = Plan("r", (Target("a", "image", "cuda10.0", "gpu", "index"), Target("b", "image", "cuda9.0", "cpu")))


def test_last_line_counts_and_says_why() -> None:
    counts = report.count([PASSED, PASSED, FAILED, SKIPPED, dataclasses.replace(SKIPPED, why="x")])
    assert str(counts) == "2 passed, 1 failed, 2 not tested (no driver: 1; x: 1)"


def test_last_line_without_reasons() -> None:
    assert str(report.count([PASSED])) == "1 passed, 0 failed, 0 not tested"


def test_not_tested_never_counts_as_passed() -> None:
    counts = report.count([SKIPPED, SKIPPED])
    assert (counts.passed, counts.failed, counts.not_tested) == (0, 0, 2)


def test_results_survive_a_line_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    for _ in range(3):
        report.add_result(path, "outcome", **dataclasses.asdict(PASSED))
    path.write_text(path.read_text()[:-20])
    assert Report(PLAN).update(path).outcomes == [PASSED, PASSED]
    path.write_text("")
    assert Report(PLAN).update(path).outcomes == []


@pytest.mark.parametrize(
    "line", ["{", "[]", "1", '{"outcome": {"check": 1}}', '{"finding": {}}', '{"a": 1, "b": 2}', '{"a": {}}']
)
def test_a_line_that_is_no_result_is_counted(tmp_path: Path, line: str) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(f"{line}\n")
    report.add_result(path, "outcome", **dataclasses.asdict(PASSED))
    found = Report(PLAN).update(path)
    assert (found.outcomes, found.unreadable) == ([PASSED], 1)


def test_lines_of_several_processes_stay_whole(tmp_path: Path) -> None:
    path, long = tmp_path / "results.jsonl", "x" * 100_000
    with ThreadPoolExecutor(8) as pool:
        for number in range(80):
            pool.submit(report.add_result, path, "finding", target=str(number), name="facts", data=long)
    found = Report(PLAN).update(path)
    assert found.unreadable == 0
    assert found.findings == {str(number): {"facts": long} for number in range(80)}


@pytest.mark.parametrize(
    ("outcomes", "text"),
    [
        ([PASSED, PASSED], "2 passed"),
        ([PASSED, FAILED, SKIPPED], "1 failed, 1 not tested, 1 passed"),
        ([PASSED, SKIPPED], "1 not tested, 1 passed"),
    ],
)
def test_cell_names_the_worst_first(outcomes: list[Outcome], text: str) -> None:
    own = [dataclasses.replace(one, group="gpu") for one in outcomes]
    assert text in show(report_table.render_table(Report(PLAN, own)))


def test_a_run_that_was_stopped_shows_what_never_ran() -> None:
    found = Report(PLAN, [PASSED], expected={"a": {"training": 3}, "b": {"gpu": 2}})
    text = show(report_table.render_table(found))
    assert "2 never ran, 1 passed" in text
    assert "2 never ran" in next(line for line in text.splitlines() if "gpu  " in line)


def show(renderable: object) -> str:
    stream = io.StringIO()
    Console(file=stream, width=120).print(renderable)
    return stream.getvalue()


def test_table_has_a_row_for_each_group_and_a_column_for_each_target() -> None:
    text = show(report_table.render_table(Report(PLAN, [PASSED, FAILED])))
    assert "cuda10.0-gpu (cuFFT, cuSOLVER: stand-ins)" in text
    assert "cuda9.0-cpu" in text
    assert "1 failed" in text
    assert "training" in text
    assert "linkage" not in text


def test_what_failed_first_is_said_for_each_target() -> None:
    later = dataclasses.replace(FAILED, check="training/seeds", finished=9.0, what="later")
    text = show(report_table.render_first_failures(Report(PLAN, [later, FAILED, PASSED])))
    assert text == "cuda10.0-gpu (cuFFT, cuSOLVER: stand-ins) failed first: gpu/driver: no GPU\n"


def test_failures_are_shown_in_three_lines() -> None:
    failed = dataclasses.replace(FAILED, why="no driver", next_step="install it", output="$ long output")
    assert show(report_table.render_failures(Report(PLAN, [PASSED, failed]))) == (
        "FAILED gpu/driver on cuda10.0-gpu (cuFFT, cuSOLVER: stand-ins)\n"
        "  no GPU\n  cause: no driver\n  next:  install it\n\n"
    )


def test_of_many_failures_the_first_are_shown() -> None:
    text = show(report_table.render_failures(Report(PLAN, [FAILED] * 100)))
    assert text.count("FAILED") == report_table.MOST_FAILURES
    assert f"... and {100 - report_table.MOST_FAILURES} more failures: see the report" in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0 s"), (0.4, "0 s"), (59.4, "59 s"), (59.6, "1:00 min"), (3725, "1:02:05 h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert report_table.render_duration(seconds) == text


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (CheckError("a", "b", "c"), {"what": "a", "why": "b", "next_step": "c"}),
        (KeyError("x"), {"what": "KeyError: 'x'"}),
        (AssertionError("first\nsecond"), {"what": "AssertionError: first"}),
        (AssertionError(), {"what": "AssertionError"}),
    ],
)
def test_what_an_outcome_holds_of_an_error(error: Exception, expected: dict[str, str]) -> None:
    assert report.describe_error(error) == expected


@pytest.mark.parametrize(
    ("exit_code", "outcomes", "status"),
    [
        (0, [PASSED, SKIPPED], "passed"),
        (1, [PASSED, FAILED], "failed"),
        (0, [SKIPPED], "nothing tested"),
        (5, [], "nothing tested"),
        (2, [PASSED], "not finished"),
        (1, [PASSED], "not finished"),
        (None, [PASSED], "interrupted"),
    ],
)
def test_status_is_passed_only_where_the_exit_code_is_0(
    exit_code: int | None, outcomes: list[Outcome], status: str
) -> None:
    assert Report(PLAN, outcomes, {}, 0.0, 1.0, exit_code).status == status


def test_checks_that_never_ran_are_counted() -> None:
    found = Report(PLAN, [PASSED, SKIPPED], {}, 0.0, 1.0, None, {"a": {"training": 3}, "b": {"gpu": 2}})
    assert (found.counts.never_ran, found.counts.not_tested) == (3, 4)
    assert str(found.counts) == "1 passed, 0 failed, 4 not tested (no driver: 1; never ran: 3)"
    assert found.shortfall == "3 checks never ran: the run stopped before its end"
    whole = dataclasses.replace(found, expected={})
    assert (whole.counts.never_ran, whole.shortfall) == (0, "")


@pytest.mark.parametrize(("code", "outcomes", "number"), [(0, [PASSED], 2), (5, [], 3), (0, [PASSED, SKIPPED], 1)])
def test_what_was_left_out_fails_a_run_that_ended_well(code: int, outcomes: list[Outcome], number: int) -> None:
    found = Report(PLAN, outcomes, {}, 0.0, 1.0, code, {"a": {"training": 3}})
    assert found.status == "not finished"
    assert found.shortfall == f"{number} checks never ran: pytest was made to leave them out (deselected)"
    data = json.loads(files.render_data(found))
    assert (data["status"], data["never_ran"]) == ("not finished", number)
    assert data["counts"]["not_tested"] == found.counts.not_tested >= number


def test_report_file_holds_every_check() -> None:
    found = Report(PLAN, [PASSED, FAILED, SKIPPED], {}, 0.0, 1.0, 1)
    data = json.loads(files.render_data(found))
    assert data["status"] == "failed"
    assert data["counts"] == {"passed": 1, "failed": 1, "not_tested": 1}
    assert data["not_tested"] == {"no driver": 1}
    assert [check["outcome"] for check in data["checks"]] == ["passed", "failed", "skipped"]
    assert data["targets"][0]["title"] == "cuda10.0-gpu (cuFFT, cuSOLVER: stand-ins)"
    assert data["targets"][0]["evidence"]["xor"] == {}


def test_report_file_holds_the_training_without_the_curves() -> None:
    text = files.render_data(fake.make_report())
    data = {target["identity"]: target["evidence"] for target in json.loads(text)["targets"]}
    xor = data["cuda10.0-cpu"]["xor"]
    assert xor["xor_keras"]["steps"] == 400
    assert xor["xor_keras"]["final_loss"] == pytest.approx(0.0108, abs=1e-4)
    assert xor["xor_keras"]["worst_difference_from_numpy"] <= 1.1e-7
    assert [len(weights) for weights in xor["xor_keras"]["weights"]] == [2, 8, 8, 1]
    assert max(data["cuda10.0-cpu"]["seeds"].values()) == pytest.approx(0.021, abs=5e-4)
    assert data["cuda9.0-cpu"]["gaps"] == {
        "xor_graph": "the program xor_graph failed: ImportError: libfoo.so.1: no such file"
    }
    assert "losses" not in text
    assert len(text) < 100_000


def test_report_file_is_json_even_for_a_net_that_diverged() -> None:
    net = {
        "losses": [0.7, math.nan], "output": [math.inf, 0.0, 0.0, 0.0], "table": [0, 0, 0, 0],
        "weights": [[[1.0], [1.0]], [1.0], [[1.0]], [math.nan]], "device": "CPU",
    }  # fmt: skip
    training = {"xor_keras": {"result": net, "error": None}}
    found = Report(PLAN, [], {"a": {"training": training}}, 0.0, 1.0, 1)
    text = files.render_data(found)
    assert json.loads(text, parse_constant=pytest.fail)
    assert '"final_loss": null' in text
