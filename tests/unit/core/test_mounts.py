from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.core import mounts

TABLE = """22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:25 / /proc rw - proc proc rw
40 22 254:0 /s/my\\040data /s/my\\040data rw shared:2 - ext4 /dev/vda rw
41 40 0:50 / /s/my\\040data/overlay2/x/merged rw - overlay overlay rw
42 22 0:51 / /s/my\\040database rw - tmpfs tmpfs rw
"""


def test_mount_points_are_read_with_their_odd_characters() -> None:
    assert mounts.parse_points(TABLE)[2] == Path("/s/my data")


def test_what_is_mounted_below_comes_before_what_it_lies_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: TABLE)
    assert mounts.find_below(Path("/s/my data")) == [Path("/s/my data/overlay2/x/merged"), Path("/s/my data")]
    assert mounts.find_below(Path("/s/my data/overlay2")) == [Path("/s/my data/overlay2/x/merged")]
    assert mounts.find_below(Path("/s/my dat")) == []


def test_the_root_is_a_mount_point() -> None:
    assert Path("/") in mounts.find_below(Path("/"))
