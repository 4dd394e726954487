"""The pins of every environment.yml, solved by the real solver against an excerpt of the public channels' metadata.

What it cannot find out: whether a channel has dropped a package since. What it does: a pin that never existed, one
that exists for one system only, and two that exclude each other.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gpuenv.conda import failures as conda_failures
from gpuenv.conda import rattler as conda_rattler
from gpuenv.conda import spec as conda_spec
from gpuenv.conda.channels import CondaRequest
from gpuenv.conda.spec import SUBDIRS
from gpuenv.core.schema import read_toml
from gpuenv.variants import model as variants
from gpuenv.variants.environment import Environment
from gpuenv.variants.kinds import FLAVORS
from simulated import conda_channel
from simulated.conda_channel import Channel, Package

rattler = pytest.importorskip("rattler", reason="py-rattler needs Python 3.10")
exceptions = pytest.importorskip("rattler.exceptions")
EXCERPT = Path(__file__).parent / "data" / "conda-channels.toml"
EVERY = [(name, flavor, subdir) for name in variants.list_names() for flavor in FLAVORS for subdir in SUBDIRS]


@pytest.fixture(scope="module")
def channels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The channels of the excerpt as folders: name -> address."""
    root = tmp_path_factory.mktemp("channels")
    records: dict[tuple[str, str], dict[str, Any]] = {}
    packages = read_toml(EXCERPT)["package"]
    names = {package["channel"] for package in packages}
    for channel in names:
        for subdir in (*SUBDIRS, "noarch"):
            records[channel, subdir] = {}
    for package in packages:
        for subdir in package["subdirs"]:
            for number, build in enumerate(package["builds"]):
                version, _, text = build.partition("=")
                file = f"{package['name']}-{version}-{text}.tar.bz2"
                records[package["channel"], subdir][file] = {
                    "name": package["name"], "version": version, "build": text, "build_number": number,
                    "depends": package.get("depends", []), "subdir": subdir, "sha256": "0" * 64,
                    "noarch": "python" if subdir == "noarch" else None,
                }  # fmt: skip
    for (channel, subdir), content in records.items():
        (root / channel / subdir).mkdir(parents=True)
        text = json.dumps({"info": {"subdir": subdir}, "packages": content})
        (root / channel / subdir / "repodata.json").write_text(text)
    return {name: (root / name).as_uri() for name in names}


def solve(specifications: Sequence[str], addresses: Sequence[str], subdir: str, cache: Path) -> dict[str, str]:
    """Name -> version=build of the solution."""

    gateway = rattler.Gateway(cache_dir=cache)
    found = asyncio.run(conda_rattler.solve(specifications, addresses, subdir, gateway))
    return {record.name.normalized: f"{record.version}={record.build}" for record in found}


def with_address(specification: str, channels: dict[str, str]) -> str:
    """A specification that names its channel, with where that is in these tests."""
    channel, separator, rest = specification.rpartition("::")
    return f"{channels.get(channel, '')}{separator}{rest}"


