"""The harness: every check runs on every target of the plan, through a testinfra connection.

``make test-env`` writes the plan and starts pytest on this folder. A check carries
``@pytest.mark.check("group/name")``; its id in reports is that name, with its parameter behind it.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from _pytest._code.code import ReprExceptionInfo, ReprFileLocation, ReprTracebackNative
from xdist.scheduler import LoadScopeScheduling

from gpuenv.core import ui
from gpuenv.core.errors import GpuenvError
from gpuenv.engine.model import Engine
from gpuenv.explain import command as explain
from gpuenv.harness.report.model import GROUPS, KEPT, NOT_TESTED, add_result, describe_error, find_group
from gpuenv.harness.targets.connection import Connection, Output, ProgramResult
from gpuenv.harness.targets.container import connect
from gpuenv.harness.targets.model import Plan, Target, load_plan
from gpuenv.variants import model as variants
from gpuenv.variants.locks import linux_pins, load_lock
from gpuenv.variants.model import Variant

PLAN = pytest.StashKey[Plan]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--plan", help="the JSON file that says what is tested (written by `make test-env`)")
    parser.addoption("--results", help="a file that gets one JSON line for each finished check")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "check(name): the stable id of a check, group/name")
    config.addinivalue_line("markers", "flavors(*names): only targets of these flavors")
    config.addinivalue_line("markers", "added: only targets with packages of the user's")
    config.addinivalue_line("markers", "kinds(*names): only targets of these kinds")
    if config.getoption("--plan") is None:
        raise pytest.UsageError("these checks need targets: run `make test-env`")
    config.stash[PLAN] = load_plan(Path(config.getoption("--plan")))
    if config.getoption("--results"):
        config.pluginmanager.register(_Keeper(Path(config.getoption("--results"))))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A case for each target that the check is about, each distribution of its lock, or each part of Keras' tests."""
    plan = metafunc.config.stash[PLAN]
    if "planned" in metafunc.fixturenames:
        metafunc.parametrize("planned", plan.targets, ids=[target.identity for target in plan.targets])
    if "target" not in metafunc.fixturenames:
        return
    targets = [target for target in plan.testable if _is_meant(metafunc.definition, target)]
    for more, list_names in (("distribution", _distributions), ("part", _parts if plan.upstream else _nothing)):
        if more in metafunc.fixturenames:
            pairs = [(target, name) for target in targets for name in list_names(target)]
            ids = [f"{target.identity}-{name}" for target, name in pairs]
            metafunc.parametrize(("target", more), pairs, ids=ids, indirect=["target"], scope="session")
            break
    else:
        ids = [target.identity for target in targets]
        metafunc.parametrize("target", targets, ids=ids, indirect=True, scope="session")


def _is_meant(item: pytest.Item, target: Target) -> bool:
    for marker, value in (("flavors", target.flavor), ("kinds", target.kind)):
        found = item.get_closest_marker(marker)
        if found is not None and value not in found.args:
            return False
    return item.get_closest_marker("added") is None or bool(target.added)


def _distributions(target: Target) -> list[str]:
    variant = variants.find_variant(target.variant)
    return [pin.name for pin in linux_pins(load_lock(variant.lock_path(target.flavor)))]


def _parts(target: Target) -> Sequence[str]:
    upstream = variants.find_variant(target.variant).upstream
    return (*upstream.tests, *upstream.left_out) if upstream else ()


def _nothing(_: Target) -> Sequence[str]:
    return ()


def pytest_itemcollected(item: pytest.Item) -> None:
    """What the reports are about."""
    target = _param_of(item)
    if isinstance(target, Target):
        item.user_properties += [("target", target.identity), ("check", _check_name(item, target))]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """With several jobs, each target stays in one process, and so has one container at a time.

    xdist's own --dist loadgroup does this by changing node ids, which pytest 9.2 does not take over any more.
    """
    return ByTarget(config, log)


