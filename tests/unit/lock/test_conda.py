"""Resolving the conda lock: what is kept, what is solved anew, and what a solution becomes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gpuenv.conda import lock as conda_lock
from gpuenv.conda import spec
from gpuenv.core import paths, signals
from gpuenv.core.errors import BuildError, SourceError
from gpuenv.lock import conda
from gpuenv.variants import model as variants
from gpuenv.variants.environment import Environment
from gpuenv.variants.model import Variant
from simulated import conda_channel
from simulated.conda_channel import Channel, Package


@pytest.fixture
def variant(tmp_path: Path) -> Variant:
    shutil.copytree(paths.project_root() / "envs/cuda9.0", tmp_path / "cuda9.0")
    return variants.load_variant(tmp_path / "cuda9.0")


def record(name: str, **values: Any) -> dict[str, Any]:
    """What conda says of a package."""
    return {
        "name": name, "version": "1", "build": "h0_2", "build_number": 2, "subdir": "linux-64", "size": 5,
        "file_name": f"{name}-1-h0_2.conda", "channel": "https://conda.example/conda-forge/", "depends": ["b >=1"],
        "sha256": "a" * 64, "md5": "b" * 32, **values,
    }  # fmt: skip


def down(_: Environment) -> list[dict[str, Any]]:
    raise SourceError("the channel conda-forge does not answer", "refused", "try again")


def test_one_that_is_current_is_kept_and_nobody_asked(variant: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Facts that were written by hand, too."""
    monkeypatch.setattr(conda, "solve", lambda _: pytest.fail("nothing may be solved here"))
    assert conda.render(variant, upgrade=False) == conda_lock.path_of(variant).read_text()


def test_it_is_kept_where_no_channel_answers(
    variant: Variant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(conda, "solve", down)
    assert conda.render(variant, upgrade=True) == conda_lock.path_of(variant).read_text()
    assert "is kept as it is: the channel conda-forge does not answer" in capsys.readouterr().err


@pytest.mark.parametrize("is_missing", [True, False])
def test_without_a_channel_a_missing_or_an_old_one_is_not_made(
    variant: Variant, is_missing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conda, "solve", down)
    if is_missing:
        conda_lock.path_of(variant).unlink()
    else:
        path = variant.folder / "variant.toml"
        path.write_text(path.read_text().replace("cudnn=7.6.5=cuda9.0_0", "cudnn=7.6.4=cuda9.0_0"))
    with pytest.raises(SourceError, match="does not answer"):
        conda.render(variants.load_variant(variant.folder), upgrade=False)


def test_a_solution_becomes_a_lock(variant: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    both, own = record("a", noarch="python", subdir="noarch"), record("c", channel="main", md5=None)
    monkeypatch.setattr(conda, "solve", lambda one: [both, own] if one.flavor == "gpu" else [both])
    conda_lock.path_of(variant).write_text(conda.render(variant, upgrade=True))
    lock = conda_lock.read(variant)
    shared, cuda = lock.packages
    assert (shared.file, shared.channel, shared.noarch) == ("noarch/a-1-h0_2.conda", "conda-forge", "python")
    assert (shared.sha256, shared.md5, shared.size, shared.build_number) == ("a" * 64, "b" * 32, 5, 2)
    assert (set(shared.flavors), cuda.flavors, cuda.channel, cuda.md5) == ({"gpu", "cpu"}, ("gpu",), "main", None)
    assert shared.origin == "channel"


def test_the_channels_own_metadata_are_solved(
    variant: Variant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real library, and a channel of the loopback address."""
    pytest.importorskip("rattler", reason="py-rattler needs Python 3.10")
    channel = Channel(tmp_path / "served/forge")
    for name, version in (("python", "3.6.15"), ("pip", "21.3.1"), ("setuptools", "1"), ("wheel", "1"), ("base", "2")):
        channel.add(Package(name, version, "0", ("base >=1",) if name == "python" else ()))
    channel.write()
    with conda_channel.serve(tmp_path / "served") as served:
        monkeypatch.setattr(spec, "channels", lambda _: (f"{served.url}/forge",))
        found = conda.merge({"cpu": conda.solve(Environment(variant, "cpu"))})
    assert {package.name for package in found} == {"python", "pip", "setuptools", "wheel", "base"}
    for package in found:
        known = channel.records["linux-64"][package.file_name]
        assert (package.sha256, package.md5, package.size) == (known["sha256"], known["md5"], known["size"])
        assert (package.channel, package.flavors) == ("forge", ("cpu",))


def test_what_the_solver_wrote_is_kept(variant: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "nobody knows this at https://me:s3cret@mirror.campus/c"
    monkeypatch.setattr(signals, "ask", lambda argv, *_, **__: subprocess.CompletedProcess(argv, 1, "", said))
    with pytest.raises(BuildError) as caught:
        conda.solve(Environment(variant, "cpu"))
    log = paths.state_dir() / "logs/conda-lock.log"
    assert str(log) in caught.value.next_step
    assert log.read_text() == "nobody knows this at https://mirror.campus/c"
