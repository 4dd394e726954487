"""Every judge of the group gpu passes what is right and refuses what is not."""

from __future__ import annotations

import pytest

from gpuenv.core.errors import CheckError
from gpuenv.harness.judges import gpu as judge
from gpuenv.variants import model as variants

V100 = {"name": "Tesla V100", "capability": "7.0", "uuid": "GPU-1"}
RTX = {"name": "RTX 3080", "capability": "8.6", "uuid": "GPU-2"}
GOOD = {"init": 0, "error": None, "cuda": 11000, "devices": [V100]}


def test_driver() -> None:
    judge.judge_driver(GOOD, "450.51.06")
    for change in ({"init": 100}, {"init": 999}, {"init": None, "error": "libcuda.so.1: no such file"}):
        with pytest.raises(CheckError, match="does not answer"):
            judge.judge_driver({**GOOD, **change}, "450.51.06")


def test_driver_floor() -> None:
    judge.judge_driver_floor("384.81", "384.81")
    judge.judge_driver_floor("450.51.06", "384.81")
    with pytest.raises(CheckError, match="older than"):
        judge.judge_driver_floor("375.66", "384.81")


def test_devices() -> None:
    judge.judge_devices(["GPU-1", "GPU-2"], ["GPU-2", "GPU-1"])
    # Drivers before 9.2 have no call for the UUID: then the number has to do.
    judge.judge_devices([None], ["GPU-1"])
    bad: list[tuple[list[str | None], list[str]]] = [
        (["GPU-1"], ["GPU-1", "GPU-2"]),
        (["GPU-1"], ["GPU-2"]),
        ([], ["GPU-1"]),
        ([None], ["GPU-1", "GPU-2"]),
    ]
    for inside, outside in bad:
        with pytest.raises(CheckError, match="devices inside"):
            judge.judge_devices(inside, outside)


@pytest.mark.parametrize(("capability", "is_good"), [("3.5", True), ("7.5", True), ("3.0", False), ("8.6", False)])
def test_capability(capability: str, *, is_good: bool) -> None:
    device = {**V100, "capability": capability}
    variant = variants.find_variant("cuda10.0")
    if is_good:
        judge.judge_capability([device], variant, variants.load_all())
        return
    with pytest.raises(CheckError, match=r"cuda10\.0 serves 3\.5 to 7\.5") as caught:
        judge.judge_capability([V100, device], variant, variants.load_all())
    assert "FLAVOR=cpu" in caught.value.next_step


def test_a_variant_that_serves_the_card_is_named() -> None:
    turing = {"name": "Tesla T4", "capability": "7.5", "uuid": "GPU-3"}
    with pytest.raises(CheckError, match=r"7\.5 \(Turing\)") as caught:
        judge.judge_capability([turing], variants.find_variant("cuda9.0"), variants.load_all())
    assert "VARIANT=cuda10.0" in caught.value.next_step


def test_what_tensorflow_does() -> None:
    judge.judge_listed(["/device:GPU:0"], [V100])
    judge.judge_result("matmul", 1e-6)
    judge.judge_ran("product", ["product"])
    judge.judge_none_seen({**GOOD, "init": 100, "devices": []})
    with pytest.raises(CheckError, match="lists 0 GPUs"):
        judge.judge_listed([], [V100])
    for error in (1e-2, float("nan")):
        with pytest.raises(CheckError, match="differs from numpy"):
            judge.judge_result("matmul", error)
    with pytest.raises(CheckError, match="did not run on the GPU"):
        judge.judge_ran("convolution", ["product"])
    with pytest.raises(CheckError, match="none was requested"):
        judge.judge_none_seen(GOOD)


def test_listing() -> None:
    text = "GPU 0: Tesla V100 (UUID: GPU-a1)\nGPU 1: Tesla V100 (UUID: GPU-b2)\n"
    assert judge.parse_listing(text) == ("GPU-a1", "GPU-b2")
    judge.judge_devices(judge.parse_listing(text), ["GPU-b2", "GPU-a1"])
    with pytest.raises(CheckError, match=r"0 devices inside \(\), 1 outside \(GPU-a1\)"):
        judge.judge_devices(judge.parse_listing(""), ["GPU-a1"])


def test_memory() -> None:
    mebi = 2**20
    good = {"total": 16000 * mebi, "before": 15000 * mebi, "large": 256 * mebi}
    judge.judge_memory({**good, "after_small": 14800 * mebi, "after_large": 14500 * mebi})
    with pytest.raises(CheckError, match="taken whole although allow_growth"):
        judge.judge_memory({**good, "after_small": 700 * mebi, "after_large": 700 * mebi})
    with pytest.raises(CheckError, match="takes 0 MiB more"):
        judge.judge_memory({**good, "after_small": 14800 * mebi, "after_large": 14800 * mebi})
