"""``reports/report.json``: a run for programs. Curves are left out; what they came to is in it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gpuenv.harness.report.evidence import summarize
from gpuenv.harness.report.model import Report


def save_report(report: Report, path: Path) -> None:
    """Write ``report.json``: the run, its targets with what they showed, every outcome, the counts."""
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
        "never_ran": report.never_ran,
        "not_tested": dict(counts.reasons),
        "left_out": report.plan.left_out,
        "checks": [asdict(outcome) for outcome in report.outcomes],
    }
    path.write_text(json.dumps(_only_numbers(content), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _only_numbers(value: Any) -> Any:
    """JSON has no word for infinity or "not a number", which a net that diverges arrives at: null stands for both."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _only_numbers(one) for key, one in value.items()}
    return [_only_numbers(one) for one in value] if isinstance(value, (list, tuple)) else value
