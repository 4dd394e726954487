"""What the host says of its GPUs, and what the engine is asked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gpuenv.core.errors import HostError, UsageError
from gpuenv.host import gpu
from gpuenv.host.gpu import HostGpus

VERSION = """\
NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.256.02  Thu May  2 14:37:44 UTC 2024
GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)
"""
OPEN_VERSION = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build  (dvs-builder)  Mon Oct 27\n"
)
INFORMATION = """\
Model: \t\t Tesla V100-SXM2-16GB
IRQ:   \t\t 42
GPU UUID: \t GPU-{uuid}
Video BIOS: \t 88.00.4f.00.09
Bus Location: \t 0000:00:1e.0
"""
SMI = "1, GPU-bbb, 470.256.02, Tesla T4\n0, GPU-aaa, 470.256.02, Quadro, with a comma\n"
TWO = HostGpus("470.256.02", ("Tesla V100", "Tesla T4"), ("GPU-aaa", "GPU-bbb"))
#: Nobody can make it.
NOWHERE = Path(os.devnull, "nowhere")


def make_proc(folder: Path, *uuids: str) -> Path:
    (folder / "version").write_text(VERSION)
    for number, uuid in enumerate(uuids):
        card = folder / "gpus" / f"0000:0{number}:00.0"
        card.mkdir(parents=True)
        (card / "information").write_text(INFORMATION.format(uuid=uuid))
    return folder


def make_smi(folder: Path, script: str) -> str:
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("text", "expected"), [(VERSION, "470.256.02"), (OPEN_VERSION, "580.159.04"), ("", None), ("NVRM version: ?", None)]
)
def test_the_version_of_the_driver(text: str, expected: str | None) -> None:
    assert gpu.parse_driver_version(text) == expected


def test_a_sleeping_card_is_not_taken_for_known() -> None:
    assert gpu.parse_information(INFORMATION.format(uuid="a1")) == ("Tesla V100-SXM2-16GB", "GPU-a1")
    assert gpu.parse_information(INFORMATION.format(uuid="????????-????")) is None
    assert gpu.parse_information("") is None


def test_smi_is_read_in_the_order_of_the_cards() -> None:
    found = gpu.parse_smi(SMI)
    assert found == HostGpus("470.256.02", ("Quadro, with a comma", "Tesla T4"), ("GPU-aaa", "GPU-bbb"))
    assert gpu.parse_smi("") == HostGpus()
    with pytest.raises(ValueError, match="Unable"):
        gpu.parse_smi("Unable to determine the device handle")


def test_no_driver_needs_no_program(tmp_path: Path) -> None:
    assert gpu.host_gpus(tmp_path, NOWHERE, make_smi(tmp_path, "exit 1")) == HostGpus()


def test_the_driver_itself_is_asked_first(tmp_path: Path) -> None:
    found = gpu.host_gpus(make_proc(tmp_path, "a", "b"), NOWHERE, make_smi(tmp_path, "exit 1"))
    assert found.driver == "470.256.02"
    assert found.uuids == ("GPU-a", "GPU-b")
    assert found.problem is None


@pytest.mark.parametrize("uuids", [(), ("a", "????")])
def test_smi_is_asked_where_proc_is_silent(tmp_path: Path, uuids: tuple[str, ...]) -> None:
    smi = make_smi(tmp_path, "echo '0, GPU-x, 470.256.02, Tesla T4'")
    assert gpu.host_gpus(make_proc(tmp_path, *uuids), NOWHERE, smi).names == ("Tesla T4",)


def test_wsl_has_no_proc_but_a_device(tmp_path: Path) -> None:
    smi = make_smi(tmp_path, "echo '0, GPU-x, 537.13, GeForce RTX 2080'")
    assert gpu.host_gpus(NOWHERE, tmp_path, smi) == HostGpus("537.13", ("GeForce RTX 2080",), ("GPU-x",))


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo 'NVIDIA-SMI has failed because it could not communicate'; exit 9", "could not communicate"),
        ("exit 9", "exit code 9"),
        ("echo nonsense", "something unexpected: nonsense"),
    ],
)
def test_a_failing_smi_is_told(tmp_path: Path, script: str, expected: str) -> None:
    found = gpu.host_gpus(make_proc(tmp_path), NOWHERE, make_smi(tmp_path, script))
    assert found.driver == "470.256.02"
    assert found.problem is not None
    assert expected in found.problem


def test_a_hanging_smi_is_told(tmp_path: Path) -> None:
    found = gpu.run_smi(make_smi(tmp_path, "exec sleep 60"), "470.256.02", timeout_s=0.1)
    assert found.problem is not None
    assert "did not answer" in found.problem


def test_a_missing_smi_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "cannot be run" in str(gpu.run_smi(str(tmp_path / "none")).problem)
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setattr(gpu, "WSL_SMI", NOWHERE)
    assert "no nvidia-smi" in str(gpu.host_gpus(make_proc(tmp_path), NOWHERE).problem)


def test_the_default_flavor() -> None:
    assert gpu.default_flavor(HostGpus()) == "cpu"
    assert gpu.default_flavor(TWO) == "gpu"


def test_requests() -> None:
    assert gpu.device_requests(None, HostGpus()) == []
    assert gpu.device_requests("none", TWO) == []
    for value in (None, "all"):
        (request,) = gpu.device_requests(value, TWO)
        assert (request["Count"], request["DeviceIDs"]) == (-1, [])
    (request,) = gpu.device_requests("1, 0", TWO)
    assert (request["Count"], request["DeviceIDs"]) == (0, ["1", "0"])
    assert request["Capabilities"] == [["gpu", "compute", "utility"]]


@pytest.mark.parametrize("value", ["", "two", "0;1", "-1", "0,0", "0,", "²", "All"])
def test_nonsense_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="GPU 1: Tesla T4"):
        gpu.device_requests(value, TWO)


def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(HostError, match=r"no GPU 2\n.*GPU 0: Tesla V100; GPU 1: Tesla T4"):
        gpu.device_requests("0,2", TWO)
    for value in ("all", "0"):
        with pytest.raises(HostError, match="no NVIDIA driver"):
            gpu.device_requests(value, HostGpus())


@pytest.mark.parametrize(
    ("value", "chosen"), [("0", ["0"]), ("0,1,-1,0", ["0", "1"]), ("2,0", []), ("GPU-a,GPU-x", ["GPU-a"]), (",0", [])]
)
def test_cuda_stops_reading_at_the_first_that_is_no_device(value: str, chosen: list[str]) -> None:
    host = HostGpus("470.57.02", ("T4", "T4"), ("GPU-aa", "GPU-bb"))
    assert gpu.choose_devices("CUDA_VISIBLE_DEVICES", value, host)[0] == chosen
