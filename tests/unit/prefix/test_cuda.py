"""CUDA in an environment without a container: where it comes from, how TensorFlow finds it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gpuenv.core.errors import BuildError, HostError, SourceError, UsageError
from gpuenv.core.settings import Settings
from gpuenv.cuda import choice as cuda_choice
from gpuenv.cuda import compiler, sources
from gpuenv.host import gpu, pythons
from gpuenv.host.gpu import HostGpus
from gpuenv.prefix import choice as prefix_choice
from gpuenv.prefix import cuda as prefix_cuda
from gpuenv.prefix import folder as prefixes
from gpuenv.prefix.folder import Content
from gpuenv.prefix.making import ensure
from gpuenv.variants import model as variants
from gpuenv.variants.cuda_lock import CudaLock, load_cuda_lock
from gpuenv.variants.model import Variant

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc on this machine")


@pytest.fixture
def variant() -> Variant:
    return variants.find_variant("cuda9.0")


def compile_library(path: Path, *options: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    argv = [
        "gcc",
        "-shared",
        "-fPIC",
        f"-Wl,-soname,{path.name}",
        "-x",
        "c",
        "-",
        "-x",
        "none",
        "-o",
        str(path),
        *options,
    ]
    subprocess.run(argv, input=b"int answer(void) { return 42; }", check=True)
    return path


@pytest.fixture
def environment(compiled: Path, tmp_path: Path) -> Path:
    """An environment whose TensorFlow needs a driver and one CUDA library, with the RPATH of the real one."""
    shutil.copytree(compiled, tmp_path, dirs_exist_ok=True)
    return tmp_path / "환경 1"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with that environment, and a driver beside it."""
    made = tmp_path_factory.mktemp("compiled")
    folder = made / "환경 1"
    cuda = compile_library(folder / "lib/cuda-9.0/libcudart.so.9.0")
    driver = compile_library(made / "driver/libcuda.so.1")
    site = folder / "lib/python3.6/site-packages/tensorflow"
    needed = ["-Wl,--no-as-needed", str(cuda), str(driver), "-Wl,--disable-new-dtags,-rpath,$ORIGIN/", "-Wl,-z,now"]
    compile_library(site / "libtensorflow_framework.so", *needed)
    return made


