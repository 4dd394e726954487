"""Group gpu: never passed without a GPU; "not tested", or a failure where a GPU was promised."""

from __future__ import annotations

import pytest

from gpuenv.errors import CheckError
from gpuenv.report import not_tested
from gpuenv.target import Plan

pytestmark = pytest.mark.flavors("gpu")
NO_DRIVER = "no NVIDIA driver on this host"


@pytest.mark.check("gpu/driver")
def test_driver_is_there(plan: Plan, target: object) -> None:
    """Fails: REQUIRE_GPU=1 on a host without a driver."""
    if plan.host_driver is None:
        if plan.require_gpu:
            raise CheckError(
                f"no GPU: REQUIRE_GPU=1, but there is {NO_DRIVER}",
                "the driver is not installed or not loaded (no /proc/driver/nvidia, no nvidia-smi)",
                "install NVIDIA's driver, or run without REQUIRE_GPU=1",
            )
        pytest.skip(not_tested(NO_DRIVER))
