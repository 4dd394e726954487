"""The generated environment.yml."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import pytest

from gpuenv.conda import spec as conda_spec
from gpuenv.core import paths
from gpuenv.core.errors import DataError, UsageError
from gpuenv.core.settings import Settings
from gpuenv.lock import command as lock
from gpuenv.lock import uv
from gpuenv.variants import locks
from gpuenv.variants import model as variants
from gpuenv.variants.environment import Environment
from gpuenv.variants.kinds import FLAVORS
from gpuenv.variants.model import CondaTable, Variant


@pytest.fixture
def envs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the repository's variants that a test may damage."""
    copy = tmp_path / "envs"
    shutil.copytree(paths.project_root() / "envs", copy)
    monkeypatch.setenv("GPUENV_ENVS_DIR", str(copy))
    monkeypatch.setattr(uv, "run_uv", lambda *_: pytest.fail("nothing may be resolved here"))
    return copy


def check() -> int:
    return lock.run(Settings(variant="cuda9.0", check=True))


def text_of(variant: Variant, flavor: str) -> str:
    return conda_spec.path(Environment(variant, flavor)).read_text(encoding="utf-8")


def dependencies(text: str) -> list[str]:
    return re.findall(r"^  - ([a-z][\w.=]*)$", text.partition("dependencies:")[2], re.MULTILINE)


@pytest.mark.parametrize("flavor", FLAVORS)
@pytest.mark.parametrize("name", variants.list_names())
def test_it_pins_python_and_installs_the_hashed_lock_beside_it(name: str, flavor: str) -> None:
    variant = variants.find_variant(name)
    text = text_of(variant, flavor)
    assert f"python={variant.python}" in dependencies(text)
    assert text.endswith(f"  - pip:\n      - --require-hashes\n      - -r requirements-{flavor}.txt\n")
    assert (conda_spec.path(Environment(variant, flavor)).parent / f"requirements-{flavor}.txt").is_file()


@pytest.mark.parametrize("name", variants.list_names())
def test_cuda_of_the_gpu_flavor_is_the_variants(name: str) -> None:
    variant = variants.find_variant(name)
    pins = dict(line.split("=")[:2] for line in dependencies(text_of(variant, "gpu")) if "=" in line)
    assert pins["cudatoolkit"].startswith(variant.cuda.version)
    assert pins["cudnn"].startswith(variant.cuda.cudnn)
    assert "cuda" not in " ".join(dependencies(text_of(variant, "cpu")))


def test_channels_are_stated_and_no_others_are_added() -> None:
    cuda9, cuda10 = variants.find_variant("cuda9.0"), variants.find_variant("cuda10.0")
    assert "channels:\n  - conda-forge\n  - defaults\ndependencies" in text_of(cuda9, "gpu")
    for variant, flavor in ((cuda10, "gpu"), (cuda10, "cpu"), (cuda9, "cpu")):
        assert "channels:\n  - conda-forge\n  - nodefaults\ndependencies" in text_of(variant, flavor)


def test_builds_are_named_only_where_both_systems_have_the_same() -> None:
    text = text_of(variants.find_variant("cuda9.0"), "gpu")
    assert "  - cudnn=7.6.5=cuda9.0_0\n" in text
    assert "  - cudatoolkit=9.0\n" in text


def test_names_differ_so_that_both_flavors_can_be_there() -> None:
    variant = variants.find_variant("cuda10.0")
    assert "name: gpuenv-cuda10.0\n" in text_of(variant, "gpu")
    assert "name: gpuenv-cuda10.0-cpu\n" in text_of(variant, "cpu")


def test_pip_and_what_builds_sources_come_from_conda_first() -> None:
    """Sources of that time have no pyproject.toml: pip builds them with what is there, and fetches nothing."""
    assert {"pip", "setuptools", "wheel"} <= set(dependencies(text_of(variants.find_variant("cuda10.0"), "cpu")))


def test_the_ones_in_the_repository_are_current(envs: Path) -> None:
    assert check() == 0


