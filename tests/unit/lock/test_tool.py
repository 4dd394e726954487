"""The command's own locks."""

from __future__ import annotations

import re

import pytest

from gpuenv.lock import tool


def test_each_lock_of_the_command_holds_all_of_the_smaller_one() -> None:
    # Then what is larger can be added to an environment in place.
    pins = [set(re.findall(r"^[a-z0-9-]+==[^ ]+", path.read_text(), re.MULTILINE)) for path in tool.lock_paths()]
    assert pins[0] < pins[1] < pins[2]
    assert not any(pin.startswith("matplotlib==") for pin in pins[0])


def test_lowest_python() -> None:
    assert tool.lowest_python(">=3.9,<4") == "3.9"
    with pytest.raises(ValueError, match="no >="):
        tool.lowest_python("<4")
