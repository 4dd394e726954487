"""Making a conda environment, with a program that only writes down what it is asked."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fakes import pip
from gpuenv.core import paths
from gpuenv.core.errors import BuildError, DataError, HostError, SourceError, UsageError
from gpuenv.core.settings import Settings
from gpuenv.cuda import sources, stand_ins
from gpuenv.host import gpu
from gpuenv.host.gpu import HostGpus
from gpuenv.prefix import activate, choice, conda_env
from gpuenv.prefix import command as prefix_command
from gpuenv.prefix import cuda as prefix_cuda
from gpuenv.prefix import folder as prefixes
from gpuenv.prefix.making import ensure
from gpuenv.variants import model as variants
from gpuenv.variants.cuda_lock import CudaLock
from gpuenv.variants.environment import Environment
from gpuenv.variants.model import Variant


@pytest.fixture
def variant() -> Variant:
    return variants.find_variant("cuda10.0")


@pytest.fixture
def micromamba(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A micromamba whose environments hold a Python that does nothing; it fails with the text of ``says``."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "micromamba").write_text(
        f"""#!/bin/sh
if [ "$1" = --version ]; then echo 2.0.5; exit; fi
echo "$CONDA_SSL_VERIFY|$MAMBA_SSL_VERIFY|$HTTPS_PROXY|$*|$CONDA_PKGS_DIRS" >> {tmp_path}/asked
if [ -e {tmp_path}/says ]; then cat {tmp_path}/says; exit 1; fi
while [ "$1" != --prefix ]; do shift; done
mkdir -p "$2/bin" "$2/conda-meta" && cp {tmp_path}/python "$2/bin/python"
cp "$4" {tmp_path}/explicit
# What it installed, from https://channel/subdir/name-version-build.tar.bz2#md5
sed -n 's,.*/\\(.*\\)-\\([^-]*\\)-\\([^-]*\\)\\.\\(tar.bz2\\|conda\\)\\(#\\([0-9a-f]*\\)\\)*$,\\1 \\2 \\3 \\6,p' "$4" |
while read -r name version build md5; do
    echo "{{\\"name\\": \\"$name\\", \\"version\\": \\"$version\\", \\"build\\": \\"$build\\", \\"md5\\": \\"$md5\\"}}" > "$2/conda-meta/$name.json"
