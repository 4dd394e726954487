"""Group gpu: never passed without a GPU; "not tested", or a failure where a GPU was promised.

A simulated driver (docs/simulated-host.md) answers what the driver is asked; what computes is "not tested" on it.
"""

from __future__ import annotations

import dataclasses

import pytest

from gpuenv.core.errors import CheckError
from gpuenv.harness.judges import gpu as judge
from gpuenv.harness.report.model import not_tested
from gpuenv.harness.targets.connection import Connection, ProgramResult
from gpuenv.harness.targets.container import connect
from gpuenv.harness.targets.model import Plan, Target
from gpuenv.host import gpu
from gpuenv.variants import model as variants
from gpuenv.variants.model import Variant

pytestmark = pytest.mark.flavors("gpu")
image_only = pytest.mark.kinds("image")
NO_DRIVER = "no NVIDIA driver on this host"
NO_ANSWER = "the driver does not answer inside"


@pytest.fixture
def host_driver(plan: Plan, target: Target) -> str:
    """The host's driver; without one (or with REQUIRE_GPU=0) the check is not tested."""
    if target.driver is None:
        pytest.skip(not_tested(NO_DRIVER))
    if plan.require_gpu is False:
        pytest.skip(not_tested("REQUIRE_GPU=0"))
    return target.driver


@pytest.fixture
def given(host_driver: str, target: Target, request: pytest.FixtureRequest) -> Connection:
    """A target that was given its devices; where the engine refuses them, gpu/driver fails and says why."""
    connection = request.getfixturevalue("connection")
    assert isinstance(connection, Connection)
    if connection.refused is not None:
        pytest.skip(not_tested(NO_ANSWER))
    return connection


@pytest.fixture
def driver(given: Connection, request: pytest.FixtureRequest) -> ProgramResult:
    """What the driver says inside (asked once for each target); where it is silent, gpu/driver fails."""
    result = request.getfixturevalue("driver_inside")
    assert isinstance(result, ProgramResult)
    # "No device" is an answer too.
    if result["init"] not in (0, judge.NO_DEVICE):
        pytest.skip(not_tested(NO_ANSWER))
    return result


@pytest.fixture
def can_compute(driver: ProgramResult) -> None:
    """Only where a driver is real."""
    if driver["simulated"]:
        pytest.skip(not_tested("simulated driver"))


@pytest.fixture
def compute(can_compute: None, target: Target, request: pytest.FixtureRequest) -> ProgramResult:
    """The product and the convolution (run once for each target)."""
    result = request.getfixturevalue("computed")
    assert isinstance(result, ProgramResult)
    return result


@pytest.fixture
def outside(host_driver: str, target: Target, request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The UUIDs of the host's cards."""
    if target.kind == "host":
        return judge.parse_listing(request.getfixturevalue("connection").run("nvidia-smi -L").stdout)
    return gpu.host_gpus().uuids


@pytest.fixture(scope="session")
def driver_inside(connection: Connection) -> ProgramResult:
    if connection.refused is not None:
        refused = connection.refused
        raise CheckError(refused.what, refused.why, f"{refused.next_step}; REQUIRE_GPU=0 tests the rest without")
    return connection.program("gpu_driver", sees_gpus=True)


@pytest.fixture(scope="session")
def computed(connection: Connection) -> ProgramResult:
    return connection.program("gpu_compute")


@pytest.mark.check("gpu/promised")
def test_a_required_gpu_is_there(plan: Plan, target: Target) -> None:
    """Fails: REQUIRE_GPU=1 on a host without a driver."""
    if target.driver is None and plan.require_gpu:
        raise CheckError(
            f"no GPU: REQUIRE_GPU=1, but there is {NO_DRIVER}",
            "the driver is not installed or not loaded (no /proc/driver/nvidia, no nvidia-smi)",
            "install NVIDIA's driver, or run without REQUIRE_GPU=1",
        )
    if target.driver is None:
        pytest.skip(not_tested(NO_DRIVER))


@pytest.mark.check("gpu/driver")
def test_driver_answers(host_driver: str, target: Target, request: pytest.FixtureRequest) -> None:
    """Fails: uvm node missing; hook missing; a card hidden by NVIDIA_VISIBLE_DEVICES; versions that differ."""
    judge.judge_driver(request.getfixturevalue("driver_inside").data, host_driver)


@pytest.mark.check("gpu/driver-floor")
def test_driver_is_new_enough(host_driver: str, variant: Variant) -> None:
    """Fails: driver 375."""
    judge.judge_driver_floor(host_driver, variant.cuda.driver_linux)


@pytest.mark.check("gpu/devices")
def test_as_many_devices_inside_as_outside(driver: ProgramResult, outside: tuple[str, ...]) -> None:
    """Fails: a card hidden by NVIDIA_VISIBLE_DEVICES or CUDA_VISIBLE_DEVICES."""
    judge.judge_devices([device["uuid"] for device in driver["devices"]], outside)


@image_only
@pytest.mark.check("gpu/nvidia-smi")
def test_nvidia_smi_lists_the_same_inside(given: Connection, outside: tuple[str, ...]) -> None:
    """Fails: a card hidden by NVIDIA_VISIBLE_DEVICES; an image without NVIDIA_DRIVER_CAPABILITIES."""
    judge.judge_devices(judge.parse_listing(given.run("nvidia-smi -L").stdout), outside)


@pytest.mark.check("gpu/capability")
def test_cards_are_within_the_variants_range(driver: ProgramResult, variant: Variant) -> None:
    """Fails: RTX 3080 (8.6)."""
    if not driver["devices"]:
        pytest.skip(not_tested("no device inside"))
    judge.judge_capability(driver["devices"], variant, variants.load_all())


@pytest.mark.check("gpu/listed")
def test_tensorflow_lists_every_card(compute: ProgramResult, driver: ProgramResult) -> None:
    """Fails: one CUDA library missing under TF 1.15, which then uses the CPU without a word."""
    judge.judge_listed(compute["devices"], driver["devices"])


@pytest.mark.check("gpu/agrees-with-numpy")
@pytest.mark.parametrize(
    ("name", "operation"), [("matmul", "product"), ("convolution", "convolution")], ids=["matmul", "convolution"]
)
def test_results_agree_with_numpy(compute: ProgramResult, name: str, operation: str) -> None:
    """Fails: a card for which there is no code; cuDNN below the floor; a result that came from the CPU."""
    judge.judge_ran(operation, compute["ran"])
    judge.judge_result(name, compute[f"{name}_error"])


@pytest.mark.check("gpu/ran-there")
@pytest.mark.parametrize("name", ["product", "convolution"])
def test_operations_ran_on_the_gpu(compute: ProgramResult, name: str) -> None:
    """Fails: a fallback to the CPU."""
    judge.judge_ran(name, compute["ran"])


@pytest.mark.check("gpu/memory-grows")
def test_memory_grows_instead_of_being_taken_whole(can_compute: None, given: Connection) -> None:
    """Fails: a TensorFlow that ignores allow_growth."""
    judge.judge_memory(given.program("gpu_memory").data)


@image_only
@pytest.mark.check("gpu/none-requested")
def test_no_device_is_seen_when_none_is_requested(host_driver: str, target: Target, plan: Plan) -> None:
    """Fails: an engine whose default runtime passes all GPUs."""
    with connect(dataclasses.replace(target, driver=None), plan) as without:
        judge.judge_none_seen(without.program("gpu_driver", sees_gpus=True).data)
