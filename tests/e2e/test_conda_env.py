"""Environments without a container, made for real: a channel and an index on the loopback address, no engine.

The small ones hold a tiny variant and take seconds. The heavy ones (``GPUENV_HEAVY=1``, `.ci/run` sets it) are the
real variants with their real TensorFlow, checked by the whole harness; each takes two minutes and fetches a gigabyte.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gpuenv.conda import spec as conda_spec
from gpuenv.core import paths
from gpuenv.cuda import sources, stand_ins
from gpuenv.host import pythons
from gpuenv.variants import model as variants
from gpuenv.variants.cuda_lock import load_cuda_lock, of_index
from gpuenv.variants.environment import Environment
from gpuenv.variants.locks import Pin
from simulated import conda_channel
from simulated.conda_channel import Channel, Package, Served
from tiny.command import Gpuenv, plain_environment
from tiny.index import Index, served
from tiny.variant import Tiny, make_tiny

MINOR = "3.6"
LOCAL = pythons.find_python(MINOR)
pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("rattler") is None, reason="py-rattler needs Python 3.10"),
    pytest.mark.skipif(LOCAL is None, reason="there is no local CPython to make a channel of"),
]
heavy = pytest.mark.skipif(os.environ.get("GPUENV_HEAVY") != "1", reason="takes minutes: set GPUENV_HEAVY=1")
IMPORT = "python -c 'import tensorflow, keras, sys; print(tensorflow.__version__, sys.prefix)'"


@pytest.fixture(scope="session")
def base_channel(tmp_path_factory: pytest.TempPathFactory, tools: tuple[Path, tuple[Pin, ...]]) -> Channel:
    """Python and what installs packages, packed once."""
    assert LOCAL is not None
    channel = Channel(tmp_path_factory.mktemp("channel"))
    conda_channel.python_package(channel, LOCAL, MINOR)
    for wheel in sorted(tools[0].glob("*.whl")):
        conda_channel.wheel_package(channel, wheel, MINOR)
    channel.write()
    return channel


@pytest.fixture(scope="session")
def warm_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Downloads and unpacked packages, for the tests that are not about fetching them."""
    return tmp_path_factory.mktemp("conda-cache")


