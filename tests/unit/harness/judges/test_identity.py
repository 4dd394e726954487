"""The settings of an image and the files of an environment are those of its recipe."""

from __future__ import annotations

from typing import Any

import pytest

from gpuenv.core.errors import CheckError
from gpuenv.harness.judges import identity

RECIPE = {"Env": {"LANG": "C.UTF-8", "HOME": "/home/user"}, "Cmd": ["bash"], "User": "1000:1000"}


def test_the_recipes_settings_pass() -> None:
    identity.judge_settings(RECIPE, {**RECIPE})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"Env": {**RECIPE["Env"], "OMP_NUM_THREADS": "1"}}, "OMP_NUM_THREADS is '1', by the recipe 'not set'"),  # type: ignore[dict-item]
        ({"Env": {"LANG": "POSIX", "HOME": "/home/user"}}, "LANG is 'POSIX', by the recipe 'C.UTF-8'"),
        ({"Env": {"LANG": "C.UTF-8"}}, "HOME is 'not set', by the recipe '/home/user'"),
        ({"Cmd": ["python"]}, "Cmd is ['python'], by the recipe ['bash']"),
        ({"Volumes": {"/data": {}}}, "Volumes is {'/data': {}}, by the recipe 'not set'"),
    ],
)
def test_other_settings_are_named(change: dict[str, Any], says: str) -> None:
    with pytest.raises(CheckError) as caught:
        identity.judge_settings({**RECIPE, **change}, RECIPE)
    assert caught.value.what == f"settings that are not the recipe's: {says}"


def test_settings_without_variables_are_compared() -> None:
    with pytest.raises(CheckError, match=r"LANG is 'not set', by the recipe 'C\.UTF-8'"):
        identity.judge_settings({"Cmd": ["bash"], "User": "1000:1000"}, RECIPE)


def test_without_a_recipe_nothing_is_right() -> None:
    with pytest.raises(CheckError, match="no label says"):
        identity.judge_settings({}, {})


def test_strays() -> None:
    identity.judge_strays([], identity.FEWEST_FILES)
    with pytest.raises(CheckError, match=r"2 files belong to no package: /a; /b\n"):
        identity.judge_strays(["/a", "/b"], identity.FEWEST_FILES)
    with pytest.raises(CheckError, match=r"11 files .* /9 \.\.\.\n"):
        identity.judge_strays([f"/{number}" for number in range(11)], identity.FEWEST_FILES)
    with pytest.raises(CheckError, match="only 999 installed files"):
        identity.judge_strays([], identity.FEWEST_FILES - 1)
