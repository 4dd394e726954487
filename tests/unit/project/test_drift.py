"""No drift: an image, a conda environment and a virtual environment of a variant hold the same packages.

From the locks here; from environments that were built, in `identity/installed-set` of the harness, which reads the
same lock, and in tests/e2e/test_conda_env.py.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from gpuenv.conda import spec as conda_spec
from gpuenv.core import paths
from gpuenv.core.errors import DataError
from gpuenv.core.settings import Settings
from gpuenv.images import context as build_context
from gpuenv.lock import command as lock
from gpuenv.prefix import folder as prefixes
from gpuenv.prefix import pip as prefix_pip
from gpuenv.prefix.making import Making
from gpuenv.variants import locks
from gpuenv.variants import model as variants
from gpuenv.variants.environment import Environment
from gpuenv.variants.kinds import FLAVORS
from gpuenv.variants.model import Variant

EVERY = [(name, flavor) for name in variants.list_names() for flavor in FLAVORS]
Packages = Mapping[str, str]


def parse(requirements: str) -> Packages:
    """What a requirements file installs on Linux, read without our own parser: name -> version."""
    lines = re.findall(r"^([a-z0-9][a-z0-9-]*)==([^\s;]+)([^\\\n]*)", requirements, re.MULTILINE)
    return {name: version for name, version, marker in lines if "win32" not in marker}


def in_image(variant: Variant, flavor: str) -> Packages:
    """What the build of an image is given."""
    files = build_context.load_inputs(Environment.of(variant, flavor)).files
    texts = [content.decode() for name, content in files.items() if name.startswith("locks/")]
    assert len(texts) == 6
    return parse("".join(texts))


def in_prefix(variant: Variant, flavor: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Packages:
    """What pip is given in an environment that `venv-env` and `conda-env` make."""
    given: list[str] = []

    def note(_: Making, argv: list[str]) -> None:
        names = [argv[place + 1] for place, part in enumerate(argv) if part == "-r"]
        given.extend(Path(name).read_text(encoding="utf-8") for name in names)

    monkeypatch.setattr(Making, "run", note)
    monkeypatch.setattr(prefix_pip, "check_installed", lambda *_: None)
    prefix = prefixes.place(prefixes.Content("venv", variant.name, flavor, "digest"), folder)
    folder.mkdir(parents=True)
    prefix_pip.install(Making(prefix), Environment(variant, flavor), locks.load_lock(variant.lock_path(flavor)), None)
    return parse("".join(given))


def in_environment_yml(variant: Variant, flavor: str) -> Packages:
    """What the pip section of the file installs; nothing but Python, pip's tools and CUDA comes from conda."""
    path = conda_spec.path(Environment(variant, flavor))
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"^      - -r (\S+)$", text, re.MULTILINE)
    from_conda = re.findall(r"^  - ([a-z][\w-]*)(?:=|$)", text.partition("dependencies:")[2], re.MULTILINE)
    assert len(named) == 1
    assert set(from_conda) <= {"python", "pip", "setuptools", "wheel", "cudatoolkit", "cudnn"}
    return parse((path.parent / named[0]).read_text(encoding="utf-8"))


def find_drift(variant: Variant, flavor: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail, and name the packages, unless all three are the same; a file that was edited is refused before."""
    lock.run(Settings(variant=variant.name, check=True))
    image = in_image(variant, flavor)
    for kind, other in (
        ("virtual environment", in_prefix(variant, flavor, folder, monkeypatch)),
        ("environment.yml", in_environment_yml(variant, flavor)),
    ):
        different = sorted(set(image.items()) ^ set(other.items()))
        assert not different, f"image and {kind} of {variant.name}-{flavor} differ in {different}"
    assert len(image) > 80


@pytest.mark.parametrize(("name", "flavor"), EVERY)
def test_image_conda_and_virtual_environment_hold_the_same(
    name: str, flavor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_drift(variants.find_variant(name), flavor, tmp_path / "env", monkeypatch)


@pytest.fixture
def envs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = tmp_path / "envs"
    shutil.copytree(paths.project_root() / "envs", copy)
    monkeypatch.setenv("GPUENV_ENVS_DIR", str(copy))
    return copy


@pytest.mark.parametrize("file", ["requirements-gpu.txt", "requirements-cpu.txt"])
def test_a_pin_that_was_changed_by_hand_is_red(envs: Path, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = envs / "cuda9.0" / file
    path.write_text(path.read_text().replace("tqdm==", "tqdm==1"))
    with pytest.raises(DataError, match="edited by hand"):
        find_drift(variants.find_variant("cuda9.0"), "gpu", envs.parent / "env", monkeypatch)


def test_a_pin_that_was_changed_with_its_digest_is_red(envs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes the header anew, too, is caught by the environment.yml that was made from the other lock."""
    path = envs / "cuda9.0/requirements-gpu.txt"
    present = locks.load_lock(path)
    pins = [dataclasses.replace(pin, version="4.0") if pin.name == "tqdm" else pin for pin in present.pins]
    path.write_text(locks.render_lock("cuda9.0", pins, present.inputs_digest))
    with pytest.raises(DataError, match=r"environment\.yml is not current"):
        find_drift(variants.find_variant("cuda9.0"), "gpu", envs.parent / "env", monkeypatch)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  - pip\n", "  - pip\n  - numpy=1.16.4\n"),
        ("requirements-gpu.txt", "requirements-cpu.txt"),
        ("python=3.6.15", "python=3.7"),
    ],
)
def test_an_environment_yml_that_was_changed_by_hand_is_red(
    envs: Path, old: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = envs / "cuda9.0/environment.yml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match="edited by hand"):
        find_drift(variants.find_variant("cuda9.0"), "gpu", envs.parent / "env", monkeypatch)


def test_a_program_that_leaves_one_package_out_is_red(envs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = locks.split_for_build

    def forgetful(*args: object) -> dict[str, str]:
        parts = real(*args)  # type: ignore[arg-type]
        return {name: re.sub(r"^tqdm==(?:.*\\\n)*.*\n", "", text, flags=re.MULTILINE) for name, text in parts.items()}

    variant = variants.find_variant("cuda9.0")
    image = in_image(variant, "gpu")
    monkeypatch.setattr(locks, "split_for_build", forgetful)
    assert set(image) - set(in_prefix(variant, "gpu", envs.parent / "env", monkeypatch)) == {"tqdm"}
