"""Group linkage: the loader finds every library, in the right version; no GPU is needed to know that."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gpuenv.conda import spec as conda_spec
from gpuenv.core.errors import CheckError
from gpuenv.cuda import stand_ins as stand_in_sources
from gpuenv.engine.container import Mount
from gpuenv.harness.judges import cuda as cuda_judge
from gpuenv.harness.judges import linkage as judge
from gpuenv.harness.judges.identity import REBUILD
from gpuenv.harness.report.model import not_tested
from gpuenv.harness.targets.connection import Connection, ProgramResult
from gpuenv.harness.targets.container import connect
from gpuenv.harness.targets.model import Plan, Target
from gpuenv.variants.cuda_lock import load_cuda_lock, of_index
from gpuenv.variants.model import Variant

STAND_IN = "stand-in"


@pytest.fixture(scope="session")
def sonames(variant: Variant, target: Target) -> list[str]:
    """What the target's CUDA consists of; nothing in a cpu target, and no profiler where there is none."""
    if target.flavor != "gpu":
        return []
    if target.cuda == "index":
        return list(of_index(load_cuda_lock(variant.cuda_lock_path)).sonames)
    if target.kind == "conda":
        return conda_spec.cuda_names(variant)
    return list(load_cuda_lock(variant.cuda_lock_path).sonames)


@pytest.fixture(scope="session")
def stand_ins(variant: Variant, target: Target) -> list[str]:
    """Which of them are stand-ins."""
    return list(of_index(load_cuda_lock(variant.cuda_lock_path)).stand_ins) if target.cuda == "index" else []


def wanted_functions(variant: Variant) -> Mapping[str, tuple[str, ...]]:
    """What the variant's TensorFlow wants from each library that has a stand-in."""
    return stand_in_sources.read_symbols(variant.folder / stand_in_sources.LIST_NAME)


@pytest.fixture(scope="session")
def linkage(connection: Connection, sonames: list[str]) -> ProgramResult:
    return connection.program("linkage", *sonames)


@pytest.fixture
def loaded(linkage: ProgramResult) -> Mapping[str, Mapping[str, Any]]:
    """What each library told."""
    found: Mapping[str, Mapping[str, Any]] = linkage["loaded"]
    return found


def judge_genuine_version(
    loaded: Mapping[str, Mapping[str, Any]], sonames: list[str], family: str, variant: Variant
) -> None:
    """What has a stand-in tells its version where it is NVIDIA's; a stand-in proves nothing about that one."""
    names = cuda_judge.select(sonames, [family])
    if any(cuda_judge.find(loaded, name)["stand_in"] for name in names):
        pytest.skip(not_tested(STAND_IN))
    cuda_judge.judge_cuda_versions(loaded, names, variant.cuda.version)


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


@pytest.mark.check("linkage/stand-ins")
@pytest.mark.flavors("gpu")
def test_only_what_is_said_to_be_a_stand_in_is_one(
    loaded: Mapping[str, Mapping[str, Any]], stand_ins: list[str], variant: Variant
) -> None:
    """Fails: a stand-in that lies about its version, or lacks a function; one where CUDA is said to be complete."""
    functions = wanted_functions(variant) if stand_ins else {}
    cuda_judge.judge_stand_ins(loaded, stand_ins, functions, variant.cuda.version)


@pytest.mark.check("linkage/cuda-version")
@pytest.mark.flavors("gpu")
def test_cuda_version(loaded: Mapping[str, Mapping[str, Any]], sonames: list[str], variant: Variant) -> None:
    """Fails: a library of another CUDA version."""
    names = cuda_judge.select(sonames, cuda_judge.VERSIONED)
    cuda_judge.judge_cuda_versions(loaded, names, variant.cuda.version)


@pytest.mark.check("linkage/fft-version")
@pytest.mark.flavors("gpu")
def test_fft_version(loaded: Mapping[str, Mapping[str, Any]], sonames: list[str], variant: Variant) -> None:
    """Fails: another library under the name of cuFFT."""
    judge_genuine_version(loaded, sonames, "libcufft", variant)


@pytest.mark.check("linkage/solver-version")
@pytest.mark.flavors("gpu")
def test_solver_version(loaded: Mapping[str, Mapping[str, Any]], sonames: list[str], variant: Variant) -> None:
    """Fails: another library under the name of cuSOLVER."""
    judge_genuine_version(loaded, sonames, "libcusolver", variant)


@pytest.mark.check("linkage/cudnn-version")
@pytest.mark.flavors("gpu")
def test_cudnn_version(loaded: Mapping[str, Mapping[str, Any]], sonames: list[str], variant: Variant) -> None:
    """Fails: cuDNN below the floor (7.0.4, 7.3.1); the right cuDNN, made for another CUDA version."""
    (name,) = cuda_judge.select(sonames, ["libcudnn"])
    cuda = variant.cuda
    told = cuda_judge.find(loaded, name)["told"]
    cuda_judge.judge_cudnn_version(told, cuda.cudnn, cuda.cudnn_floor, cuda.version)


@pytest.mark.check("linkage/library-code")
@pytest.mark.flavors("gpu")
def test_libraries_have_code_for_the_promised_cards(
    loaded: Mapping[str, Mapping[str, Any]], sonames: list[str], variant: Variant
) -> None:
    """Fails: a cuBLAS without code for the oldest cards."""
    names = cuda_judge.select(sonames, cuda_judge.WITH_CODE)
    cuda_judge.judge_library_code(loaded, names, variant.cuda.compute_capability)


@pytest.mark.check("linkage/handles")
@pytest.mark.flavors("gpu")
def test_libraries_give_handles_where_there_is_a_device(linkage: ProgramResult) -> None:
    """Fails: a cuBLAS without the function that gives them."""
    cuda_judge.judge_handles(linkage["handles"])


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
    cuda_judge.judge_gpu_code(linkage["gpu_code"], variant.cuda.compute_capability)
