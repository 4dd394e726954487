"""Every judge of the group gpu passes what is right and refuses what is not."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from gpuenv.core.errors import CheckError
from gpuenv.harness.judges import gpu as judge
from gpuenv.variants import model as variants

V100 = {"name": "Tesla V100", "capability": "7.0", "uuid": "GPU-1"}
RTX = {"name": "RTX 3080", "capability": "8.6", "uuid": "GPU-2"}
GOOD = {"init": 0, "error": None, "cuda": 11000, "devices": [V100]}


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"init": 100}, "it sees no device"),
        ({"init": 803}, "differ in version"),
        ({"init": 999}, "/dev/nvidia-uvm is missing"),
        ({"init": 999, "error": "a text"}, "/dev/nvidia-uvm is missing"),
        ({"init": None, "error": "libcuda.so.1: no such file"}, "libcuda.so.1: no such file"),
        ({"init": 3}, "the container got no GPU, or not all of its parts"),
    ],
)
def test_driver(change: dict[str, object], cause: str) -> None:
    judge.judge_driver(GOOD, "450.51.06")
    with pytest.raises(
        CheckError, match=rf"cuInit gives {change['init']} \(the host has driver 450\.51\.06\)"
    ) as caught:
        judge.judge_driver({**GOOD, **change}, "450.51.06")
    assert cause in caught.value.why


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


def test_of_several_variants_that_serve_a_card_the_newest_is_named() -> None:
    fermi = {"name": "GTX 580", "capability": "2.0", "uuid": "GPU-4"}
    base = variants.find_variant("cuda9.0")

    def variant(name: str, *served: str) -> variants.Variant:
        cuda = msgspec.structs.replace(base.cuda, compute_capability=served)
        return msgspec.structs.replace(base, name=name, folder=Path(name), cuda=cuda)

    known = [variant("old", "1.3", "2.1"), variant("new", "2.0", "3.5"), variant("mine", "3.0", "7.0")]
    with pytest.raises(CheckError, match=r"GTX 580 has compute capability 2\.0") as caught:
        judge.judge_capability([fermi], known[2], known)
    assert caught.value.next_step.startswith("use VARIANT=new, which serves it")


def test_a_variant_that_serves_the_card_is_named() -> None:
    turing = {"name": "Tesla T4", "capability": "7.5", "uuid": "GPU-3"}
    with pytest.raises(CheckError, match=r"7\.5 \(Turing\)") as caught:
        judge.judge_capability([turing], variants.find_variant("cuda9.0"), variants.load_all())
    assert "VARIANT=cuda10.0" in caught.value.next_step


def test_what_tensorflow_does() -> None:
    judge.judge_listed(["/device:GPU:0"], [V100])
    for error in (0.0, 9e-5, 1e-4):
        judge.judge_result("matmul", error)
    judge.judge_ran("product", ["product"])
    judge.judge_none_seen({**GOOD, "init": 100, "devices": []})
    judge.judge_none_seen({**GOOD, "init": 0, "devices": []})
    judge.judge_none_seen({**GOOD, "init": 100})
    with pytest.raises(CheckError, match="lists 0 GPUs"):
        judge.judge_listed([], [V100])
    for error in (1.1e-4, float("nan")):
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


def test_memory_at_its_bounds() -> None:
    """Half of what is free at the first step, half of what is asked for (rounded down) at the second."""
    found = {"before": 1000, "after_small": 500, "large": 101}
    judge.judge_memory({**found, "after_large": 450})
    with pytest.raises(CheckError, match="a step that needs 0 MiB"):
        judge.judge_memory({**found, "after_large": 451})
    with pytest.raises(CheckError, match="a small step takes"):
        judge.judge_memory({**found, "after_small": 499, "after_large": 0})
