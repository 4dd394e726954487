"""Targets, and the plan of a run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from gpuenv.engine.model import Engine
from gpuenv.harness.targets.model import Plan, Target, label_of, load_plan, save_plan

IMAGE = Target("cuda10.0-cpu", "image", "cuda10.0", "cpu", image="sha256:1")
INDEX = Target("cuda10.0-gpu-index", "image", "cuda10.0", "gpu", "index", image="sha256:2")
VENV = Target("cuda9.0-venv", "venv", "cuda9.0", "cpu", prefix="/opt/x")
ENGINE = Engine("docker", "unix:///run/x.sock", "it answers", "1.41", Path("/tls"))


def test_what_is_simulated_is_called_so() -> None:
    assert INDEX.title == "cuda10.0-gpu (cuFFT, cuSOLVER: stand-ins)"
    assert IMAGE.title == "cuda10.0-cpu"
    assert VENV.title == "cuda9.0-cpu (virtual environment)"


def test_plan_survives_its_file(tmp_path: Path) -> None:
    gone = dataclasses.replace(IMAGE, missing="no source answers", is_required=True)
    plan = Plan("r1", (INDEX, VENV, gone), ENGINE, "450.1", require_gpu=True)
    save_plan(plan, tmp_path / "plan.json")
    found = load_plan(tmp_path / "plan.json")
    assert found.targets == plan.targets
    assert found.testable == (INDEX, VENV)
    assert (found.run, found.host_driver, found.require_gpu) == ("r1", "450.1", True)
    assert found.engine == ENGINE


def test_engine_without_certificates_survives_too(tmp_path: Path) -> None:
    engine = dataclasses.replace(ENGINE, tls_dir=None)
    save_plan(Plan("r1", (), engine), tmp_path / "plan.json")
    assert load_plan(tmp_path / "plan.json").engine == engine


@pytest.mark.parametrize(
    ("address", "label"),
    [
        ("ssh://lab1", "ssh://lab1"),
        ("ssh://me:secret@lab1:22?ssh_config=/c", "ssh://me@lab1:22"),
        ("ssh://me:sec@ret@lab1", "ssh://me@lab1"),
        ("local://", "local://"),
        ("chroot:///srv/x?sudo=true", "chroot:///srv/x"),
    ],
)
def test_addresses_are_shown_without_password_and_settings(address: str, label: str) -> None:
    assert label_of(address) == label
