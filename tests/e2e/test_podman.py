"""What only a real Podman can show; run by `tests/podman.sh`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.test_shell import image
from fakes.engine import sdk
from gpuenv.core.errors import EngineError
from gpuenv.engine import container as containers
from gpuenv.engine.model import Engine
from gpuenv.host import gpu
from gpuenv.host.gpu import HostGpus

__all__ = ["image"]
TWO = HostGpus("470.256.02", ("Tesla V100", "Tesla T4"), ("GPU-a", "GPU-b"))


@pytest.fixture
def described(engine: Engine) -> Iterator[None]:
    """Two names for GPUs, as `nvidia-ctk cdi generate` describes them; what they give to a container is a variable."""
    if engine.kind != "podman" or os.getuid() != 0:
        pytest.skip("needs Podman, and root, who may describe devices")
    devices = [{"name": name, "containerEdits": {"env": [f"GIVEN={name}"]}} for name in ("all", "0")]
    place = Path("/run/cdi/gpuenv-e2e.json")
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps({"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": devices}))
    yield
    place.unlink()


@pytest.mark.usefixtures("described")
@pytest.mark.parametrize(("asked", "given"), [("all", "all"), ("0", "0")])
def test_gpus_come_by_cdi(engine: Engine, image: str, asked: str, given: str) -> None:
    requests = gpu.device_requests(asked, TWO)
    with containers.running(engine, image=image, device_requests=requests) as container:
        environment = sdk(engine).containers.get(container).exec_run(["cat", "/proc/1/environ"]).output
        assert isinstance(environment, bytes)
        assert f"GIVEN={given}".encode() in environment.split(b"\0")


@pytest.mark.usefixtures("described")
def test_a_gpu_that_is_not_described(engine: Engine, image: str) -> None:
    with (
        pytest.raises(EngineError, match="nvidia-ctk cdi generate"),
        containers.running(engine, image=image, device_requests=gpu.device_requests("1", TWO)),
    ):
        pytest.fail("it runs")
