"""What a setting may be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gpuenv.core.errors import UsageError
from gpuenv.core.settings import in_utf8


def test_what_an_engine_is_told_is_utf8() -> None:
    assert in_utf8("WORK", Path("/딥러닝")) == "/딥러닝"
    with pytest.raises(UsageError, match="WORK is not UTF-8: b'/") as caught:
        in_utf8("WORK", Path(os.fsdecode(b"/\xc7\xd1")))
    assert "convmv -f EUC-KR" in caught.value.next_step