done
if [ -e {tmp_path}/besides ]; then cp {tmp_path}/besides "$2/conda-meta/besides.json"; fi
"""  # noqa: E501
    )
    (folder / "micromamba").chmod(0o755)
    (tmp_path / "python").write_text(pip.program(tmp_path / "pip"))
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(gpu, "host_gpus", HostGpus)
    return tmp_path


def arguments(**values: Any) -> Settings:
    return Settings(conda="micromamba", **values)


def test_it_is_made_once_and_its_packages_come_by_pip(variant: Variant, micromamba: Path) -> None:
    folder = ensure(*conda_env.plan(Environment(variant, "cpu"), arguments()))
    assert ensure(*conda_env.plan(Environment(variant, "cpu"), arguments())) == folder
    assert folder.parent == paths.cache_dir() / "condas"
    (asked,) = (micromamba / "asked").read_text().splitlines()
    assert re.search(r"\|create --yes --quiet --prefix \S+ --file \S+/explicit\.txt\|", asked)
    assert asked.endswith(f"|{paths.cache_dir()}/conda/pkgs")
    listed = (micromamba / "explicit").read_text().splitlines()
    assert listed[0] == "@EXPLICIT"
    python = next(line for line in listed if "/python-" in line)
    assert python.endswith(
        "/conda-forge/linux-64/python-3.6.15-hb7a2778_0_cpython.tar.bz2#2263dbd2d8116aa8dd974602faabb1a2"
    )
    installed = (micromamba / "pip").read_text().splitlines()
    assert all("-I -m pip install --require-hashes --no-deps" in line for line in installed)
    assert "tools.txt" in installed[0]
    for name in ("activate.d", "deactivate.d"):
        assert {path.name for path in (folder / "etc/conda" / name).iterdir()} == {
            "gpuenv.sh", "gpuenv.bat", "gpuenv.ps1",
        }  # fmt: skip


def test_verification_and_the_proxy_are_told_to_the_program(
    variant: Variant, micromamba: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (Path(os.environ["HOME"]) / ".condarc").write_text("ssl_verify: false\n")
    bundle = micromamba / "bundle.pem"
    bundle.touch()
    monkeypatch.setenv("PIP_CERT", str(bundle))
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.campus:3128")
    with pytest.raises(BuildError, match="holds no TensorFlow"):
        ensure(*conda_env.plan(Environment(variant, "gpu"), arguments()))
    asked = (micromamba / "asked").read_text()
    assert asked.startswith(f"{bundle}|{bundle}|http://proxy.campus:3128|create")
    assert "/cudatoolkit-10.0.130-hf841e97_10.tar.bz2#" in (micromamba / "explicit").read_text()
    assert "ssl_verify: false" in capsys.readouterr().err


def test_packages_come_from_the_mirror_of_a_condarc(variant: Variant, micromamba: Path) -> None:
    (Path(os.environ["HOME"]) / ".condarc").write_text("channel_alias: https://mirror.campus/conda\n")
    ensure(*conda_env.plan(Environment(variant, "cpu"), arguments()))
    _, *listed = (micromamba / "explicit").read_text().splitlines()
    assert all(line.startswith("https://mirror.campus/conda/conda-forge/") for line in listed)


def test_its_failure_is_explained_and_leaves_nothing(variant: Variant, micromamba: Path) -> None:
    (micromamba / "says").write_text(
        "error    libmamba Could not solve for environment specs\n"
        "    └─ cudatoolkit 10.0.130**  does not exist (perhaps a typo).\n"
    )
    with pytest.raises(DataError, match="no channel has cudatoolkit"):
        ensure(*conda_env.plan(Environment(variant, "cpu"), arguments(prefix=micromamba / "환경 1")))
    assert not (micromamba / "환경 1").exists()


def test_what_is_not_of_the_lock_is_never_run(variant: Variant, micromamba: Path) -> None:
    """A program that installs more than it was told to: its Python, which would tell, is not started."""
    (micromamba / "besides").write_text('{"name": "besides", "version": "1", "build": "0"}')
    with pytest.raises(SourceError, match="besides: what was installed is not what"):
        ensure(*conda_env.plan(Environment(variant, "cpu"), arguments(prefix=micromamba / "env")))
    assert not (micromamba / "pip").exists()
    assert not (micromamba / "env").exists()


def test_what_no_sum_is_known_of_is_said(
    micromamba: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prefix_cuda, "check_compiler", lambda *_: None)
    with pytest.raises(BuildError, match="holds no TensorFlow"):
        ensure(*conda_env.plan(Environment(variants.find_variant("cuda9.0"), "gpu"), arguments()))
    said = capsys.readouterr().err
    assert "no sum is known of cudatoolkit 9.0, cudnn 7.6.5: held by version and build alone" in said
    lines = (micromamba / "explicit").read_text().splitlines()
    assert [line.rpartition("/")[2] for line in lines if "#" not in line] == [
        "@EXPLICIT", "cudatoolkit-9.0-h13b8566_0.conda", "cudnn-7.6.5-cuda9.0_0.conda",
    ]  # fmt: skip
    ensure(*conda_env.plan(Environment(variants.find_variant("cuda9.0"), "cpu"), arguments()))
    assert "no sum" not in capsys.readouterr().err


def test_cuda_of_the_index_takes_the_place_of_the_channels(
    variant: Variant, micromamba: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = []

    def stage(lock: CudaLock, target: Path, _: object) -> None:
        target.mkdir(parents=True)
        staged.append((lock.label, target.name))

    monkeypatch.setattr(sources, "stage_libraries", stage)
    monkeypatch.setattr(stand_ins, "compile_all", lambda *_: None)
    settings = arguments(cuda="index", flavor="gpu")
    environment = choice.choose_environment(settings, "conda", variant)
    prefix, fill = conda_env.plan(environment, settings)
    assert prefix.folder.name.startswith("cuda10.0-gpu-index-")
    with pytest.raises(BuildError, match="holds no TensorFlow"):
        ensure(prefix, fill)
    assert staged == [("index", "cuda-10.0")]
    explicit = (micromamba / "explicit").read_text()
    assert "/python-3.6.15" in explicit
    assert not re.search("cudatoolkit|cudnn", explicit)
    plain = choice.choose_environment(arguments(flavor="gpu"), "conda", variant)
    assert conda_env.plan(plain, arguments())[0].folder != prefix.folder


@pytest.mark.parametrize("wish", [{"cuda": "archives"}, {"cuda_lock": "/my.lock.toml"}])
def test_another_cuda_than_its_channels_have_is_refused(
    variant: Variant, micromamba: Path, wish: dict[str, str]
) -> None:
    with pytest.raises(UsageError, match="not for a conda environment"):
        ensure(*conda_env.plan(Environment(variant, "gpu"), arguments(**wish)))
    assert not (micromamba / "asked").exists()


def test_without_driver_and_compiler_nothing_is_fetched(micromamba: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, **more: None if name in ("gcc", "cc") else which(name, **more))

    def refuse(*_: object) -> None:
        raise SourceError("the index does not answer", "no route", "try again")

    monkeypatch.setattr(sources, "open_source", refuse)
    with pytest.raises(HostError, match="no C compiler"):
        ensure(*conda_env.plan(Environment(variants.find_variant("cuda9.0"), "gpu"), arguments()))
    assert not (micromamba / "asked").exists()
    # TensorFlow 1.15 asks for a driver when it computes, not when it is loaded.
    with pytest.raises(BuildError, match="holds no TensorFlow"):
        ensure(*conda_env.plan(Environment(variants.find_variant("cuda10.0"), "gpu"), arguments()))


def test_a_full_disk(variant: Variant, micromamba: Path) -> None:
    (micromamba / "says").write_text("critical libmamba write: No space left on device\n")
    with pytest.raises(HostError, match="is full"):
        ensure(*conda_env.plan(Environment(variant, "cpu"), arguments(prefix=micromamba / "env")))


def test_an_environment_of_somebody_else_stays_untouched(variant: Variant, micromamba: Path) -> None:
    base = micromamba / "anaconda3"
    (base / "conda-meta").mkdir(parents=True)
    (base / "conda-meta/history").write_text("==> 2019 <==\n")
    with pytest.raises(UsageError, match="not ours"):
        ensure(*conda_env.plan(Environment(variant, "cpu"), arguments(prefix=base)))
    assert sorted(path.name for path in base.rglob("*")) == ["conda-meta", "history"]
    assert not (micromamba / "asked").exists()


def test_the_verb_prints_where_it_is(micromamba: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = micromamba / "내 환경"
    assert prefix_command.run(arguments(verb="conda-env", flavor="cpu", prefix=folder)) == 0
    said = capsys.readouterr()
    assert said.out == f"{folder}\n"
    assert f"conda activate '{folder}'" in said.err
    assert f"PREFIX='{folder}'" in said.err
    mark = prefixes.read_mark(folder)
    assert mark is not None
    assert (mark.content.kind, mark.content.flavor) == ("conda", "cpu")


# --- activation --------------------------------------------------------------------------------------

ROUND_TRIP = """
. "$1/etc/conda/activate.d/gpuenv.sh"
. "$1/etc/conda/activate.d/gpuenv.sh"
echo "in: $PYTHONNOUSERSITE [${PYTHONPATH:-}] [${LD_LIBRARY_PATH:-}]"
. "$1/etc/conda/deactivate.d/gpuenv.sh"
echo "out: [${PYTHONNOUSERSITE:-}] $PYTHONPATH [${GPUENV_ACTIVE:-}]"
"""


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_activation_by_hand_keeps_others_out_and_gives_back_what_it_took(shell: str, tmp_path: Path) -> None:
    folder = tmp_path / "환경 2"
    activate.write_hooks(folder)
    values = {"PATH": os.environ["PATH"], "PYTHONPATH": "/mine", "CONDA_PREFIX": str(folder)}
    command = [shell, "-euc", ROUND_TRIP, "sh", str(folder)]
    done = subprocess.run(command, env=values, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["in: 1 [] []", "out: [] /mine []"]


def test_both_shells_of_windows_have_their_pair() -> None:
    """Read only: nothing here can run them."""
    for suffix in activate.SUFFIXES:
        texts = {stem: (activate.FOLDER / f"{stem}{suffix}").read_text() for stem in activate.HOOKS.values()}
        for variable in ("PYTHONNOUSERSITE", "PYTHONPATH", "GPUENV_ACTIVE"):
            assert variable in texts["activate"], suffix
            assert variable in texts["deactivate"] or suffix == ".ps1", suffix
        # conda takes its folders out of the PATH before it runs the scripts of `deactivate`: whoever sets an older one
        # again there puts them back.
        lines = [line for text in texts.values() for line in text.splitlines() if not line.startswith(("#", "@rem"))]
        assert not [line for line in lines if re.search(r"\bPATH\b", line)]
