"""Group linkage: the loader finds every library, in the right version; no GPU is needed to know that."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from gpuenv.conda import spec as conda_spec
from gpuenv.core.errors import CheckError
from gpuenv.engine.container import Mount
from gpuenv.harness.judges import linkage as judge
from gpuenv.harness.judges.identity import REBUILD
from gpuenv.harness.report.model import not_tested
from gpuenv.harness.targets.connection import Connection, ProgramResult
from gpuenv.harness.targets.container import connect
from gpuenv.harness.targets.model import Plan, Target
from gpuenv.variants.cuda_lock import load_cuda_lock
from gpuenv.variants.model import Variant

SIMULATED = "simulated CUDA"


@pytest.fixture(scope="session")
def sonames(variant: Variant, target: Target) -> list[str]:
    """What the variant's CUDA consists of; nothing in a cpu target, and no profiler where conda has none."""
    if target.flavor != "gpu":
        return []
    if target.kind == "conda":
        return conda_spec.cuda_names(variant)
    return list(load_cuda_lock(variant.cuda_lock_path).sonames)


@pytest.fixture(scope="session")
def linkage(connection: Connection, sonames: list[str]) -> ProgramResult:
    return connection.program("linkage", *sonames)


def version_told(linkage: ProgramResult, sonames: list[str], library: str) -> int | None:
    """What the library's own version function says. A simulated library proves nothing about the real one."""
    name = next(soname for soname in sonames if soname.startswith(library))
    version: int | None = linkage["loaded"][name]["version"]
    return version


@pytest.mark.check("linkage/resolved")
def test_every_needed_library_is_found(linkage: ProgramResult, variant: Variant) -> None:
    """Fails: one CUDA library missing; CUDA 10.0 libraries under TF 1.12; a glibc or libstdc++ below the floor."""
    judge.judge_resolved(linkage["libraries"], variant.cuda.not_shipped)


@pytest.mark.check("linkage/symbols")
def test_every_symbol_is_exported(linkage: ProgramResult) -> None:
    """Fails: one symbol missing."""
    judge.judge_symbols(linkage["libraries"])


@pytest.mark.check("linkage/loaded-by-name")
@pytest.mark.flavors("gpu")
def test_every_cuda_library_loads(linkage: ProgramResult, sonames: list[str]) -> None:
    """Fails: a library of the wrong SONAME; one CUDA library missing (TF 1.15 loads them at first use)."""
    judge.judge_loaded(linkage["loaded"], sonames)


@pytest.mark.check("linkage/cuda-version")
@pytest.mark.flavors("gpu")
def test_cuda_version(linkage: ProgramResult, sonames: list[str], target: Target, variant: Variant) -> None:
    """Fails: libraries of another CUDA version."""
    if target.cuda == "simulated":
        pytest.skip(not_tested(SIMULATED))
    judge.judge_cuda_version(version_told(linkage, sonames, "libcudart.so"), variant.cuda.version)


@pytest.mark.check("linkage/cudnn-version")
@pytest.mark.flavors("gpu")
def test_cudnn_version(linkage: ProgramResult, sonames: list[str], target: Target, variant: Variant) -> None:
    """Fails: cuDNN below the floor (7.0.4, 7.3.1)."""
    if target.cuda == "simulated":
        pytest.skip(not_tested(SIMULATED))
    found = version_told(linkage, sonames, "libcudnn.so")
    judge.judge_cudnn_version(found, variant.cuda.cudnn, variant.cuda.cudnn_floor)


@pytest.mark.check("linkage/no-driver-inside")
@pytest.mark.kinds("image")
def test_no_driver_library_is_part_of_the_image(linkage: ProgramResult, target: Target) -> None:
    """Fails: libcuda baked in; ldconfig after the stand-in was put into its place."""
    judge.judge_driver_files(linkage["driver_files"], target.flavor, in_cache=linkage["cache_names_libcuda"])


@pytest.mark.check("linkage/driver-wins")
@pytest.mark.flavors("gpu")
@pytest.mark.kinds("image")
def test_a_real_driver_wins_over_the_stand_in(
    connection: Connection, target: Target, plan: Plan, tmp_path: Path
) -> None:
    """Fails: the stand-in before the real driver.

    A copy of the stand-in plays the driver, where NVIDIA's hook would mount it.
    """
    place = "/usr/lib/x86_64-linux-gnu/libcuda.so.1"
    output = connection.run(f"base64 {judge.STAND_IN}")
    if output.code != 0:
        raise CheckError(f"there is no {judge.STAND_IN}", output.stderr.strip() or "no message", REBUILD)
    driver = tmp_path / "libcuda.so.1"
    driver.write_bytes(base64.b64decode(output.stdout))
    driver.chmod(0o755)
    with connect(target, plan, [Mount(str(driver), place, read_only=True)]) as second:
        found = second.program("linkage_one", "libcuda.so.1")
    judge.judge_driver_wins(found["path"], place)


@pytest.mark.check("linkage/loader-settings")
def test_no_loader_settings(linkage: ProgramResult) -> None:
    """Fails: libcuda stub in LD_LIBRARY_PATH."""
    judge.judge_loader_settings(linkage["ld_library_path"], linkage["ld_preload"])


@pytest.mark.check("linkage/gpu-code")
@pytest.mark.flavors("gpu")
def test_wheel_has_code_for_the_promised_cards(linkage: ProgramResult, variant: Variant) -> None:
    """Fails: a cpu wheel under a gpu name."""
    judge.judge_gpu_code(linkage["gpu_code"], variant.cuda.compute_capability)
