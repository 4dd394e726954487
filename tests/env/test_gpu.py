"""Group gpu: never passed without a GPU; "not tested", or a failure where a GPU was promised."""

from __future__ import annotations

import dataclasses

import pytest

from gpuenv import gpu
from gpuenv import judge_gpu as judge
from gpuenv.errors import CheckError
from gpuenv.report import not_tested
from gpuenv.target import Connection, Plan, Result, Target
from gpuenv.target_container import connect
from gpuenv.variants import Variant

pytestmark = [pytest.mark.flavors("gpu"), pytest.mark.kinds("image")]
NO_DRIVER = "no NVIDIA driver on this host"


@pytest.fixture
def host_driver(plan: Plan) -> str:
    """The host's driver; without one (or with REQUIRE_GPU=0) the check is not tested."""
    if plan.host_driver is None:
        pytest.skip(not_tested(NO_DRIVER))
    if plan.require_gpu is False:
        pytest.skip(not_tested("REQUIRE_GPU=0"))
    return plan.host_driver


@pytest.fixture
def driver(host_driver: str, target: Target, request: pytest.FixtureRequest) -> Result:
    """What the driver says inside (asked once for each ``target``, and only where there is a driver)."""
    result = request.getfixturevalue("driver_inside")
    assert isinstance(result, Result)
    return result


@pytest.fixture
def compute(host_driver: str, target: Target, request: pytest.FixtureRequest) -> Result:
    """The product and the convolution (run once for each target)."""
    if target.cuda == "simulated":
        pytest.skip(not_tested("simulated CUDA"))
    result = request.getfixturevalue("computed")
    assert isinstance(result, Result)
    return result


@pytest.fixture(scope="session")
def driver_inside(connection: Connection) -> Result:
    return connection.program("gpu_driver")


@pytest.fixture(scope="session")
def computed(connection: Connection) -> Result:
    return connection.program("gpu_compute")


@pytest.mark.check("gpu/promised")
def test_a_required_gpu_is_there(plan: Plan, target: Target) -> None:
    """Fails: REQUIRE_GPU=1 on a host without a driver."""
    if plan.host_driver is None and plan.require_gpu:
        raise CheckError(
            f"no GPU: REQUIRE_GPU=1, but there is {NO_DRIVER}",
            "the driver is not installed or not loaded (no /proc/driver/nvidia, no nvidia-smi)",
            "install NVIDIA's driver, or run without REQUIRE_GPU=1",
        )
    if plan.host_driver is None:
        pytest.skip(not_tested(NO_DRIVER))


@pytest.mark.check("gpu/driver")
def test_driver_answers_and_is_new_enough(driver: Result, host_driver: str, variant: Variant) -> None:
    """Fails: driver 375; uvm node missing; hook missing."""
    judge.judge_driver(driver.data, host_driver, variant.cuda.driver_linux)


@pytest.mark.check("gpu/devices")
def test_as_many_devices_inside_as_outside(driver: Result) -> None:
    """Fails: a card hidden by NVIDIA_VISIBLE_DEVICES."""
    judge.judge_devices(driver["devices"], gpu.host_gpus().uuids)


@pytest.mark.check("gpu/capability")
def test_cards_are_within_the_variants_range(driver: Result, variant: Variant) -> None:
    """Fails: RTX 3080 (8.6)."""
    judge.judge_capability(driver["devices"], variant.cuda.compute_capability)


@pytest.mark.check("gpu/listed")
def test_tensorflow_lists_every_card(compute: Result, driver: Result) -> None:
    """Fails: one CUDA library missing under TF 1.15, which then uses the CPU without a word."""
    judge.judge_listed(compute["devices"], driver["devices"])


@pytest.mark.check("gpu/agrees-with-numpy")
@pytest.mark.parametrize("name", ["matmul", "convolution"])
def test_results_agree_with_numpy(compute: Result, name: str) -> None:
    """Fails: a card for which there is no code; cuDNN below the floor."""
    judge.judge_result(name, compute[f"{name}_error"])


@pytest.mark.check("gpu/ran-there")
@pytest.mark.parametrize("name", ["product", "convolution"])
def test_operations_ran_on_the_gpu(compute: Result, name: str) -> None:
    """Fails: a fallback to the CPU."""
    judge.judge_ran(name, compute["ran"])


@pytest.mark.check("gpu/none-requested")
def test_no_device_is_seen_when_none_is_requested(host_driver: str, target: Target, plan: Plan) -> None:
    """Fails: an engine whose default runtime passes all GPUs."""
    with connect(target, dataclasses.replace(plan, host_driver=None)) as without:
        judge.judge_none_seen(without.program("gpu_driver").data)
