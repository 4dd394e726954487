"""Write the files in ``reports/``: report.json for programs, and report.html with everything that a run found.

What programs printed is text on the page, never markup: the templates escape every value; a content policy on the page
itself forbids scripts and every outside resource.
"""

from __future__ import annotations

import itertools
import json
import platform
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from gpuenv.core import atomic, locking, ownership, paths, ui
from gpuenv.core.errors import HostError, full_disk
from gpuenv.harness.judges.training import CURVE_TOLERANCE, XOR_ERROR_MAX
from gpuenv.harness.report.evidence import PACKAGES, summarize
from gpuenv.harness.report.learned import learn
from gpuenv.harness.report.model import GROUPS, Report, count
from gpuenv.harness.report.pictures import STRIP_END
from gpuenv.harness.report.table import render_duration

if TYPE_CHECKING:
    from jinja2 import Template

PAGE, DATA, JUNIT, LOG = "report.html", "report.json", "junit.xml", "pytest.log"


@contextmanager
def claimed(folder: Path) -> Iterator[Path]:
    """The folder for one run's files: ``folder``, or ``folder/2`` and so on while others run.

    It has no files of an earlier run: one that is killed leaves none that look like its own. Raises HostError where
    nothing can be written, or where others may choose what is.
    """
    with ExitStack() as stack:
        try:
            for place in itertools.chain([folder], (folder / str(number) for number in itertools.count(2))):
                _settle(place)
                try:
                    stack.enter_context(locking.held(place / ".lock", waiting=None))
                    break
                except BlockingIOError:
                    continue
            for name in (PAGE, DATA, JUNIT, LOG):
                (place / name).unlink(missing_ok=True)
        except OSError as error:
            said, remedy = (
                f"{error.filename}: {error.strerror}",
                "make that folder yours, or use a checkout of your own",
            )
            raise full_disk(error) or HostError("the reports cannot be written", said, remedy) from error
        if place != folder:
            ui.say(f"another test-env writes to {folder}: the reports of this one go to {place}")
        yield place


def _settle(place: Path) -> None:
    """Have the folder, which nobody else may write to. Raises OSError and HostError."""
    # 0755 whatever the umask: one that is open is refused the next time.
    place.mkdir(mode=0o755, parents=True, exist_ok=True)
    # Who may change the whole checkout (a group's; a drive of Windows has no modes) needs no reports for anything.
    if not paths.is_checkout() or ownership.problem(paths.project_root()) is None:
        ownership.check(place, way_out=f"remove it or `chmod 755 {place}`, or work in a folder of your own")


def take_junit(written: Path, folder: Path) -> None:
    """Take along what pytest wrote elsewhere: it follows links. What keeps it from being written is said."""
    try:
        atomic.write_text(folder / JUNIT, written.read_bytes().decode("utf-8", "replace"))
    except FileNotFoundError:
        return  # pytest did not come so far
    except OSError as error:
        ui.warn(f"{JUNIT} was not written: {error}")


def save(found: Report, folder: Path) -> None:
    """Write report.json and report.html. What keeps one from being written is said and hides no verdict."""
    for name, render in ((DATA, render_data), (PAGE, render_page)):
        try:
            atomic.write_text(folder / name, render(found))
        except Exception as error:  # noqa: BLE001, PERF203 - a full disk, or a result that nobody foresaw
            if ui.debug_enabled():
                ui.show_traceback()
            ui.warn(f"{name} was not written: {type(error).__name__}: {error}")
        else:
            if name == PAGE:
                ui.say(f"the whole report: {folder / name}")


def render_data(report: Report) -> str:
    """report.json: the run, its targets with what they showed (no loss curves), every outcome, the counts."""
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
    finite = ui.cleaned(json.loads(json.dumps(content, default=asdict), parse_constant=lambda _: None))
    return json.dumps(finite, indent=2, allow_nan=False) + "\n"


def render_page(report: Report) -> str:
    """report.html: the whole page."""
    return _load_page().render(
        report=report,
        ended=time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(report.ended)),
        machine=f"{platform.node()}, {platform.system()} {platform.machine()}",
        groups=[group for group in GROUPS if group != "upstream" or report.plan.upstream],
        count=count,
        render_duration=render_duration,
        learned=learn([(target, report.of(target)) for target in report.plan.targets]),
        packages=PACKAGES,
        tolerance=CURVE_TOLERANCE,
        limit=XOR_ERROR_MAX,
        strip_end=STRIP_END,
    )


@cache
def _load_page() -> Template:
    """The template of the page: to compile it takes longer than to render it."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("gpuenv.harness.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2")


def _finalize(value: Any) -> Any:
    """Every value of the templates, without what no page may hold."""
    text = ui.printable(str(value))
    return Markup(text) if isinstance(value, Markup) else text  # noqa: S704 - it was markup before