@pytest.fixture(scope="module")
def linked(compiled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That environment with its libraries in place, and a stand-in for the driver: nobody changes it."""
    made = shutil.copytree(compiled, tmp_path_factory.mktemp("linked"), dirs_exist_ok=True)
    folder = made / "환경 1"
    prefix_cuda.link(folder, folder / "lib/cuda-9.0")
    return folder


def loader_finds(library: Path, soname: str) -> str:
    command = [sys.executable, "-c", "import ctypes, sys; ctypes.CDLL(sys.argv[1])", str(library)]
    done = subprocess.run(command, env={"LD_DEBUG": "libs"}, capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if "calling init" in line and soname in line]
    return lines[0].split("calling init: ")[1] if lines else ""


@needs_gcc
def test_the_loader_finds_it_without_any_variable(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    framework = environment / "lib/python3.6/site-packages/tensorflow/libtensorflow_framework.so"
    monkeypatch.setattr(prefix_cuda, "DRIVER", "libnothing.so")
    shutil.copy(environment.parent / "driver/libcuda.so.1", framework.parent)
    assert loader_finds(framework, "libcudart.so.9.0") == ""
    prefix_cuda.link(environment, environment / "lib/cuda-9.0")
    assert Path(loader_finds(framework, "libcudart.so.9.0")).parent == framework.parent
    link = framework.parent / "libcudart.so.9.0"
    assert not os.path.isabs(os.readlink(link))  # noqa: PTH115, PTH117 - Path.readlink is newer than 3.9 promises


@needs_gcc
def test_where_the_driver_is_needed_a_stand_in_waits_in_the_last_place(linked: Path) -> None:
    site = linked / "lib/python3.6/site-packages"
    assert (site / "gpuenv_driver.pth").read_text() == "import gpuenv_driver\n"
    assert (linked / prefix_cuda.STAND_IN_FOLDER / "libcuda.so.1").is_file()
    # In the RPATH it would win over a real driver.
    assert not (site / "tensorflow/libcuda.so.1").exists()


PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import gpuenv_driver
gpuenv_driver.FOLDER = sys.argv[2]
assert "ctypes" not in sys.modules, "every start of Python would load it"
try:
    import tensorflow_core.nothing
except ImportError:
    pass
print([line.split()[-1] for line in open("/proc/self/maps") if "libcuda.so.1" in line][:1])
"""


@needs_gcc
@pytest.mark.parametrize("has_driver", [True, False])
def test_the_stand_in_loses_to_every_real_driver(linked: Path, has_driver: bool) -> None:
    stand_in = linked / prefix_cuda.STAND_IN_FOLDER
    driver = linked.parent / "driver"
    argv = [sys.executable, "-I", "-c", PROGRAM, str(linked / "lib/python3.6/site-packages"), str(stand_in)]
    variables = {"LD_LIBRARY_PATH": str(driver) if has_driver else ""}
    done = subprocess.run(argv, env=variables, capture_output=True, text=True, check=True)
    expected = driver if has_driver else stand_in
    # /proc/self/maps cuts nothing off, but a blank in the path divides the line.
    assert str(expected / "libcuda.so.1").rpartition(" ")[2] in done.stdout


@needs_gcc
def test_without_driver_and_compiler_it_cannot_be_imported_and_that_is_said(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise SourceError("the index does not answer", "no route", "try again")

    monkeypatch.setattr(compiler, "_own", lambda: None)
    monkeypatch.setattr(sources, "open_source", refuse)
    monkeypatch.setattr(gpu, "host_gpus", HostGpus)
    with pytest.raises(HostError, match="no C compiler"):
        prefix_cuda.link(environment, environment / "lib/cuda-9.0")
    # With a driver nothing is fetched for it.
    monkeypatch.setattr(gpu, "host_gpus", lambda: HostGpus("450.80"))
    monkeypatch.setattr(sources, "open_source", lambda *_: pytest.fail("fetched"))
    prefix_cuda.link(environment, environment / "lib/cuda-9.0")


def test_an_environment_without_tensorflow_is_no_environment(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="holds no TensorFlow"):
        prefix_cuda.link(tmp_path, tmp_path)


# --- CUDA of the host -----------------------------------------------------------------------------


def fill(folder: Path, lock: CudaLock, cudnn: str) -> None:
    folder.mkdir(parents=True)
    for part in lock.components:
        for soname in part.sonames:
            (folder / soname).touch()
    (folder / "libcudnn.so.7").rename(folder / f"libcudnn.so.{cudnn}")
    (folder / "libcudnn.so.7").symlink_to(f"libcudnn.so.{cudnn}")


@pytest.mark.parametrize(("cudnn", "is_used"), [("7.6.5", True), ("7.0.5", False), ("7.6.3", False)])
def test_cuda_of_this_machine_is_used_if_all_of_it_fits(
    variant: Variant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cudnn: str, is_used: bool
) -> None:
    lock = load_cuda_lock(variant.cuda_lock_path)
    fill(tmp_path / "cuda/lib64", lock, cudnn)
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "cuda"))
    staged: list[Path] = []
    monkeypatch.setattr(sources, "stage_libraries", lambda _lock, target, _dir: staged.append(target))
    prefix_cuda.place_libraries(tmp_path / "env", variant, lock, None)
    target = prefix_cuda.libraries(tmp_path / "env", variant)
    assert staged == ([] if is_used else [target])
    if is_used:
        assert (target / "libcublas.so.9.0").resolve() == tmp_path / "cuda/lib64/libcublas.so.9.0"


def test_half_a_cuda_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.so.1").touch()
    assert cuda_choice.choose(["a.so.1", "b.so.1"], [tmp_path], {}) == {}
    assert cuda_choice.choose(["a.so.1"], [tmp_path], {}) == {"a.so.1": tmp_path / "a.so.1"}


def test_the_loaders_cache_is_read() -> None:
    text = "2 libs found in cache\n\tlibx.so.1 (libc6,x86-64) => /opt/libx.so.1\n\ty (libc6) => /lib32/y\n"
    assert cuda_choice.parse_cache(text) == {"libx.so.1": Path("/opt/libx.so.1")}


# --- kind and flavor -------------------------------------------------------------------------------


def test_without_a_way_to_cuda_the_cpu_flavor_is_taken_and_said(
    variant: Variant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "host_gpus", lambda: HostGpus("450.80"))
    monkeypatch.setattr(cuda_choice, "find_installed", lambda *_: {})
    reason = "no source of cudnn can be reached"
    monkeypatch.setattr(sources, "unreachable_reasons", lambda locks, _: [reason for _ in locks])
    assert prefix_choice.choose_environment(Settings(), "venv", variant).flavor == "cpu"
    assert "no source of cudnn can be reached; using the cpu flavor" in capsys.readouterr().err
    assert prefix_choice.choose_environment(Settings(flavor="gpu"), "venv", variant).flavor == "gpu"
    monkeypatch.setattr(sources, "unreachable_reasons", lambda locks, _: [None for _ in locks])
    assert prefix_choice.choose_environment(Settings(), "venv", variant).flavor == "gpu"
    monkeypatch.setattr(sources, "unreachable_reasons", lambda *_: [reason, None])
    assert prefix_choice.choose_environment(Settings(), "venv", variant).cuda_label == "index"


