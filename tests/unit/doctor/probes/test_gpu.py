"""The probe of the driver and its cards: by NVML, by nvidia-smi, and by neither."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from fakes.doctor import write_script
from gpuenv.doctor.facts import Gpus, Memory
from gpuenv.doctor.probes import gpu as doctor_probe_gpu
from gpuenv.host import gpu
from gpuenv.host.gpu import HostGpus
from gpuenv.variants.compat import Card
from simulated.host import build, scenario


def test_nodes_that_are_missing_and_nodes_that_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The number of a node is the kernel's: in a container of a cluster it need not be 0.
    for name in ("nvidiactl", "nvidia3"):
        (tmp_path / name).touch()
    monkeypatch.setattr(os, "access", lambda path, _: path.name != "nvidia3")
    assert doctor_probe_gpu.look_at_nodes(tmp_path, 1) == (("nvidia-uvm",), ("nvidia3",))
    assert doctor_probe_gpu.look_at_nodes(tmp_path, 2)[0] == ("nvidia-uvm", "nvidia0")


def test_nobody_needs_nvidia_smi_on_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(gpu, "WSL_SMI", tmp_path / "none")
    monkeypatch.setattr(gpu, "host_gpus", lambda: HostGpus("470.57.02", ("Tesla T4",), ("GPU-1",)))
    found = doctor_probe_gpu.gpus()
    assert (found.problem, found.memory_problem) == (None, "NVML cannot be loaded")
    assert found.cards == (Card(0, "Tesla T4", "7.5"),)


needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc on this machine to compile a library")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build.compile_programs(tmp_path_factory.mktemp("programs"))


def simulate(name: str, programs: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make this machine the simulated host ``name``, without an nvidia-smi on PATH."""
    build.make_root(programs, scenario.find_scenario(name), root)
    monkeypatch.setenv("GPUENV_NVIDIA_PROC", str(root / "proc/driver/nvidia"))
    monkeypatch.setenv("GPUENV_SIMULATED_ROOT", str(root))
    monkeypatch.setenv("PATH", os.devnull)
    return root


@needs_gcc
def test_cards_and_their_memory_by_nvml(programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulate("two-t4", programs, tmp_path / "root", monkeypatch)
    found = doctor_probe_gpu.gpus()
    assert [card.capability for card in found.cards] == ["7.5", "7.5"]
    assert [(one.number, one.used_mib) for one in found.memory] == [(0, 0), (1, 0)]
    assert (found.problem, found.memory_problem, found.is_mismatched) == (None, None, False)


@needs_gcc
def test_libraries_of_another_version_are_told_by_nvml(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate("mismatch", programs, tmp_path / "root", monkeypatch)
    found = doctor_probe_gpu.gpus()
    assert found.is_mismatched
    assert (found.problem or "").startswith("NVML fails: ")


@needs_gcc
@pytest.mark.parametrize(
    ("does", "limit_s", "problem"),
    [
        ("for (;;) pause();", 1, "the NVIDIA driver did not answer within 1 s"),
        ("abort();", 20, "NVML crashed (exit code -6)"),
    ],
)
def test_a_driver_that_hangs_or_crashes_takes_nobody_along(
    does: str, problem: str, programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, limit_s: int
) -> None:
    root = simulate("v100", programs, tmp_path / "root", monkeypatch)
    (tmp_path / "nvml.c").write_text(
        f"#include <stdlib.h>\n#include <unistd.h>\nint nvmlInitWithFlags(unsigned flags) {{ (void)flags; {does} }}\n"
    )
    library = f"{build.LIBRARIES}/libnvidia-ml.so.1"
    monkeypatch.undo()
    build.compile_program(("-shared", "-fPIC", "-Wno-return-type", "nvml.c"), root / library, tmp_path)
    monkeypatch.setenv("GPUENV_NVIDIA_PROC", str(root / "proc/driver/nvidia"))
    monkeypatch.setattr(doctor_probe_gpu, "TIMEOUT_S", limit_s)
    began = time.monotonic()
    found = doctor_probe_gpu.gpus()
    assert time.monotonic() - began < 15
    assert found.problem == problem
    assert [card.capability for card in found.cards] == ["7.0"]


def test_what_holds_memory_is_told() -> None:
    host = HostGpus("550.54", ("A100", "T4"), ("GPU-1", "GPU-2"))
    cards = [
        {"uuid": "GPU-2", "capability": "7.5", "memory_problem": "Not Supported", "holders": []},
        {
            "uuid": "GPU-1",
            "capability": "8.0",
            "total_mib": 40960,
            "used_mib": 100,
            "holders": [[1, "x"]],
        },
        {"uuid": "GPU-hidden", "capability": "9.0", "total_mib": 1, "used_mib": 1, "holders": []},
    ]
    found = doctor_probe_gpu.read_answer(Gpus(host), {"cards": cards})
    assert [card.capability for card in found.cards] == ["8.0", "7.5"]
    assert (found.memory, found.memory_problem) == ((Memory(0, 40960, 100, ((1, "x"),)),), "Not Supported")


def test_without_nvidia_smi_the_name_tells_the_capability() -> None:
    hosts = HostGpus("470.57.02", ("Tesla T4", "Odd card"), ("GPU-1", "GPU-2"))
    cards = doctor_probe_gpu.read_answer(Gpus(hosts), {}).cards
    assert cards == (Card(0, "Tesla T4", "7.5"), Card(1, "Odd card", None))
    answer = {"cards": [{"uuid": "GPU-1", "capability": "9.9", "memory_problem": "?", "holders": []}]}
    assert doctor_probe_gpu.read_answer(Gpus(hosts), answer).cards[0].capability == "9.9"


def test_cards_on_the_bus_and_who_has_them(tmp_path: Path) -> None:
    for name, vendor, kind in (
        ("0:1", "0x10de", "0x030000"),
        ("0:2", "0x10de", "0x040300"),
        ("0:3", "0x8086", "0x030000"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vendor").write_text(f"{vendor}\n")
        (tmp_path / name / "class").write_text(f"{kind}\n")
    (tmp_path / "nouveau").mkdir()
    (tmp_path / "0:1/driver").symlink_to(tmp_path / "nouveau")
    assert list(doctor_probe_gpu.pci_cards(tmp_path)) == ["nouveau"]


def test_library_versions_are_in_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "usr/lib64"
    folder.mkdir(parents=True)
    for name in ("libnvidia-ml.so.1", "libnvidia-ml.so.470.57.02"):
        (folder / name).touch()
    assert doctor_probe_gpu.library_versions(tmp_path) == ["470.57.02"]


def test_a_driver_that_does_not_answer_is_not_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi = write_script(tmp_path / "nvidia-smi", f"echo x >> {tmp_path}/asked; echo broken; exit 9")
    monkeypatch.setenv("PATH", f"{smi.parent}:/usr/bin:/bin")
    monkeypatch.setattr(gpu, "host_gpus", lambda: HostGpus("470.57.02", ("Tesla T4",), ("GPU-1",)))
    found = doctor_probe_gpu.gpus()
    assert "broken" in (found.problem or "")
    assert found.cards[0].capability == "7.5"
    assert (tmp_path / "asked").read_text() == "x\n"
