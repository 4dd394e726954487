"""Every judge of CUDA's libraries passes what is right and refuses what is not."""

from __future__ import annotations

from typing import Any

import pytest

from gpuenv.core.errors import CheckError
from gpuenv.harness.judges import cuda as judge

CUBLAS, CUFFT = "libcublas.so.9.0", "libcufft.so.9.0"
KEPLER_TO_VOLTA = {"sass": ["3.5", "5.0", "6.0", "7.0"], "ptx": ["7.0"]}


def library(**change: Any) -> dict[str, Any]:
    return {"error": None, "told": {}, "stand_in": False, "exports": [], "gpu_code": {"sass": [], "ptx": []}, **change}


def stand_in(**change: Any) -> dict[str, Any]:
    told = {"cufftGetProperty": 9000, "cufftGetVersion": 9000}
    return library(**{"stand_in": True, "told": told, "exports": ["cufftPlan1d", "cufftGetVersion"], **change})


def test_select() -> None:
    names = [CUBLAS, "libcublasLt.so.9.0", CUFFT, "libcudnn.so.7"]
    assert judge.select(names, ["libcudnn", "libcublas"]) == [CUBLAS, "libcudnn.so.7"]


@pytest.mark.parametrize(("version", "number"), [("9.0", 9000), ("10.0", 10000), ("10.2", 10020), ("12.1", 12010)])
def test_cuda_versions(version: str, number: int) -> None:
    judge.judge_cuda_versions({CUBLAS: library(told={"get": number})}, [CUBLAS], version)
    for wrong in (number + 10, None):
        loaded = {CUBLAS: library(told={"other": number, "get": wrong})}
        text = rf"libcublas\.so\.9\.0 says {wrong} \(get\), the variant says {version} \({number}\)"
        with pytest.raises(CheckError, match=text):
            judge.judge_cuda_versions(loaded, [CUBLAS], version)


def test_a_version_that_nobody_tells_is_none() -> None:
    with pytest.raises(CheckError, match=r"shown no version of libcublas\.so\.9\.0"):
        judge.judge_cuda_versions({CUBLAS: library()}, [CUBLAS], "9.0")
    with pytest.raises(CheckError, match="does not load") as caught:
        judge.judge_cuda_versions({CUBLAS: {"error": "no such file"}}, [CUBLAS], "9.0")
    assert caught.value.why == "no such file"


def test_cudnn_versions() -> None:
    def told(version: int | None, made_for: int | None = 9000) -> dict[str, int | None]:
        return {"cudnnGetVersion": version, "cudnnGetCudartVersion": made_for}

    judge.judge_cudnn_version(told(7605), "7.6.5", "7.1.4", "9.0")
    judge.judge_cudnn_version(told(7104), "7.1.4", "7.1.4", "9.0")
    judge.judge_cudnn_version(told(7605, 10020), "7.6.5", "7.6.0", "10.2")
    # The genuine ones that cntk-gpu carries: both below their floor.
    for found, floor in ((7004, "7.1.4"), (7301, "7.6.0"), (None, "7.1.4")):
        with pytest.raises(CheckError, match="was compiled against"):
            judge.judge_cudnn_version(told(found), "7.6.5", floor, "9.0")
    with pytest.raises(CheckError, match="was compiled against"):
        judge.judge_cudnn_version({}, "7.6.5", "7.1.4", "9.0")
    with pytest.raises(CheckError, match="cuDNN says 7604, the variant says"):
        judge.judge_cudnn_version(told(7604), "7.6.5", "7.6.0", "9.0")
    for made_for in (10000, None):
        with pytest.raises(CheckError, match=rf"made for CUDA {made_for}, the variant has 9\.0"):
            judge.judge_cudnn_version(told(7605, made_for), "7.6.5", "7.1.4", "9.0")


def test_stand_ins_are_what_is_expected() -> None:
    functions = {CUFFT: ("cufftPlan1d",), "libcurand.so.9.0": ("curandCreate",)}
    judge.judge_stand_ins({CUBLAS: library(), CUFFT: stand_in()}, [CUFFT], functions, "9.0")
    judge.judge_stand_ins({CUBLAS: library(), CUFFT: library()}, [], {}, "9.0")
    # What does not load is said by another check.
    judge.judge_stand_ins({CUBLAS: {"error": "no such file"}, CUFFT: stand_in()}, [CUFFT], functions, "9.0")


@pytest.mark.parametrize(
    ("cufft", "expected", "text"),
    [
        (stand_in(), [], r"^libcufft\.so\.9\.0: gpuenv's stand-in, in place of NVIDIA's"),
        (library(), [CUFFT], r"^libcufft\.so\.9\.0: not gpuenv's stand-in"),
        (stand_in(told={"cufftGetVersion": 10000}), [CUFFT], r"says 10000 \(cufftGetVersion\), the variant says 9\.0"),
        (stand_in(told={}), [CUFFT], "shown no version of libcufft"),
        (stand_in(exports=["cufftGetVersion"]), [CUFFT], r"lacks 2 functions, the first is cufftExecC2C"),
        ({"error": "no such file"}, [CUFFT], r"^libcufft\.so\.9\.0 does not load"),
    ],
)
def test_a_wrong_stand_in_is_refused(cufft: dict[str, Any], expected: list[str], text: str) -> None:
    functions = {CUFFT: ("cufftPlan1d", "cufftExecC2C")}
    with pytest.raises(CheckError, match=text):
        judge.judge_stand_ins({CUBLAS: library(), CUFFT: cufft}, expected, functions, "9.0")