@pytest.mark.parametrize(("kind", "cuda"), [("venv", "index"), ("conda", "index"), ("conda", "none")])
def test_the_cuda_of_a_folder_that_is_there_is_kept(
    variant: Variant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, cuda: str
) -> None:
    """Also on a machine that has a CUDA of its own; and nobody is asked for what is there."""
    folder = tmp_path / "e"
    content = Content(kind, variant.name, "gpu", "d1", cuda)
    ensure(prefixes.place(content, folder), lambda _: (folder / "bin").mkdir(parents=True))
    assert ("CUDA=index" in content.words) == (cuda == "index")
    monkeypatch.setattr(gpu, "host_gpus", lambda: HostGpus("450.80"))
    monkeypatch.setattr(cuda_choice, "find_installed", lambda *_: {"libcudart.so": folder})
    monkeypatch.setattr(sources, "unreachable_reasons", lambda locks, _: [None for _ in locks])
    found = prefix_choice.choose_environment(Settings(prefix=folder), kind, variant)
    assert (found.flavor, found.cuda_label) == ("gpu", cuda)


def test_what_is_made_asks_nobody(variant: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "host_gpus", lambda: HostGpus("450.80"))
    monkeypatch.setattr(cuda_choice, "find_installed", lambda *_: pytest.fail("looked for"))
    monkeypatch.setattr(sources, "unreachable_reasons", lambda *_: pytest.fail("asked"))
    for label in ("complete", "index"):
        monkeypatch.setattr(prefix_choice, "is_complete", lambda prefix, one=label: prefix.content.cuda == one)
        assert prefix_choice.choose_environment(Settings(), "venv", variant).cuda_label == label


def test_without_a_python_conda_brings_one_and_that_is_said(
    variant: Variant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pythons, "find_python", lambda *_: None)
    assert prefix_choice.choose_kind(Settings(), variant) == "conda"
    assert "using a conda environment" in capsys.readouterr().err
    assert prefix_choice.choose_kind(Settings(engine="venv"), variant) == "venv"
    monkeypatch.setattr(pythons, "find_python", lambda *_: object())
    assert prefix_choice.choose_kind(Settings(engine="auto"), variant) == "venv"
    assert prefix_choice.choose_kind(Settings(engine="conda"), variant) == "conda"


def marked(folder: Path, kind: str, flavor: str) -> Path:
    content = Content(kind, "cuda9.0", flavor, "d1")
    return ensure(prefixes.place(content, folder), lambda _: (folder / "bin").mkdir(parents=True))


def test_a_folder_that_holds_one_says_which(variant: Variant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`conda-env PREFIX=e` made it; `gpu-shell PREFIX=e` uses it, and makes no other one in its place."""
    monkeypatch.setattr(pythons, "find_python", lambda *_: object())
    folder = marked(tmp_path / "e", "conda", "gpu")
    settings = Settings(prefix=folder)
    assert prefix_choice.choose_kind(settings, variant) == "conda"
    assert prefix_choice.choose_environment(settings, "conda", variant).flavor == "gpu"
    assert prefix_choice.find_variant(settings).name == "cuda9.0"
    assert prefix_choice.choose_kind(Settings(prefix=folder, engine="venv"), variant) == "venv"
    assert prefix_choice.choose_environment(Settings(prefix=folder, flavor="cpu"), "conda", variant).flavor == "cpu"
    assert prefix_choice.find_variant(Settings(prefix=folder, variant="cuda10.0")).name == "cuda10.0"


@pytest.mark.parametrize("engine", ["docker", "podman", "private"])
def test_a_folder_and_a_container_are_not_asked_for_at_once(engine: str) -> None:
    with pytest.raises(UsageError, match=f"ENGINE={engine} has no folder PREFIX=/e"):
        prefix_choice.refuse_container(Settings(engine=engine, prefix=Path("/e")))
    prefix_choice.refuse_container(Settings(engine="auto", prefix=Path("/e")))


def test_a_library_that_the_packages_do_not_have_is_named(tmp_path: Path) -> None:
    package = tmp_path / "e/lib/python3.6/site-packages/tensorflow"
    package.mkdir(parents=True)
    (package / "libtensorflow_framework.so").touch()
    (tmp_path / "e/lib/libcudart.so.9.0").touch()
    with pytest.raises(BuildError, match=r"libcublas\.so\.9\.0 is not in"):
        prefix_cuda.link(tmp_path / "e", tmp_path / "e/lib", ["libcudart.so.9.0", "libcublas.so.9.0"])
