"""Somebody else's conda packages: in a folder that others use, and behind the address of a channel."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
from collections.abc import Sequence
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from msgspec import structs

from gpuenv.conda import channels, lock
from gpuenv.core import paths
from gpuenv.core.errors import SourceError
from gpuenv.variants import model as variants
from simulated import conda_channel
from simulated.conda_channel import Channel, Package
from tiny.people import Person

pytestmark = pytest.mark.skipif(importlib.util.find_spec("rattler") is None, reason="py-rattler needs Python 3.10")
#: What conda would be asked for, by version alone.
NAMES = (("python", "3.6.15"), ("pip", "21.3.1"), ("setuptools", "58.0.4"), ("wheel", "0.37.1"))
GENUINE_PYTHON = "hb7a2778_0_cpython"


def plant(folder: Path, witness: Path, builds: dict[str, str] | None = None) -> Channel:
    """A channel with a Python that leaves ``witness`` when anybody runs it, and with what is asked for besides."""
    channel = Channel(folder / "channel")
    for name, version in NAMES:
        tree = folder / name / "bin"
        tree.mkdir(parents=True)
        if name == "python":
            (tree / "python").write_text(f"#!/bin/sh\nid -u >> {witness}\n")
            (tree / "python").chmod(0o755)
        channel.add(Package(name, version, (builds or {}).get(name, "0")), tree.parent)
    channel.write()
    return channel


def make(person: Person, *words: str | Path, **settings: str) -> CompletedProcess[str]:
    prefix = person.home / "env"
    asked = ("conda-env", "--conda", "rattler", "--flavor", "cpu", "--prefix", prefix, *words)
    return person.gpuenv(*asked, **settings)


def assert_refused(done: CompletedProcess[str], person: Person, witness: Path, code: int, said: Sequence[str]) -> None:
    assert not witness.exists(), f"it ran as {witness.read_text()}"
    assert done.returncode == code, done.stderr
    for text in said:
        assert text in done.stderr
    assert not (person.home / "env").exists()


@pytest.fixture(params=["victim", "root"])
def person(request: pytest.FixtureRequest) -> Person:
    found: Person = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def trap(ground: Path, stranger: Person) -> Path:
    """A folder of the stranger, into which everybody may look, and write."""
    stranger.shell(f"mkdir -m 1777 {ground}/trap")
    return ground / "trap"


def test_loose_packages_of_a_stranger_are_not_of_the_lock(trap: Path, person: Person, tmp_path: Path) -> None:
    channel = plant(tmp_path, trap / "witness")
    for path in (channel.folder / "linux-64").glob("*.tar.bz2"):
        shutil.copy(path, trap)
    done = make(person, "--sources-dir", trap)
    assert_refused(done, person, trap / "witness", 6, ["lacks ", "only the files that conda.lock.toml"])


def test_another_file_under_the_name_of_the_lock_is_refused(trap: Path, person: Person, tmp_path: Path) -> None:
    plant(tmp_path, trap / "witness", {"python": GENUINE_PYTHON})
    # Everything that the lock names, so that what is missing is not what it is refused for.
    for package in lock.read(variants.find_variant(None)).of("cpu"):
        (trap / package.file_name).write_bytes(b"")
    name = f"python-3.6.15-{GENUINE_PYTHON}.tar.bz2"
    shutil.copy(tmp_path / "channel/linux-64" / name, trap)
    done = make(person, "--sources-dir", trap)
    assert_refused(done, person, trap / "witness", 6, ["is refused", "its sha256 is"])


def test_a_channel_that_a_stranger_laid_out_is_refused(trap: Path, person: Person, tmp_path: Path) -> None:
    channel = plant(tmp_path, trap / "witness", {"python": GENUINE_PYTHON})
    shutil.copytree(channel.folder, trap / "channel")
    for settings in ({"GPUENV_SOURCES_DIR": f"{trap}/channel"}, {"GPUENV_CHANNELS": f"{trap}/channel"}):
        assert_refused(make(person, **settings), person, trap / "witness", 6, ["  next:"])


def test_a_channel_that_serves_and_lists_another_python_is_refused(
    ground: Path, trap: Path, person: Person, tmp_path: Path
) -> None:
    """All else is genuine, here: what the tests' own lock names."""
    channel = plant(tmp_path, trap / "witness")
    envs = ground / "envs"
    shutil.copytree(paths.project_root() / "envs", envs)
    name = "python-3.6.15-0.tar.bz2"
    # The lock is written after the channel's own list, which tells the sums of what is served.
    channel.records["linux-64"][name].update({kind: hashlib.new(kind, b"").hexdigest() for kind in ("sha256", "md5")})
    channel.write_lock(variants.load_variant(envs / variants.find_variant(None).name))
    with conda_channel.serve(channel.folder) as served:
        done = make(person, GPUENV_CHANNELS=served.url, GPUENV_ENVS_DIR=str(envs))
    assert_refused(done, person, trap / "witness", 6, [f"the channel gave another file than it promised: {name}"])


def test_a_channel_that_anybody_on_the_way_can_change_is_refused(trap: Path, person: Person) -> None:
    done = make(person, GPUENV_CHANNELS="http://mirror.campus.invalid/conda")
    assert_refused(done, person, trap / "witness", 2, ["http://mirror.campus.invalid/conda is refused"])


def test_genuine_files_are_used_whosever_they_are(trap: Path, stranger: Person, tmp_path: Path) -> None:
    """A folder that is shared by a whole lab; what nobody knows a sum of is not taken from there."""
    content = b"genuine"
    sha256, md5 = (hashlib.new(kind, content).hexdigest() for kind in ("sha256", "md5"))
    genuine = lock.Package("x", "1", "0", "conda-forge", "noarch/x-1-0.conda", ("cpu",), sha256, md5)
    stranger.shell(f"printf genuine > {trap}/x-1-0.conda")
    ((_, url),) = channels.locate([trap.as_uri()], [genuine], tmp_path)
    stranger.shell(f"printf another > {trap}/x-1-0.conda")
    assert Path(url.removeprefix("file://")).read_bytes() == content
    with pytest.raises(SourceError) as caught:
        channels.locate([trap.as_uri()], [structs.replace(genuine, sha256=None, md5=None)], tmp_path / "bare")
    assert "another user of this machine can write to it" in caught.value.why
