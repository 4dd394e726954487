"""Write the files in ``reports/``."""

from __future__ import annotations

import json
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gpuenv.core import ui
from gpuenv.harness.report import page
from gpuenv.harness.report.evidence import summarize
from gpuenv.harness.report.model import FINISHED, Report

PAGE, DATA, JUNIT, LOG = "report.html", "report.json", "junit.xml", "pytest.log"
#: Lines of pytest's output that are shown when it did not run to its end.
LAST_LINES = 30


def clear(folder: Path) -> Path:
    """The folder, without the files of an earlier run: a run that is killed leaves none that look like its own."""
    folder.mkdir(exist_ok=True)
    for name in (PAGE, DATA, JUNIT, LOG):
        (folder / name).unlink(missing_ok=True)
    return folder


def save(found: Report, folder: Path) -> None:
    """Write report.json and report.html. What keeps one from being written is said and hides no verdict."""
    for path, write in ((folder / DATA, save_data), (folder / PAGE, page.save_page)):
        try:
            write(found, path)
        except Exception as error:  # noqa: BLE001, PERF203 - a full disk, or a result that nobody foresaw
            if ui.debug_enabled():
                traceback.print_exc()
            path.unlink(missing_ok=True)  # half a report looks like one
            ui.warn(f"{path.name} was not written: {type(error).__name__}: {error}")
        else:
            if path.name == PAGE:
                ui.say(f"the whole report: {path}")


def save_data(report: Report, path: Path) -> None:
    """Write report.json: the run, its targets with what they showed (no loss curves), every outcome, the counts."""
    counts = report.counts
    content: dict[str, Any] = {
        "status": report.status,
        "began": report.began,
        "ended": report.ended,
        "targets": [
            {**asdict(target), "host": target.address, "title": target.title, "evidence": summarize(report.of(target))}
            for target in report.plan.targets
        ],
        "host_driver": report.plan.host_driver,
        "counts": {"passed": counts.passed, "failed": counts.failed, "not_tested": counts.not_tested},
        "never_ran": counts.never_ran,
        "not_tested": counts.reasons,
        "left_out": report.plan.left_out,
        "checks": report.outcomes,
    }
    # JSON has no word for infinity or "not a number", which a net that diverges arrives at: null stands for both.
    finite = json.loads(json.dumps(content, default=asdict), parse_constant=lambda _: None)
    path.write_text(json.dumps(finite, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def say_ending(found: Report, log: Path) -> None:
    """Where pytest's output is; and the end of it, where pytest itself could not go on."""
    if found.exit_code is not None and found.exit_code not in FINISHED:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        for line in lines[-LAST_LINES:]:
            ui.say(line)
    if found.status != "passed":
        ui.say(f"the output of every failing command: {log}")