def test_one_edited_by_hand_is_refused(envs: Path) -> None:
    path = envs / "cuda9.0/environment.yml"
    path.write_text(path.read_text().replace("cudatoolkit=9.0", "cudatoolkit=9.2"))
    with pytest.raises(DataError, match="edited by hand"):
        check()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("variant.toml", "cudatoolkit=9.0", "cudatoolkit=9.2"),
        ("variant.toml", 'channels = ["conda-forge"]', 'channels = ["main"]'),
    ],
)
def test_drift_of_the_inputs_is_found(envs: Path, file: str, old: str, new: str) -> None:
    path = envs / "cuda9.0" / file
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match="is not current") as caught:
        check()
    assert "make lock VARIANT=cuda9.0" in caught.value.next_step


def test_drift_of_the_lock_is_found(envs: Path) -> None:
    path = envs / "cuda9.0/requirements-cpu.txt"
    present = locks.load_lock(path)
    pins = [dataclasses.replace(pin, version="4.0") if pin.name == "tqdm" else pin for pin in present.pins]
    path.write_text(locks.render_lock("cuda9.0", pins, present.inputs_digest))
    with pytest.raises(DataError, match=r"environment-cpu\.yml is not current"):
        check()


def test_one_that_an_older_program_wrote_is_found(envs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conda_spec, "_remarks", lambda *_: ["# another remark"])
    with pytest.raises(DataError, match="writes it differently"):
        check()


def test_a_missing_one_names_the_command(envs: Path) -> None:
    (envs / "cuda9.0/environment.yml").unlink()
    with pytest.raises(DataError, match="is missing") as caught:
        check()
    assert "make lock VARIANT=cuda9.0" in caught.value.next_step


def test_make_lock_writes_them(envs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pins = {flavor: locks.load_lock(envs / f"cuda9.0/requirements-{flavor}.txt").pins for flavor in FLAVORS}
    monkeypatch.setattr(lock, "resolve", lambda lines, *_: pins["gpu" if "-gpu" in lines[0] else "cpu"])
    suite = locks.load_lock(envs / "cuda9.0/requirements-upstream.txt").pins
    monkeypatch.setattr(lock, "resolve_suite", lambda *_: suite)
    before = {path.name: path.read_bytes() for path in (envs / "cuda9.0").iterdir()}
    for name in ("environment.yml", "environment-cpu.yml"):
        (envs / "cuda9.0" / name).unlink()
    lock.run(Settings(variant="cuda9.0"))
    assert {path.name: path.read_bytes() for path in (envs / "cuda9.0").iterdir()} == before


def test_a_variant_without_conda_has_none(envs: Path) -> None:
    path = envs / "cuda9.0/variant.toml"
    path.write_text(re.sub(r"\[conda\]\n(?:(?!\[).*\n)*", "", path.read_text()))
    variant = variants.find_variant("cuda9.0")
    assert conda_spec.environments(variant) == ()
    with pytest.raises(UsageError, match="no conda environment") as caught:
        conda_spec.of(variant)
    assert "make venv-env" in caught.value.next_step
    assert check() == 0


@pytest.mark.parametrize("gpu", ['["cudatoolkit"]', '["cudatoolkit>=9"]', '["a=1 b"]', "[]", '"x"'])
def test_a_specification_pins(envs: Path, gpu: str) -> None:
    path = envs / "cuda9.0/variant.toml"
    path.write_text(re.sub(r"(?m)^gpu = \[.*\]$", f"gpu = {gpu}", path.read_text()))
    with pytest.raises(DataError, match=r"conda\.gpu"):
        variants.find_variant("cuda9.0")


def test_what_only_one_channel_has_is_asked_of_it() -> None:
    variant = variants.find_variant("cuda9.0")
    assert isinstance(variant.conda, CondaTable)
    assert "defaults::cudatoolkit=9.0" in conda_spec.specifications(Environment(variant, "gpu"))
    assert conda_spec.without_channel("defaults::cudatoolkit=9.0") == "cudatoolkit=9.0"
    assert conda_spec.specifications(Environment(variant, "cpu")) == ("python=3.6.15", "pip", "setuptools", "wheel")
