"""`make doctor` as a whole: what cannot be found out, its exit code, and what it says on Windows."""

from __future__ import annotations

import dataclasses
import inspect
import json
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from fakes.doctor import (
    CPU_ONLY,
    GPUS,
    MACHINE,
    NO_ENGINE,
    OFFLINE,
    make_facts,
    make_wish,
    without_fact,
)
from gpuenv import cli
from gpuenv.core import ui
from gpuenv.doctor import command as doctor
from gpuenv.doctor.facts import Toolkit
from gpuenv.doctor.gather import Facts
from gpuenv.engine import find
from gpuenv.net import questions as doctor_ask

#: Far longer than any deadline in these tests, so that a loaded machine decides nothing.
HANG_S = 30


@pytest.mark.parametrize("name", [probe.name for probe in doctor.make_probes(make_wish())])
def test_whatever_could_not_be_found_out_the_report_is_made(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.report(without_fact(name, "something"), is_json=False) in (0, 2)
    assert "recommendation:" in capsys.readouterr().out


def test_a_machine_that_says_what_nobody_foresaw_does_not_cost_the_report() -> None:
    odd = replace(GPUS, host=replace(GPUS.host, driver="[N/A]"))
    found = doctor.apply("variants", make_facts(odd))
    assert [finding.severity for finding in found] == ["unknown"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ([], 0),
        ([CPU_ONLY], 0),
        ([CPU_ONLY, NO_ENGINE], 0),
        ([replace(MACHINE, flags=None)], 0),
        ([replace(MACHINE, architecture="aarch64")], 2),
        ([Toolkit()], 2),
        ([CPU_ONLY, NO_ENGINE, OFFLINE], 2),
    ],
)
def test_the_exit_code(changes: list[object], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.report(make_facts(*changes), is_json=False) == code
    assert capsys.readouterr().out


def test_standard_output_is_json_whatever_is_said_beside_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gather_and_warn(*_: object) -> Facts:
        ui.warn("take care")
        return make_facts()

    monkeypatch.setattr(doctor, "gather", gather_and_warn)
    assert cli.main(["doctor", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["recommendation"]
    assert captured.err == "gpuenv: warning: take care\n"


def test_on_windows_it_says_what_to_do_there() -> None:
    code = """
import sys
for name in ("fcntl", "grp", "pwd", "resource", "termios", "tty"):
    sys.modules[name] = None
import os, signal
del os.getuid, signal.SIGHUP, signal.SIGQUIT
from gpuenv import cli
from gpuenv.net import questions as doctor_ask
from gpuenv.host import systems
systems.detect = lambda: "windows"
doctor_ask.ask_all = lambda asked: {one.url: doctor_ask.Answer(one.kind, one.name, "no network") for one in asked}
sys.exit(cli.main(["doctor", "--json"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    said = {one["check"]: one for one in json.loads(done.stdout)["findings"]}
    assert "this is Windows itself" in said["kernel"]["message"]
    assert said["kernel"]["remedy"].startswith("wsl --install")
    assert said["engine"]["severity"] == "unknown"
    assert said["proxy"]["severity"] == said["pip-settings"]["severity"] == "ok"


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with neither engine nor network: name servers hang, nothing may be installed."""
    monkeypatch.setenv("GPUENV_INSTALL_ENGINE", "0")
    monkeypatch.setattr(find, "docker_endpoints", lambda: iter(()))
    monkeypatch.setattr(find, "podman_endpoints", lambda: iter(()))
    monkeypatch.setattr(doctor_ask, "ask", lambda *_: time.sleep(HANG_S))


@pytest.mark.usefixtures("bare")
def test_without_engine_and_network_nothing_is_waited_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What waits for more than a first sign waits for this; how long it takes in all is measured in tests/e2e.
    monkeypatch.setattr(doctor_ask, "ANSWERS_S", HANG_S)
    monkeypatch.setattr(doctor, "NETWORK_DEADLINE_S", HANG_S)
    began = time.monotonic()
    code = cli.main(["doctor", "--json"])
    assert time.monotonic() - began < HANG_S / 2
    said = json.loads(capsys.readouterr().out)
    assert code in (0, 2)
    assert {one["check"] for one in said["findings"] if one["severity"] == "unknown"} >= {
        "index",
        "registry",
        "archives",
    }


def test_an_unknown_variant_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--variant", "cuda10"]) == 2
    assert "VARIANT=cuda10.0" in capsys.readouterr().err


@pytest.mark.parametrize("check", doctor.CHECKS)
def test_on_the_good_machine_every_check_passes(check: str) -> None:
    found = doctor.apply(check, make_facts())
    assert found
    assert {finding.severity for finding in found} == {"ok"}


def test_checks_take_the_facts_that_their_parameters_name() -> None:
    fields = {field.name: str(field.type).removeprefix("facts.") for field in dataclasses.fields(Facts)}
    for check in doctor.CHECKS.values():
        parameters = inspect.signature(check).parameters.values()
        assert parameters, check
        assert [fields[one.name] for one in parameters] == [one.annotation for one in parameters], check
