"""The files in reports/: written whatever happened, and never in the way of the verdict."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from fakes import report as fake
from gpuenv.core import atomic
from gpuenv.core.errors import HostError
from gpuenv.harness import command as harness
from gpuenv.harness.report import files as report_files
from gpuenv.harness.report.model import Report, add_result

pytestmark = pytest.mark.usefixtures("words_only")


def write_run(folder: Path) -> Path:
    """What pytest leaves behind when it is stopped in the middle of a line."""
    results = folder / "results.jsonl"
    add_result(results, "expected", **{fake.GOOD.identity: {"identity": 5, "training": 6}})
    for name, data in fake.findings(fake.GOOD).items():
        add_result(results, "finding", target=fake.GOOD.identity, name=name, data=data)
    for outcome in fake.outcomes_of(fake.GOOD)[:4]:
        add_result(results, "outcome", **dataclasses.asdict(outcome))
    with results.open("a") as stream:
        stream.write('{"outcome": {"check"')
    return results


def collect(folder: Path) -> Report:
    return Report(fake.make_report().plan, began=fake.BEGAN).update(write_run(folder))


def test_an_interrupted_run_is_collected(tmp_path: Path) -> None:
    found = collect(tmp_path)
    assert (len(found.outcomes), found.status, found.counts.never_ran) == (4, "interrupted", 7)
    assert found.of(fake.GOOD).trained_on == ("CPU",)
    assert found.of(fake.MISSING).nets == {}


def test_run_that_left_nothing_is_reported(tmp_path: Path) -> None:
    found = Report(fake.make_report().plan, exit_code=4).update(tmp_path / "results.jsonl")
    assert (found.outcomes, found.status) == ([], "not finished")


def test_unreadable_results_are_said_and_lose_no_outcome(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = write_run(tmp_path)
    results.write_text("{\n" + results.read_text())
    found = Report(fake.make_report().plan, exit_code=1).update(results)
    assert len(found.outcomes) == 4
    # A line that is lost may be that of a failure.
    lost = Report(found.plan, found.outcomes[:1], exit_code=0, unreadable=1)
    assert (lost.status, lost.is_cut_off) == ("not finished", False)
    assert "1 lines of the results cannot be read" in report_files.render_page(lost)
    harness.report(found, tmp_path, None)
    assert "warning: 1 lines of the results cannot be read" in capsys.readouterr().err


def test_both_files_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report_files.save(collect(tmp_path), tmp_path)
    assert json.loads((tmp_path / "report.json").read_text())["never_ran"] == 7
    assert "7 checks never ran" in (tmp_path / "report.html").read_text()
    assert capsys.readouterr().err == f"gpuenv: the whole report: {tmp_path / 'report.html'}\n"


def test_page_that_cannot_be_written_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write = atomic.write_text

    def fail(path: Path, text: str) -> None:
        if path.name == "report.html":
            raise OSError("disk full")
        write(path, text)

    monkeypatch.setattr(atomic, "write_text", fail)
    report_files.save(collect(tmp_path), tmp_path)
    assert capsys.readouterr().err == "gpuenv: warning: report.html was not written: OSError: disk full\n"
    assert not (tmp_path / "report.html").exists()
    assert (tmp_path / "report.json").exists()


def test_files_of_an_earlier_run_go_first(tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    for left in ([], ["mine.txt"]):
        with report_files.claimed(folder) as claimed:
            assert claimed == folder
            assert [path.name for path in folder.glob("[!.]*")] == left
        for name in ("report.html", "junit.xml", "mine.txt"):
            (folder / name).write_text("old")


def test_runs_at_once_have_a_folder_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "reports"
    with report_files.claimed(folder) as first:
        (first / "report.html").write_text("first")
        with report_files.claimed(folder) as second, report_files.claimed(folder) as third:
            assert (first, second, third) == (folder, folder / "2", folder / "3")
            (second / "report.html").write_text("second")
        assert (first / "report.html").read_text() == "first"
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"gpuenv: another test-env writes to {folder}: the reports of this one go to {second}"
    # Once the others have ended, the usual folder is free; what they wrote stays.
    with report_files.claimed(folder) as again:
        assert again == folder
    assert (second / "report.html").read_text() == "second"


def test_reports_that_cannot_be_written_are_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file of that name")
    with (
        pytest.raises(HostError, match="the reports cannot be written") as caught,
        report_files.claimed(tmp_path / "reports"),
    ):
        pytest.fail("it went on")
    assert str(tmp_path / "reports") in caught.value.why


def test_what_a_run_raises_is_no_fault_of_its_folder(tmp_path: Path) -> None:
    with pytest.raises(BlockingIOError), report_files.claimed(tmp_path):
        raise BlockingIOError


@pytest.mark.parametrize(("code", "shown"), [(0, False), (1, False), (None, False), (2, True), (4, True)])
def test_pytest_that_could_not_go_on_is_heard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], code: int | None, shown: bool
) -> None:
    log = tmp_path / "pytest.log"
    log.write_text("ERROR: usage\n")
    harness.report(dataclasses.replace(fake.make_report(), exit_code=code), tmp_path, log)
    text = capsys.readouterr().err
    assert ("ERROR: usage" in text) == shown
    assert f"the output of every failing command: {log}" in text


def test_what_pytest_wrote_is_taken_along_as_far_as_it_came(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = tmp_path / "written.xml"
    report_files.take_junit(written, tmp_path)
    assert not list(tmp_path.iterdir())
    written.write_text("<x/>")
    report_files.take_junit(written, tmp_path)
    assert (tmp_path / "junit.xml").read_text() == "<x/>"
    assert capsys.readouterr().err == ""
    (tmp_path / "file").touch()
    report_files.take_junit(written, tmp_path / "file")
    assert "junit.xml was not written" in capsys.readouterr().err
