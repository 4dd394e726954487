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
