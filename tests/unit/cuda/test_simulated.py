"""The maker of simulated CUDAs, with a small wheel in the place of the real one."""

from __future__ import annotations

import ctypes
import dataclasses
import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from msgspec import structs

from broken import images
from gpuenv.core.errors import DataError, HostError, UsageError
from gpuenv.cuda import simulated as cuda
from gpuenv.cuda import sources, stubs
from gpuenv.cuda.files import sha256_of
from gpuenv.variants import model as variants
from gpuenv.variants.cuda_lock import CudaLock, Source, load_cuda_lock
from gpuenv.variants.model import Variant, numbers
from simulated import elf_symbols, symbols

ALL = variants.load_all()

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc on this machine to compile stubs")


@pytest.fixture(scope="module")
def wheel_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel with libraries of the right SONAMEs for every variant."""
    libraries = tmp_path_factory.mktemp("libraries")
    path = libraries / "cntk_gpu-0-py3-none-any.whl"
    sonames = [f"lib{family}.so.{variant.cuda.version}" for family in cuda.GENUINE for variant in ALL]
    with zipfile.ZipFile(path, "w") as package:
        for soname in [*sonames, "libcudnn.so.7"]:
            stubs.compile_stub(soname, "int genuine(void) { return 0; }\n", libraries)
            package.write(libraries / soname, f"cntk/libs/{soname}")
    return path


def serve(wheel_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the small wheel fetched instead of the real one."""
    source = Source(url=wheel_file.as_uri(), sha256=sha256_of(wheel_file), origin="index", unpack="zip")
    monkeypatch.setattr(cuda, "WHEELS", dict.fromkeys(cuda.WHEELS, source))


@pytest.fixture
def small_wheel(wheel_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    serve(wheel_file, monkeypatch)
    return wheel_file


@dataclasses.dataclass(frozen=True)
class Staged:
    """The simulated CUDA of a variant, and where its libraries are."""

    variant: Variant
    lock: CudaLock
    sonames: list[str]
    libraries: Path


@pytest.fixture(scope="module", params=ALL, ids=[variant.name for variant in ALL])
def staged(request: pytest.FixtureRequest, wheel_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Staged:
    folder = tmp_path_factory.mktemp(request.param.name)
    with pytest.MonkeyPatch.context() as patch:
        serve(wheel_file, patch)
        lock = load_cuda_lock(cuda.make_simulated_lock(request.param, folder / "made"))
    sources.stage_libraries(lock, folder / "libs", None)
    return Staged(request.param, lock, sorted(path.name for path in (folder / "libs").iterdir()), folder / "libs")


@needs_gcc
def test_simulated_lock_yields_what_the_variants_own_lock_yields(staged: Staged) -> None:
    own = load_cuda_lock(staged.variant.cuda_lock_path)
    assert staged.lock.label == "simulated"
    wanted = sorted(soname for component in own.components for soname in component.sonames)
    assert staged.sonames == wanted
    for soname in wanted:
        is_genuine = any(soname.startswith(f"lib{family}.") for family in cuda.GENUINE)
        exported = elf_symbols.exported_symbols(staged.libraries / soname)
        assert (stubs.MARKER in {symbol.name for symbol in exported}) != is_genuine
        assert {symbol.version for symbol in exported} == {soname}


@needs_gcc
def test_stub_of_cudnn_reports_the_locked_version(staged: Staged) -> None:
    library = ctypes.CDLL(str(staged.libraries / "libcudnn.so.7"))
    major, minor, patch = (int(part) for part in staged.variant.cuda.cudnn.split("."))
    assert library.cudnnGetVersion() == major * 1000 + minor * 100 + patch
    parts = []
    for which in range(3):
        value = ctypes.c_int()
        assert library.cudnnGetProperty(which, ctypes.byref(value)) == 0
        parts.append(value.value)
    assert parts == [major, minor, patch]
    assert library.cudnnCreate(None) == 9


@needs_gcc
def test_second_time_does_nothing_and_what_is_missing_comes_again_with_the_same_bytes(
    small_wheel: Path, tmp_path: Path
) -> None:
    def make() -> dict[Path, tuple[int, bytes]]:
        path = cuda.make_simulated_lock(ALL[0], tmp_path / "made")
        return {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in path.parent.iterdir()}

    files = make()
    assert make() == files
    for missing in ("cudnn-stub.tar", cuda.LOCK_NAME):
        (tmp_path / "made" / missing).unlink()
        again = make()
        assert {file: content for file, (_, content) in again.items()} == {
            file: content for file, (_, content) in files.items()
        }


@needs_gcc
def test_the_cudnn_that_a_harness_has_to_refuse_is_the_wheels_own(small_wheel: Path) -> None:
    path = images.genuine_cudnn(ALL[0].name)
    assert stubs.MARKER not in {symbol.name for symbol in elf_symbols.exported_symbols(path)}
    assert images.genuine_cudnn(ALL[0].name) == path


@pytest.mark.parametrize("variant", ALL, ids=[variant.name for variant in ALL])
def test_the_wheels_cudnn_is_below_the_floor(variant: Variant) -> None:
    version = {"9.0": "7.0.4", "10.0": "7.3.1"}[variant.cuda.version]  # as they say themselves
    assert numbers(version) < numbers(variant.cuda.cudnn_floor)


def test_without_a_compiler_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="there is no gcc"):
        cuda.make_simulated_lock(ALL[0], tmp_path / "made")
    assert not (tmp_path / "made" / "cuda.lock.toml").exists()


def test_variant_without_measured_symbols_is_refused(tmp_path: Path) -> None:
    unknown = structs.replace(ALL[0], name="cuda77", folder=ALL[0].folder.with_name("cuda77"))
    with pytest.raises(UsageError, match="no simulated CUDA for cuda77"):
        cuda.make_simulated_lock(unknown, tmp_path / "made")


def test_damaged_symbols_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 2"):
        stubs.parse_symbols("[libx.so.1]\nnot a name\n", tmp_path / "symbols-x.txt")


def test_measured_names_go_to_the_library_they_belong_to() -> None:
    names = {"cublasCreate_v2", "cudnnCreate", "cufftPlan1d", "cuInit", "cudaFree", "cuDNN"}
    found = symbols.by_library(names, ".9.0")
    assert {soname: members for soname, members in found.items() if members} == {
        "libcublas.so.9.0": ["cublasCreate_v2"],
        "libcudnn.so.7": ["cudnnCreate"],
        "libcufft.so.9.0": ["cufftPlan1d"],
    }
    assert re.findall(r"FUNCTION\((\w+)\)", symbols.render_driver(["a.whl"], names)) == ["cuInit"]
    text = symbols.render_stubs("a.whl", ".9.0", names)
    assert stubs.parse_symbols(text, Path("x"))["libcufft.so.9.0"] == ("cufftPlan1d",)


@needs_gcc
def test_read_only_strings_are_whole_strings(tmp_path: Path) -> None:
    texts = ("cuInit", "nvrtcVersion", "__cudaRegister", "not cuInit", "cuInit: no", "cu", "other")
    (tmp_path / "x.c").write_text(f"const char *texts[] = {{{', '.join(map(json.dumps, texts))}}};\n")
    library = tmp_path / "x.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, tmp_path / "x.c"], check=True)
    assert symbols.read_only_strings(library) == {"cuInit", "nvrtcVersion", "__cudaRegister"}
