from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.core.errors import HostError
from gpuenv.images.build import refuse_small_disk


def test_a_disk_that_is_too_small(tmp_path: Path) -> None:
    refuse_small_disk(tmp_path, 4 * 10**9, 4, "v-cpu")
    with pytest.raises(HostError, match=r"too little disk space to build v-cpu") as caught:
        refuse_small_disk(tmp_path, 4 * 10**9 - 1, 4, "v-cpu")
    assert "it takes 4 GB" in caught.value.why
    assert str(tmp_path) in caught.value.why
