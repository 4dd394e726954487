"""Probes that are asked at the same time, with a deadline; what does not answer is told."""

from __future__ import annotations

import inspect
import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from fakes.doctor import (
    GPUS,
    MACHINE,
    make_facts,
    make_wish,
)
from gpuenv.core.errors import HostError
from gpuenv.doctor import command as doctor
from gpuenv.doctor import gather as doctor_probes
from gpuenv.doctor.gather import Probe, Unanswered, gather


def fail() -> object:
    raise RuntimeError("broken")


def refuse() -> object:
    raise HostError("the folder cannot be made", "it is read-only", "another one")


#: Far longer than any deadline in these tests, so that a loaded machine decides nothing.
HANG_S = 30


def hang() -> object:
    time.sleep(HANG_S)
    return MACHINE


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (fail, "RuntimeError: broken"),
        (refuse, "the folder cannot be made: it is read-only"),
        (hang, "no answer within 0.2 s"),
    ],
)
def test_a_probe_without_an_answer_is_a_finding_and_not_a_pass(ask: Any, reason: str) -> None:
    began = time.monotonic()
    probes = [Probe("machine", "the processor", ask, "uname -a", 0.2), Probe("gpus", "GPUs", lambda: GPUS, "x")]
    found = gather(probes, make_wish())
    assert time.monotonic() - began < HANG_S / 2
    assert found.gpus == GPUS
    assert found.unanswered == {"machine": Unanswered("the processor", reason, "uname -a")}
    findings = doctor.examine(replace(make_facts(), machine=found.machine, unanswered=found.unanswered))
    touched = {name for name, check in doctor.CHECKS.items() if "machine" in inspect.signature(check).parameters}
    said = {finding.check: finding for finding in findings if finding.severity == "unknown"}
    assert set(said) == touched
    assert said["avx"].message == f"the processor could not be found out: {reason}"
    assert said["avx"].remedy == "uname -a"


def test_probes_run_at_the_same_time() -> None:
    names = [probe.name for probe in doctor.make_probes(make_wish())]
    # Each waits for all the others: one after the other they would never answer.
    together = threading.Barrier(len(names))
    found = gather([Probe(name, "a barrier", together.wait, "x", HANG_S) for name in names], make_wish())
    assert not found.unanswered


def test_what_takes_long_is_told_and_is_no_reason_to_wait_longer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor_probes, "PATIENCE_S", 0.1)
    began = time.monotonic()
    slow = Probe("gpus", "the NVIDIA driver", hang, "nvidia-smi", 0.3)
    gather([slow, Probe("machine", "the processor", hang, "x", 0.05)], make_wish())
    assert time.monotonic() - began < HANG_S / 2
    assert capsys.readouterr().err == "gpuenv: still waiting for the NVIDIA driver (0.3 s at most)\n"