@dataclass
class Machine:
    """A machine without an engine: the command, its channel, its index, and the tiny variant."""

    gpuenv: Gpuenv
    channel: Served
    index: Index
    tiny: Tiny
    folder: Path
    cache: Path

    @property
    def cold(self) -> dict[str, str]:
        """Settings of a machine that has fetched nothing yet."""
        return {"GPUENV_CACHE_DIR": str(self.folder / "cold")}

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return self.gpuenv.run(*arguments, **more)

    def begin(self, folder: Path) -> subprocess.Popen[str]:
        """Begin to make an environment, in a session of its own; it waits for a file of the index when this returns."""
        self.index.withheld = "keras-0.0.1-py3-none-any.whl"
        process = subprocess.Popen(
            [sys.executable, "-m", "gpuenv", "conda-env", "--variant", self.tiny.name, "--prefix", str(folder)],
            env=self.gpuenv.environment, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self.index.wait_until_asked()
        return process


@pytest.fixture
def machine(
    tmp_path: Path, tools: tuple[Path, tuple[Pin, ...]], base_channel: Channel, warm_cache: Path
) -> Iterator[Machine]:
    tiny = make_tiny(tmp_path, f"tiny-{secrets.token_hex(4)}", *tools)
    variant = variants.load_variant(tiny.envs / tiny.name)
    lock = variant.lock_path("cpu").read_text(encoding="utf-8")
    environment = Environment(variant, "cpu")
    conda_spec.path(environment).write_text(conda_spec.render(environment, lock), encoding="utf-8")
    base_channel.write_lock(variant)
    with conda_channel.serve(base_channel.folder) as channel, served(tiny.packages) as index:
        settings = {
            "GPUENV_ENVS_DIR": str(tiny.envs),
            "GPUENV_CHANNELS": channel.url,
            "GPUENV_CONDA": "rattler",
            "GPUENV_FLAVOR": "cpu",
            "GPUENV_STATE_DIR": str(tmp_path / "state"),
            "GPUENV_CACHE_DIR": str(warm_cache),
            "GPUENV_INSTALL_ENGINE": "0",
            "DOCKER_HOST": f"unix://{tmp_path}/nothing.sock",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": index.url,
            "HOME": str(tmp_path),
            "PYENV_ROOT": str(LOCAL.prefix.parents[1]) if LOCAL else "",
        }
        yield Machine(Gpuenv({**plain_environment(), **settings}, tiny), channel, index, tiny, tmp_path, warm_cache)


def installed(folder: Path) -> dict[str, str]:
    """What an environment holds, asked of itself."""
    code = "import json, pkg_resources; print(json.dumps({d.project_name.lower().replace('_', '-'): d.version for d in pkg_resources.working_set}))"  # noqa: E501
    done = subprocess.run([folder / "bin/python", "-I", "-c", code], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_a_shell_in_a_conda_environment(machine: Machine) -> None:
    shell = ("gpu-shell", "--engine", "conda", "--cmd")
    first = machine.run(*shell, IMPORT)
    assert first.returncode == 0, first.stderr
    version, prefix = first.stdout.split(maxsplit=1)
    assert version == "0.0.1"
    assert Path(prefix.strip()).parent == machine.cache / "condas"
    asked = len(machine.channel.requests)
    again = machine.run(*shell, IMPORT + "; exit 3")
    assert (again.returncode, again.stdout) == (3, first.stdout)
    assert len(machine.channel.requests) == asked


def test_a_prefix_with_a_blank_and_korean_letters(machine: Machine) -> None:
    folder = machine.folder / "내 환경 1"
    made = machine.run("conda-env", "--prefix", str(folder))
    assert made.returncode == 0, made.stderr
    assert made.stdout == f"{folder}\n"
    # No engine is named: the folder says what it holds.
    used = machine.run("gpu-shell", "--prefix", str(folder), "--cmd", f"{IMPORT}; pip --version")
    assert used.returncode == 0, used.stderr
    assert f"0.0.1 {folder}" in used.stdout
    assert "a conda environment, not a container" in used.stderr
    # By hand, too: conda's own hooks, and a Python that needs none.
    assert (folder / "etc/conda/activate.d/gpuenv.sh").is_file()
    subprocess.run([folder / "bin/python", "-c", "import tensorflow"], check=True)


def test_conda_and_venv_hold_the_same(machine: Machine) -> None:
    folders = {kind: machine.folder / kind for kind in ("conda", "venv")}
    for kind, folder in folders.items():
        made = machine.run(f"{kind}-env", "--prefix", str(folder))
        assert made.returncode == 0, made.stderr
    assert installed(folders["conda"]) == installed(folders["venv"])
    assert "tensorflow" in installed(folders["venv"])


def test_with_every_engine_hidden_the_virtual_environment_is_used_and_said(machine: Machine) -> None:
    done = machine.run("gpu-shell", "--cmd", IMPORT)
    assert done.returncode == 0, done.stderr
    assert "Using an environment of this machine instead of a container" in done.stderr
    assert f"{machine.cache}/venvs/" in done.stdout


def test_what_broke_off_in_the_middle_is_made_whole_by_the_next_run(machine: Machine) -> None:
    folder = machine.folder / "env"
    machine.channel.cut = "python-"
    broken = machine.run("conda-env", "--prefix", str(folder), **machine.cold)
    assert broken.returncode != 0
    assert "  next:" in broken.stderr
    assert not folder.exists()
    machine.channel.cut = ""
    made = machine.run("conda-env", "--prefix", str(folder), **machine.cold)
    assert made.returncode == 0, made.stderr
    assert "tensorflow" in installed(folder)


def test_a_half_made_one_is_never_used(machine: Machine) -> None:
    """Killed while pip waits for the index, when Python is there already."""
    folder = machine.folder / "env"
    process = machine.begin(folder)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert (folder / "bin/python").exists()
    assert not (folder / "gpuenv-complete").exists()
    machine.index.release()
    made = machine.run("gpu-shell", "--engine", "conda", "--prefix", str(folder), "--cmd", IMPORT)
    assert made.returncode == 0, made.stderr
    assert "is half made; making it anew" in made.stderr


def test_a_package_that_is_another_file_is_refused(machine: Machine) -> None:
    machine.channel.damaged = "python-"
    done = machine.run("conda-env", "--prefix", str(machine.folder / "env"), **machine.cold)
    assert done.returncode == 6, done.stderr
    # Which is seen first, the sum or that it cannot be unpacked, is a matter of luck.
    assert re.search(r"(another file than it promised|a damaged file): python-3\.6\.", done.stderr)
    assert not (machine.folder / "env").exists()


def test_a_package_that_has_vanished_from_the_channel(machine: Machine) -> None:
    machine.channel.gone = "python-"
    done = machine.run("conda-env", "--prefix", str(machine.folder / "env"), **machine.cold)
    assert done.returncode == 6, done.stderr
    assert "a package is gone from the channel: python-3.6." in done.stderr
    assert "CHANNELS=" in done.stderr


def test_a_channel_that_is_down(machine: Machine) -> None:
    # With what was fetched before there is nothing to ask it for.
    done = machine.run("conda-env", GPUENV_CHANNELS="http://127.0.0.1:9", **machine.cold)
    assert done.returncode == 6, done.stderr
    assert "the channel http://127.0.0.1:9" in done.stderr
    assert "SOURCES_DIR=" in done.stderr


def test_a_channel_whose_authority_nobody_knows_and_its_remedy(
    machine: Machine, base_channel: Channel, authority: tuple[Path, tuple[Path, Path]]
) -> None:
    bundle, certificate = authority
    (machine.folder / ".condarc").write_text("ssl_verify: false\n")
    with conda_channel.serve(base_channel.folder, certificate) as channel:
        refused = machine.run("conda-env", GPUENV_CHANNELS=channel.url, **machine.cold)
        assert refused.returncode == 6, refused.stderr
        assert "the channel's certificate is not trusted" in refused.stderr
        assert "ssl_verify: false" in refused.stderr
        made = machine.run("conda-env", GPUENV_CHANNELS=channel.url, PIP_CERT=str(bundle), **machine.cold)
        assert made.returncode == 0, made.stderr


def test_a_signal_that_ends_us_leaves_nothing(machine: Machine) -> None:
    """The end of a batch job's time, or of a terminal."""
    folder = machine.folder / "env"
    process = machine.begin(folder)
    process.terminate()
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert not folder.exists()


def test_a_folder_of_packages_and_no_network(machine: Machine, base_channel: Channel) -> None:
    """conda packages and wheels in one folder; neither a channel nor an index is there."""
    offline = machine.folder / "offline 폴더"
    offline.mkdir()
    for path in [*(base_channel.folder / "linux-64").glob("*.tar.bz2"), *machine.tiny.packages.iterdir()]:
        (offline / path.name).write_bytes(path.read_bytes())
    before = sorted(offline.iterdir())
    done = machine.run(
        "gpu-shell", "--engine", "conda", "--sources-dir", str(offline), "--cmd", IMPORT,
        GPUENV_CHANNELS="http://127.0.0.1:9", PIP_INDEX_URL="http://127.0.0.1:9/simple",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("0.0.1 ")
    assert sorted(offline.iterdir()) == before


# --- the real thing --------------------------------------------------------------------------------


TRAIN = "python -B xor_keras.py | python -c 'import json, sys; print(json.load(sys.stdin)[\"table\"])'"
#: The command, which would run the project's own tests first: they have their own turn.
WITHOUT_UNIT_TESTS = """
import sys
from gpuenv import cli
from gpuenv.harness import command as harness
harness.run_unit_tests = lambda *_: None
sys.exit(cli.main(sys.argv[1:]))
"""


def package_of(specification: str, depends: tuple[str, ...] = (), constrains: tuple[str, ...] = ()) -> Package:
    """The package that a specification pins."""
    name, version, *build = conda_spec.without_channel(specification).split("=")
    return Package(name, version, build[0] if build else "0", depends, constrains)


@heavy
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", variants.list_names())
def test_the_harness_runs_in_a_conda_environment_with_cuda(name: str, tmp_path: Path, base_channel: Channel) -> None:
    envs = tmp_path / "envs"
    shutil.copytree(paths.project_root() / "envs", envs)
    variant = variants.load_variant(envs / name)
    assert variant.conda is not None
    lock = of_index(load_cuda_lock(variant.cuda_lock_path))
    sources.stage_libraries(lock, tmp_path / "libraries", None)
    stand_ins.compile_all(stand_ins.sources(variant, lock.stand_ins), tmp_path / "libraries")
    found = {path.name: path for path in (tmp_path / "libraries").iterdir()}
    toolkit, cudnn = variant.conda.gpu
    conda_channel.cuda_packages(
        base_channel,
        found,
        package_of(toolkit, constrains=(f"__cuda >={variant.cuda.version}",)),
        package_of(cudnn, depends=(f"cudatoolkit {variant.cuda.version}.*",)),
    )
    base_channel.write()
    # The genuine lock names the genuine packages, and refuses these.
    base_channel.write_lock(variant)
    settings = {
        "GPUENV_ENVS_DIR": str(envs),
        "GPUENV_STATE_DIR": str(tmp_path / "state"),
        "GPUENV_CACHE_DIR": str(tmp_path / "cache"),
        "GPUENV_CONDA": "rattler",
        "GPUENV_CHANNELS": base_channel.folder.as_uri(),
    }
    environment = {**os.environ, **settings}
    command = [sys.executable, "-c", WITHOUT_UNIT_TESTS, "test-env", "--target", "conda", "--variant", variant.name]
    done = subprocess.run(
        [*command, "--flavor", "gpu"], env=environment, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "0 failed" in done.stderr.splitlines()[-1]
    shell = ["gpu-shell", "--engine", "conda", "--variant", variant.name, "--flavor", "gpu", "--cmd", TRAIN]
    trained = subprocess.run(
        [sys.executable, "-m", "gpuenv", *shell],
        cwd=paths.reference_dir(), env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout == "[0, 1, 1, 0]\n"
    assert "a conda environment, not a container" in trained.stderr
