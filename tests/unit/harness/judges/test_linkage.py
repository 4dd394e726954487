"""Every judge of linkage passes what is right and refuses what is not."""

from __future__ import annotations

from typing import Any

import pytest

from gpuenv.core import paths
from gpuenv.core.errors import CheckError
from gpuenv.harness.judges import linkage as judge

STAND_IN = "/usr/lib/libcuda.so.1"


def library(**change: Any) -> dict[str, Any]:
    return {"unresolved": [], "complaints": [], "needed": [], "missing_symbols": [], **change}


def test_resolved() -> None:
    judge.judge_resolved([library()])
    for bad, text in (
        (library(unresolved=["libcublas.so.9.0"]), "does not find libcublas"),
        (library(complaints=["version `GLIBC_2.99' not found"]), "GLIBC_2"),
    ):
        with pytest.raises(CheckError, match=text):
            judge.judge_resolved([library(), bad])
    with pytest.raises(CheckError, match="no library"):
        judge.judge_resolved([])


def test_only_a_plug_in_may_miss_what_is_not_shipped() -> None:
    nccl = ["/x/_nccl_ops.so: error while loading shared libraries: libnccl.so.2: cannot open shared object file"]
    plug_in, main = library(complaints=nccl, needed=[]), library(complaints=nccl, needed=["libnccl.so.2"])
    judge.judge_resolved([plug_in], ["libnccl.so.2"])
    for libraries, not_shipped in (([plug_in], []), ([plug_in], ["libnvinfer.so.4"]), ([main], ["libnccl.so.2"])):
        with pytest.raises(CheckError, match=r"does not find libnccl\.so\.2"):
            judge.judge_resolved(libraries, not_shipped)


def test_symbols() -> None:
    judge.judge_symbols([library()])
    with pytest.raises(CheckError, match=r"cufftExecC2C@libcufft\.so\.9\.0"):
        judge.judge_symbols([library(missing_symbols=[["cufftExecC2C", "libcufft.so.9.0", "libcufft.so.9.0"]])])


def test_loaded() -> None:
    name = "libcudart.so.10.0"
    judge.judge_loaded({name: {"error": None, "soname": name, "path": "/x"}}, [name])
    with pytest.raises(CheckError, match="does not load") as caught:
        judge.judge_loaded({name: {"error": "no such file"}}, [name])
    assert caught.value.why == "no such file"
    with pytest.raises(CheckError, match="its SONAME is"):
        judge.judge_loaded({name: {"error": None, "soname": "libcudart.so.10.1", "path": "/x"}}, [name])


@pytest.mark.parametrize(("version", "number"), [("9.0", 9000), ("10.0", 10000), ("10.2", 10020), ("12.1", 12010)])
def test_cuda_versions(version: str, number: int) -> None:
    judge.judge_cuda_version(number, version)
    for wrong in (number + 10, None):
        with pytest.raises(
            CheckError, match=rf"the CUDA runtime says {wrong}, the variant says {version} \({number}\)"
        ):
            judge.judge_cuda_version(wrong, version)


def test_cudnn_versions() -> None:
    judge.judge_cudnn_version(7605, "7.6.5", "7.1.4")
    judge.judge_cudnn_version(7104, "7.1.4", "7.1.4")
    # The genuine ones that cntk-gpu carries: both below their floor.
    for found, floor in ((7004, "7.1.4"), (7301, "7.6.0"), (None, "7.1.4")):
        with pytest.raises(CheckError, match="was compiled against"):
            judge.judge_cudnn_version(found, "7.6.5", floor)
    with pytest.raises(CheckError, match="the variant says"):
        judge.judge_cudnn_version(7604, "7.6.5", "7.6.0")


def test_the_stand_in_is_where_the_dockerfile_puts_it() -> None:
    folder, _, name = STAND_IN.rpartition("/")
    assert f"COPY --from=builder /out/{name} {folder}/\n" in (paths.docker_dir() / "Dockerfile").read_text()
    assert judge.STAND_IN == STAND_IN


def test_driver_files() -> None:
    judge.judge_driver_files([STAND_IN], "gpu", in_cache=False)
    judge.judge_driver_files([], "cpu", in_cache=False)
    for files, flavor in (
        ([STAND_IN], "cpu"),
        ([STAND_IN, "/usr/lib/x86_64-linux-gnu/libcuda.so.450.1"], "gpu"),
    ):
        with pytest.raises(CheckError, match="part of the image"):
            judge.judge_driver_files(files, flavor, in_cache=False)
    with pytest.raises(CheckError, match="cache"):
        judge.judge_driver_files([STAND_IN], "gpu", in_cache=True)


def test_driver_wins() -> None:
    judge.judge_driver_wins("/a", "/a")
    for found in (STAND_IN, None):
        with pytest.raises(CheckError, match="the loader takes"):
            judge.judge_driver_wins(found, "/a")


def test_loader_settings() -> None:
    judge.judge_loader_settings(None, "")
    with pytest.raises(CheckError, match=r"^LD_LIBRARY_PATH is set to '/stubs'"):
        judge.judge_loader_settings("/stubs", None)
    with pytest.raises(CheckError, match=r"^LD_PRELOAD is set to '/x\.so'"):
        judge.judge_loader_settings(None, "/x.so")


@pytest.mark.parametrize(
    ("sass", "ptx", "is_good"),
    [
        (["3.5", "7.0"], [], True),
        (["3.5"], ["3.5"], True),
        # PTX is compiled for every later card: one at the lowest bound serves it, one above does not.
        (["7.0"], ["3.0"], True),
        (["7.0"], ["3.5"], True),
        (["7.0"], ["7.0"], False),
        (["3.5"], ["7.5"], True),
        (["3.5", "7.5"], [], True),
        (["3.5"], [], False),
        (["3.7", "7.0"], [], False),
        (["3.5", "8.0"], [], False),
        ([], [], False),
    ],
)
def test_gpu_code(sass: list[str], ptx: list[str], *, is_good: bool) -> None:
    if is_good:
        judge.judge_gpu_code({"sass": sass, "ptx": ptx}, ("3.5", "7.5"))
        return
    with pytest.raises(CheckError, match="the variant promises"):
        judge.judge_gpu_code({"sass": sass, "ptx": ptx}, ("3.5", "7.5"))