@pytest.mark.parametrize(("name", "flavor", "subdir"), EVERY)
def test_the_pins_fit_together(name: str, flavor: str, subdir: str, channels: dict[str, str], tmp_path: Path) -> None:
    variant = variants.find_variant(name)
    environment = Environment(variant, flavor)
    wanted = [with_address(each, channels) for each in conda_spec.specifications(environment)]
    addresses = [channels[channel] for channel in conda_spec.channels(environment)]
    found = solve(wanted, addresses, subdir, tmp_path)
    assert found["python"].startswith(f"{variant.python}=")
    assert found["pip"].startswith("21.3.1=")
    assert ("cudatoolkit" in found) is (flavor == "gpu")
    if flavor == "gpu":
        assert found["cudatoolkit"].startswith(variant.cuda.version)
        assert found["cudnn"].startswith(variant.cuda.cudnn)
        # The excerpt's builds say which CUDA they are for: cuda9.0_0, unrecorded_cuda10_0.
        assert f"cuda{variant.cuda.version}" in found["cudnn"].replace("cuda10_0", "cuda10.0")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["cudatoolkit=10.0.130", "cudnn=7.6.5=cuda9.0_0"], "cudnn 7.6.5 needs cudatoolkit 9.0.*"),
        (["cudatoolkit=9.0", "cudnn=7.6.5.32"], "cudnn 7.6.5.32 needs cudatoolkit"),
        (["cudatoolkit=9.1"], "no channel has cudatoolkit 9.1"),
        (["python=3.6.16"], "no channel has python 3.6.16"),
    ],
)
def test_a_wrong_pin_is_caught_and_named(wrong: list[str], said: str, channels: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(exceptions.SolverError) as caught:
        solve([*wrong, "pip"], list(channels.values()), "linux-64", tmp_path)
    request = CondaRequest(tuple(channels), tuple(wrong))
    error = conda_failures.explain(f"SolverError: {caught.value}", program="rattler", request=request, log=tmp_path)
    assert said in f"{error.what}: {error.why}"


def test_without_pins_the_wrong_cuda_is_taken(channels: dict[str, str], tmp_path: Path) -> None:
    """Why they are pinned at all."""
    found = solve(["python=3.6.15", "cudatoolkit", "cudnn"], [channels["conda-forge"]], "linux-64", tmp_path)
    assert not found["cudatoolkit"].startswith(("9.0", "10.0"))


def job(channel: Channel, *packages: Path) -> list[dict[str, Any]]:
    """What conda_env writes down of packages of the tests."""
    records = {name: one for subdir in channel.records.values() for name, one in subdir.items()}
    keys = ("name", "version", "build", "build_number", "subdir", "sha256", "md5", "size", "depends")
    return [
        {**{key: records[path.name][key] for key in keys}, "noarch": records[path.name].get("noarch"),
         "file_name": path.name, "url": path.as_uri(), "channel": channel.folder.as_uri()}
        for path in packages
    ]  # fmt: skip


def test_packages_are_installed_from_their_addresses_and_run_nothing(tmp_path: Path) -> None:
    """Also those of no system, which belong into the folder of the Python that is installed with them."""
    channel = Channel(tmp_path / "channel")
    (tmp_path / "tree/bin").mkdir(parents=True)
    (tmp_path / "tree/bin/.python-post-link.sh").write_text(f"touch {tmp_path}/it-ran\n")
    python = channel.add(Package("python", "3.6.15", "0"), tmp_path / "tree")
    (tmp_path / "pure/site-packages").mkdir(parents=True)
    (tmp_path / "pure/site-packages/pure.py").write_text("x = 1\n")
    pure = channel.add(Package("pure", "1", "0", ("python",), subdir="noarch", noarch="python"), tmp_path / "pure")
    values = {"prefix": str(tmp_path / "env"), "cache": str(tmp_path / "cache")}
    asyncio.run(conda_rattler.install({**values, "packages": job(channel, python, pure)}))
    assert (tmp_path / "env/lib/python3.6/site-packages/pure.py").is_file()
    assert not (tmp_path / "it-ran").exists()
    records = [json.loads(path.read_text()) for path in (tmp_path / "env/conda-meta").glob("*.json")]
    assert {(one["name"], one["sha256"]) for one in records} == {
        (one["name"], one["sha256"]) for one in job(channel, python, pure)
    }


@pytest.mark.parametrize("key", ["sha256", "md5"])
def test_another_file_than_the_sum_says_is_not_installed(key: str, tmp_path: Path) -> None:
    channel = Channel(tmp_path / "channel")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").touch()
    (one,) = job(channel, channel.add(Package("python", "3.6.15", "0"), tmp_path / "tree"))
    sums = {"sha256": None, "md5": None, key: "0" * len(one[key])}
    values = {"prefix": str(tmp_path / "env"), "cache": str(tmp_path / "cache")}
    # What comes from a folder is verified before it gets here: the library believes it.
    with conda_channel.serve(channel.folder) as served:
        one["url"] = f"{served.url}/linux-64/{one['file_name']}"
        with pytest.raises(Exception, match="hash mismatch"):
            asyncio.run(conda_rattler.install({**values, "packages": [{**one, **sums}]}))
    assert not (tmp_path / "env/file").exists()


def test_the_public_channel_of_defaults_has_one_name() -> None:
    assert conda_rattler.renamed("defaults::cudnn=7.6.5=cuda9.0_0") == "main::cudnn=7.6.5=cuda9.0_0"
    assert conda_rattler.renamed("python=3.6.15") == "python=3.6.15"
