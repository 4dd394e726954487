"""The lock of the conda packages: what it says, and that what was installed is compared with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from msgspec import structs

from gpuenv.conda import lock as conda_lock
from gpuenv.conda.lock import CondaLock, Package
from gpuenv.core import paths
from gpuenv.core.errors import DataError, SourceError
from gpuenv.variants import model as variants
from gpuenv.variants.kinds import FLAVORS
from gpuenv.variants.locks import with_header
from gpuenv.variants.model import Variant

EVERY = [(name, flavor) for name in variants.list_names() for flavor in FLAVORS]
#: What no public file has a sum of (README says so).
BARE = {"cuda9.0": {"cudatoolkit", "cudnn"}}


@pytest.fixture
def variant(tmp_path: Path) -> Variant:
    """A copy of a variant that a test may damage."""
    shutil.copytree(paths.project_root() / "envs/cuda9.0", tmp_path / "cuda9.0")
    return variants.load_variant(tmp_path / "cuda9.0")


@pytest.mark.parametrize("name", variants.list_names())
def test_every_package_has_its_sums_but_those_that_are_told(name: str) -> None:
    lock = conda_lock.read(variants.find_variant(name))
    assert not lock.stand_in
    assert {package.name for package in lock.packages if not package.is_hashed} == BARE.get(name, set())
    for package in lock.packages:
        if package.is_hashed:
            assert package.sha256
            assert package.md5
            assert package.size
        assert package.checked or package.origin == "channel"


@pytest.mark.parametrize(("name", "flavor"), EVERY)
def test_what_a_package_needs_is_in_the_lock_in_a_version_that_fits(name: str, flavor: str) -> None:
    rattler = pytest.importorskip("rattler", reason="py-rattler needs Python 3.10")
    packages = {package.name: package for package in conda_lock.read(variants.find_variant(name)).of(flavor)}
    for package in packages.values():
        for text in package.depends:
            wanted = rattler.MatchSpec(text, strict=False)
            found = packages[wanted.name.normalized if hasattr(wanted.name, "normalized") else text.split()[0]]
            build = rattler.BuildString(found.build)
            record = rattler.PackageRecord(found.name, found.version, build, found.build_number, found.subdir)
            assert wanted.matches(record), f"{package.name} needs {text}, the lock has {found.version} {found.build}"


def test_the_cpu_flavor_has_no_cuda() -> None:
    lock = conda_lock.read(variants.find_variant("cuda10.0"))
    names = {flavor: {package.name for package in lock.of(flavor)} for flavor in FLAVORS}
    assert names["gpu"] - names["cpu"] == {"cudatoolkit", "cudnn"}
    assert names["cpu"] < names["gpu"]


def test_the_same_packages_give_the_same_bytes(variant: Variant) -> None:
    path = conda_lock.path_of(variant)
    before = path.read_text()
    assert conda_lock.render(variant, reversed(conda_lock.read(variant).packages)) == before
    path.write_text(conda_lock.render(variant, conda_lock.read(variant).packages, stand_in=True))
    assert conda_lock.read(variant).stand_in
    conda_lock.check(variant)


def test_one_edited_by_hand_is_refused(variant: Variant) -> None:
    path = conda_lock.path_of(variant)
    path.write_text(path.read_text().replace("3.6.15", "3.6.16"))
    with pytest.raises(DataError, match="refused") as caught:
        conda_lock.read(variant)
    assert "edited by hand" in caught.value.why


def test_other_specifications_make_it_old(variant: Variant) -> None:
    path = variant.folder / "variant.toml"
    path.write_text(path.read_text().replace("cudnn=7.6.5=cuda9.0_0", "cudnn=7.6.4=cuda9.0_0"))
    with pytest.raises(DataError, match="is not current"):
        conda_lock.check(variants.load_variant(variant.folder))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("cudnn", {"build": "cuda10.0_0", "file": "linux-64/cudnn-7.6.5-cuda10.0_0.conda"}),
        ("cudatoolkit", {"version": "9.01", "file": "linux-64/cudatoolkit-9.01-h13b8566_0.conda"}),
    ],
)
def test_a_lock_that_does_not_fulfill_them_is_found(variant: Variant, name: str, changes: dict[str, str]) -> None:
    packages = [
        structs.replace(one, **changes) if one.name == name else one for one in conda_lock.read(variant).packages
    ]
    conda_lock.path_of(variant).write_text(conda_lock.render(variant, packages))
    with pytest.raises(DataError, match="is not current") as caught:
        conda_lock.check(variant)
    assert f"for gpu it does not fulfill defaults::{name}" in caught.value.why


@pytest.mark.parametrize(
    "line",
    [
        'file = "linux-64/python-3.6.14-hb7a2778_0_cpython.tar.bz2"',
        'file = "../python-3.6.15-hb7a2778_0_cpython.tar.bz2"',
        'file = "linux-64/python-3.6.15-hb7a2778_0_cpython.tar.bz2\\nhttps://evil/x.conda"',
        'sha256 = "00"',
        'checked = ""',
    ],
)
def test_what_is_no_package_of_a_channel_is_refused(variant: Variant, line: str) -> None:
    path = conda_lock.path_of(variant)
    key = line.split(" = ", maxsplit=1)[0]
    body = path.read_text().split("\n\n", maxsplit=1)[1]
    before, python = body.split('name = "python"\n')
    lines = [line if each.startswith(f"{key} = ") else each for each in python.split("\n\n")[0].splitlines()]
    text = f'{before}name = "python"\n' + "\n".join(lines) + "\n"
    path.write_text(with_header(variant.name, text, conda_lock.inputs_digest(variant)))
    with pytest.raises(DataError, match="is not usable"):
        conda_lock.read(variant)


# --- what was installed --------------------------------------------------------------------------


@pytest.fixture
def lock(variant: Variant) -> CondaLock:
    return conda_lock.read(variant)


def install(folder: Path, packages: tuple[Package, ...]) -> Path:
    (folder / "conda-meta").mkdir(parents=True)
    (folder / "conda-meta/history").touch()
    for package in packages:
        record = {key: getattr(package, key) for key in ("name", "version", "build", "sha256", "md5")}
        (folder / f"conda-meta/{package.name}.json").write_text(json.dumps(record))
    return folder


def test_exactly_what_the_lock_names(lock: CondaLock, tmp_path: Path) -> None:
    wanted = lock.of("gpu")
    conda_lock.verify_installed(install(tmp_path / "env", wanted), wanted, lock)


@pytest.mark.parametrize("key", ["version", "build", "sha256", "md5"])
def test_another_package_is_found(key: str, lock: CondaLock, tmp_path: Path) -> None:
    folder = install(tmp_path / "env", lock.of("cpu"))
    path = folder / "conda-meta/python.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: "0"}))
    with pytest.raises(SourceError, match="python: what was installed is not what") as caught:
        conda_lock.verify_installed(folder, lock.of("cpu"), lock)
    assert f"its {key} is 0" in caught.value.why


def test_one_sum_is_enough_where_a_program_writes_no_other(lock: CondaLock, tmp_path: Path) -> None:
    wanted = lock.of("cpu")
    folder = install(tmp_path / "env", tuple(structs.replace(each, sha256=None) for each in wanted))
    conda_lock.verify_installed(folder, wanted, lock)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("python", None, "not installed at all"),
        ("besides", '{"name": "besides"}', "nothing of that name"),
        ("besides", "{", "cannot be read"),
        ("besides", "[1]", "cannot be read"),
    ],
)
def test_more_or_less_than_that_is_found(
    name: str, text: str | None, said: str, lock: CondaLock, tmp_path: Path
) -> None:
    path = install(tmp_path / "env", lock.of("cpu")) / f"conda-meta/{name}.json"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(SourceError, match=name) as caught:
        conda_lock.verify_installed(path.parents[1], lock.of("cpu"), lock)
    assert said in caught.value.why
