from __future__ import annotations

import pytest
from msgspec import structs

from gpuenv.variants import model as variants
from gpuenv.variants.cuda_lock import load_cuda_lock
from gpuenv.variants.environment import Environment

VARIANT = variants.find_variant(None)
COMPLETE = load_cuda_lock(VARIANT.cuda_lock_path)


@pytest.mark.parametrize(
    ("environment", "name", "label"),
    [
        (Environment(VARIANT, "cpu"), f"{VARIANT.name}-cpu", "none"),
        (Environment(VARIANT, "gpu", COMPLETE), f"{VARIANT.name}-gpu", "complete"),
        (
            Environment(VARIANT, "gpu", structs.replace(COMPLETE, from_index=True)),
            f"{VARIANT.name}-gpu-index",
            "index",
        ),
    ],
)
def test_what_comes_from_the_index_is_called_so(environment: Environment, name: str, label: str) -> None:
    assert (environment.name, environment.cuda_label) == (name, label)
    assert environment.tag == f"gpuenv:{name}"


def test_only_the_gpu_flavor_has_cuda() -> None:
    assert Environment.of(VARIANT, "gpu") == Environment(VARIANT, "gpu", COMPLETE)
    assert Environment.of(VARIANT, "cpu") == Environment(VARIANT, "cpu")