class ByTarget(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out all checks of one target at once."""

    def _split_scope(self, nodeid: str) -> str:
        plan: Plan = self.config.stash[PLAN]
        names = (target.identity for target in plan.targets)
        # One target's name may be how another's begins: the longest that fits is meant.
        return max((name for name in names if f"[{name}" in nodeid), key=len)


# Around all such hooks: options leave out cases in theirs, and pytest's own sorts by the parameters of fixtures.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Count what the plan wants; then, of what is left, target by target and group by group."""
    # A check without a target in this plan (gpu checks of cpu targets) is no case at all.
    items[:] = [item for item in items if isinstance(_param_of(item), Target)]
    _tell_expected(config, items)
    yield
    order = {target: position for position, target in enumerate(config.stash[PLAN].targets)}
    items.sort(key=lambda item: (order[_target_of(item)], GROUPS.index(find_group(_marked(item)))))


def _tell_expected(config: pytest.Config, items: list[pytest.Item]) -> None:
    """How many checks there are. With several jobs each worker counts them all, and they say the same."""
    results = config.getoption("--results")
    if results and items:
        counted: dict[str, Counter[str]] = {}
        for item in items:
            counted.setdefault(_target_of(item).identity, Counter())[find_group(_marked(item))] += 1
        add_result(Path(results), "expected", **counted)


def _param_of(item: pytest.Item) -> object:
    assert isinstance(item, pytest.Function)
    assert hasattr(item, "callspec"), f"{item.nodeid} asks for no target"
    params = item.callspec.params
    return params["target"] if "target" in params else params["planned"]


def _target_of(item: pytest.Item) -> Target:
    found = _param_of(item)
    assert isinstance(found, Target)
    return found


def _marked(item: pytest.Item) -> str:
    marker = item.get_closest_marker("check")
    assert marker is not None, f"{item.nodeid} has no check marker"
    return str(marker.args[0])


def _check_name(item: pytest.Item, target: Target) -> str:
    assert isinstance(item, pytest.Function)
    more = item.callspec.id.replace(target.identity, "").strip("-")
    return _marked(item) + (f"/{more}" if more else "")


# --- fixtures ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def plan(pytestconfig: pytest.Config) -> Plan:
    return pytestconfig.stash[PLAN]


@pytest.fixture(scope="session")
def engine(plan: Plan) -> Engine:
    """What runs the images."""
    assert plan.engine is not None, "an image target needs an engine"
    return plan.engine


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Target:
    found = request.param
    assert isinstance(found, Target)
    return found


@pytest.fixture(scope="session")
def variant(target: Target) -> Variant:
    return variants.find_variant(target.variant)


@pytest.fixture(scope="session")
def connection(target: Target, plan: Plan) -> Iterator[Connection]:
    with connect(target, plan) as connected:
        yield connected


@pytest.fixture(scope="session")
def bare(connection: Connection, target: Target, plan: Plan) -> Iterator[Connection]:
    """An image as it is, with nothing of this run over it; for others the same as ``connection``."""
    if target.kind != "image":
        yield connection
        return
    with connect(target, plan, is_bare=True) as connected:
        yield connected


@pytest.fixture(scope="session")
def facts(connection: Connection, request: pytest.FixtureRequest) -> ProgramResult:
    _begin(connection, request, "records", "identity/records")
    return connection.program("facts")


@pytest.fixture(scope="session")
def frameworks(connection: Connection) -> ProgramResult:
    return connection.program("frameworks")


@pytest.fixture(scope="session")
def imported(connection: Connection) -> ProgramResult:
    return connection.program("imports")


@pytest.fixture(scope="session")
def training(connection: Connection, request: pytest.FixtureRequest) -> ProgramResult:
    # The small nets of the training programs keep one core busy.
    _begin(connection, request, "notebook", "notebook/plot")
    return connection.program("training")


def _begin(connection: Connection, request: pytest.FixtureRequest, program: str, check: str) -> None:
    """Start a program of a check that is going to run on this target."""
    if any(_marked(item) == check and _target_of(item) == connection.target for item in request.session.items):
        connection.begin(program)


@pytest.fixture(autouse=True)
def _fresh_trail(request: pytest.FixtureRequest) -> None:
    """A failing check shows what it ran, not what others ran before."""
    if "connection" in request.fixturenames:
        request.getfixturevalue("connection").trail.clear()


# --- what the reports show --------------------------------------------------------------------


class _Keeper:
    """Hands what programs found in a target to the command: this process' memory ends with the run.

    A plugin of its own, because pytest asks a folder's conftest.py about no fixture of the whole session.
    """

    def __init__(self, results: Path) -> None:
        self.results = results

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Iterator[None]:
        result: Any = yield
        if fixturedef.argname in KEPT and isinstance(result, ProgramResult):
            identity = request.getfixturevalue("target").identity
            add_result(self.results, "finding", target=identity, name=fixturedef.argname, data=result.data)
        return result  # type: ignore[no-any-return]


# --- what a failing check says ----------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Three lines first (what, likely cause, next command), then the command and both its streams."""
    report: Any = yield
    # All of it goes to a terminal and into junit.xml, and holds what others wrote: a host, the programs on it.
    report.sections = [(name, ui.printable(text)) for name, text in report.sections]
    if isinstance(report.longrepr, tuple):
        report.longrepr = tuple(ui.cleaned(report.longrepr))
    error = call.excinfo.value if call.excinfo is not None else None
    if error is None or report.outcome != "failed":
        return report  # type: ignore[no-any-return]
    output = str(report.longrepr)
    if isinstance(error, GpuenvError):
        report.user_properties.append(("what", ui.printable(error.what)))
        if os.environ.get("GPUENV_DEBUG", "0") in ("", "0"):
            outputs = "\n\n".join(one.render() for one in _outputs_of(item))
            output = f"{explain.note(outputs)}\n{outputs}"
            report.longrepr = _text_report(f"{error}\n{output}".rstrip(), error.what, item)
    parts = describe_error(error)
    if ui.printable(str(report.longrepr)) != str(report.longrepr):
        report.longrepr = _text_report(str(report.longrepr), parts["what"], item)
    # Travels with the report from xdist's workers, as all its attributes do.
    report.parts = ui.cleaned({**parts, "output": output.strip()})
    return report  # type: ignore[no-any-return]


def _text_report(text: str, what: str, item: pytest.Item) -> ReprExceptionInfo:
    """A report that shows ``text``, and ``what`` in pytest's closing list; it survives xdist's transport."""
    path, line, _ = item.location
    text, what = ui.printable(text + "\n"), ui.printable(what)
    return ReprExceptionInfo(ReprTracebackNative([text]), ReprFileLocation(path, (line or 0) + 1, what))


def _outputs_of(item: pytest.Item) -> list[Output]:
    arguments: dict[str, Any] = getattr(item, "funcargs", {})
    outputs = [value.output for value in arguments.values() if isinstance(value, ProgramResult)]
    connected = arguments.get("connection")
    if isinstance(connected, Connection):
        outputs += [output for output in connected.trail if output not in outputs]
    return outputs


# --- results, one line each, as they come -------------------------------------------------------


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    writer = _writers.get("results")
    if writer is not None:
        writer.add(report)


class _Writer:
    """Joins the three phases of a check (set-up, call, tear-down) into one line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds: dict[str, float] = {}
        self.done: dict[str, dict[str, Any]] = {}

    def add(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if report.when == "call" or report.outcome != "passed":
            self.done[report.nodeid] = _describe(report)
        if report.when == "teardown":
            line = self.done.pop(report.nodeid)
            line["seconds"] = round(self.seconds.pop(report.nodeid), 3)
            add_result(self.path, "outcome", **line)


def _describe(report: pytest.TestReport) -> dict[str, Any]:
    properties = dict(report.user_properties)
    outcome: str = report.outcome
    parts = {"what": "", "why": "", **getattr(report, "parts", {})}
    if outcome == "skipped" and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if reason.startswith(NOT_TESTED):
            parts["why"] = reason.removeprefix(NOT_TESTED)
        else:
            # A skip that does not say what was not tested would pass by being absent.
            outcome, parts["what"] = "failed", reason or "it was skipped without a reason"
    return {
        "check": properties["check"],
        "target": properties["target"],
        "group": find_group(str(properties["check"])),
        "outcome": outcome,
        **parts,
        "nodeid": report.nodeid,
        "finished": time.time(),
    }


_writers: dict[str, _Writer] = {}


def pytest_sessionstart(session: pytest.Session) -> None:
    path = session.config.getoption("--results")
    if path and not hasattr(session.config, "workerinput"):
        _writers["results"] = _Writer(Path(path))