def test_a_stand_in_without_a_list_proves_nothing() -> None:
    with pytest.raises(CheckError, match="shown no library of CUDA that loads"):
        judge.judge_stand_ins({CUBLAS: {"error": "no such file"}}, [], {}, "9.0")
    for functions in ({}, {CUFFT: ()}):
        with pytest.raises(CheckError, match=r"shown no list of what TensorFlow wants from libcufft"):
            judge.judge_stand_ins({CUFFT: stand_in()}, [CUFFT], functions, "9.0")


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


@pytest.mark.parametrize(
    ("sass", "ptx", "is_good"),
    [
        # As measured: cuSPARSE 9.0 and cuBLAS 10.0.
        (["3.0", "3.5", "5.0", "6.0", "7.0"], ["5.0", "7.0"], True),
        (["3.0", "3.5", "5.0", "6.0", "6.1", "7.0", "7.5"], ["7.0"], True),
        (["3.5"], ["3.5"], True),
        (["3.5", "5.0", "6.0"], [], False),
        (["5.0", "6.0", "7.0"], [], False),
        # A generation between the lowest and the highest.
        (["3.5", "6.0", "7.0"], ["6.0"], False),
        (["3.5", "5.0", "7.0"], [], False),
        ([], [], False),
    ],
)
def test_library_code(sass: list[str], ptx: list[str], *, is_good: bool) -> None:
    good, other = library(gpu_code=KEPLER_TO_VOLTA), library(gpu_code={"sass": sass, "ptx": ptx})
    loaded = {"libcudnn.so.7": good, CUBLAS: other}
    if is_good:
        judge.judge_library_code(loaded, [*loaded], ("3.5", "7.0"))
        return
    with pytest.raises(CheckError, match=r"^libcublas\.so\.9\.0 has code for .*; the variant promises 3\.5 to 7\.0"):
        judge.judge_library_code(loaded, [*loaded], ("3.5", "7.0"))


def test_what_has_which_code_is_said() -> None:
    promises = "; the variant promises 3.5 to 7.0"
    with pytest.raises(CheckError) as caught:
        judge.judge_gpu_code({"sass": [], "ptx": []}, ("3.5", "7.0"))
    assert caught.value.what == f"TensorFlow has code for no GPU, PTX none{promises}"
    with pytest.raises(CheckError) as caught:
        judge.judge_library_code(
            {CUBLAS: library(gpu_code={"sass": ["5.0", "6.1"], "ptx": ["7.0"]})}, [CUBLAS], ("3.5", "7.0")
        )
    assert caught.value.what == f"{CUBLAS} has code for 5.0, 6.1, PTX 7.0{promises}"


def test_code_for_turing_is_asked_of_those_who_promise_it() -> None:
    loaded = {CUBLAS: library(gpu_code={"sass": ["3.5", "5.0", "6.0", "7.0"], "ptx": []})}
    judge.judge_library_code(loaded, [CUBLAS], ("3.5", "7.5"))
    loaded[CUBLAS]["gpu_code"]["sass"][-1] = "7.5"
    with pytest.raises(CheckError, match="promises"):
        judge.judge_library_code(loaded, [CUBLAS], ("3.5", "7.5"))


def handle(**change: Any) -> dict[str, dict[str, Any]]:
    return {"cudnnCreate": {"error": None, "init": 100, "devices": 0, "status": 1, "destroyed": None, **change}}


def test_handles() -> None:
    judge.judge_handles(handle())
    judge.judge_handles(handle(init=None))
    judge.judge_handles(handle(init=0, devices=2, status=0, destroyed=0))
    with pytest.raises(CheckError, match="neither a handle nor a status") as caught:
        judge.judge_handles({"cudnnCreate": {"error": "exit code -11: no message"}})
    assert caught.value.why == "exit code -11: no message"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"status": 0, "destroyed": 0}, "answers 0 where no device is, not 1"),
        ({"status": 4, "init": 999}, "answers 4 where no device is"),
        ({"devices": 1}, "answers 1 where the driver has 1 devices"),
        ({"devices": 1, "status": 0, "destroyed": 9}, "at the handle's end 9"),
        ({"devices": 1, "status": 0}, "at the handle's end None"),
    ],
)
def test_a_wrong_answer_is_no_handle(change: dict[str, Any], text: str) -> None:
    with pytest.raises(CheckError, match=text):
        judge.judge_handles(handle(**change))
