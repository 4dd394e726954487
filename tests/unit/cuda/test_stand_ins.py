"""The stand-ins for cuFFT and cuSOLVER, compiled from the lists of both variants."""

from __future__ import annotations

import ctypes
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec import structs

from gpuenv.core import paths
from gpuenv.core.errors import DataError, HostError
from gpuenv.cuda import stand_ins
from gpuenv.host import elf
from gpuenv.variants import model as variants
from gpuenv.variants.model import Variant
from simulated import elf_symbols

ALL = variants.load_all()
INVALID_VALUE = {"cufft": 4, "cusolver": 3}

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc on this machine to compile stand-ins")


def sonames(variant: Variant) -> list[str]:
    return [f"lib{family}.so.{variant.cuda.version}" for family in stand_ins.FAMILIES]


def in_folder(parent: Path) -> Variant:
    """A variant whose own folder is another one, and empty."""
    folder = parent / ALL[0].name
    folder.mkdir()
    return structs.replace(ALL[0], folder=folder)


@dataclass(frozen=True)
class Compiled:
    """The stand-ins of a variant, in ``folder``."""

    variant: Variant
    folder: Path

    def library(self, family: str) -> Path:
        return self.folder / f"lib{family}.so.{self.variant.cuda.version}"


@pytest.fixture(scope="module", params=ALL, ids=[variant.name for variant in ALL])
def compiled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    folder = tmp_path_factory.mktemp(request.param.name)
    stand_ins.compile_all(stand_ins.sources(request.param, sonames(request.param)), folder)
    return Compiled(request.param, folder)


@needs_gcc
@pytest.mark.parametrize("family", stand_ins.FAMILIES)
def test_the_loader_and_tensorflow_take_it_for_nvidias(compiled: Compiled, family: str) -> None:
    library = compiled.library(family)
    assert elf_symbols.read_soname(library) == library.name
    assert set(elf.read_needed(library)) <= {"libc.so.6"}
    exported = elf_symbols.exported_symbols(library)
    wanted = stand_ins.read_symbols(compiled.variant.folder / stand_ins.LIST_NAME)[library.name]
    own = {f"{family}GetVersion", f"{family}GetProperty", stand_ins.MARKER}
    assert {symbol.name for symbol in exported} - {library.name} == {*wanted, *own}
    assert {symbol.version for symbol in exported} == {library.name}


@needs_gcc
@pytest.mark.parametrize("family", stand_ins.FAMILIES)
def test_it_tells_the_pinned_version_and_nothing_else(compiled: Compiled, family: str) -> None:
    library, value = ctypes.CDLL(str(compiled.library(family))), ctypes.c_int(-1)
    major, minor = variants.numbers(compiled.variant.cuda.version)
    assert library[f"{family}GetVersion"](ctypes.byref(value)) == 0
    assert value.value == {"9.0": 9000, "10.0": 10000}[compiled.variant.cuda.version]
    for which, part in enumerate((major, minor, 0)):
        assert library[f"{family}GetProperty"](which, ctypes.byref(value)) == 0
        assert value.value == part
    invalid = INVALID_VALUE[family]
    assert library[f"{family}GetVersion"](None) == invalid
    assert library[f"{family}GetProperty"](0, None) == invalid
    assert [library[f"{family}GetProperty"](which, ctypes.byref(value)) for which in (-1, 3)] == [invalid, invalid]
    marker = (ctypes.c_char * 80).in_dll(library, stand_ins.MARKER).value.decode()
    assert marker.startswith(f"gpuenv's stand-in for {compiled.library(family).name}")


#: Every function of two libraries, each from all threads at once; prints the different answers of each library.
PROGRAM = """
import ctypes, json, sys, threading
answers = {}
def call(path, names):
    library = ctypes.CDLL(path)
    gate.wait()
    answers.setdefault(path, set()).update(library[name](None) for name in names)
calls = json.loads(sys.argv[1])
gate = threading.Barrier(8 * len(calls))
threads = [threading.Thread(target=call, args=one) for one in calls.items() for _ in range(8)]
for action in ("start", "join"):
    for thread in threads:
        getattr(thread, action)()
print(json.dumps({path: list(found) for path, found in answers.items()}))
"""


@needs_gcc
def test_every_function_refuses_and_one_line_for_each_library_says_why(compiled: Compiled) -> None:
    symbols = stand_ins.read_symbols(compiled.variant.folder / stand_ins.LIST_NAME)
    calls = {
        str(compiled.library(family)): [
            name for name in symbols[compiled.library(family).name] if not re.search("Get(Version|Property)$", name)
        ]
        for family in stand_ins.FAMILIES
    }
    argv = [sys.executable, "-I", "-c", PROGRAM, json.dumps(calls)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {path: [status] for path, status in zip(calls, (16, 9))}
    lines = sorted(done.stderr.splitlines())
    for line, family, title in zip(lines, stand_ins.FAMILIES, ("cuFFT", "cuSOLVER")):
        assert line.startswith(f"gpuenv: {compiled.library(family).name} is a stand-in")
        assert "from the package index, where cuFFT and cuSOLVER are missing" in line
        assert f'what needs {title} on the CPU (`with tf.device("/cpu:0"):`)' in line
        assert "`make images CUDA=archives`" in line
    assert len(lines) == len(calls)


@needs_gcc
def test_the_recipe_compiles_the_same_bytes(compiled: Compiled, tmp_path: Path) -> None:
    context, out = tmp_path / "stand-ins", tmp_path / "out"
    (out / "cuda").mkdir(parents=True)
    context.mkdir()
    # The lines of the Dockerfile themselves, so that they cannot become wrong; a folder without a source is nothing.
    (loop,) = re.findall(
        r"for source in /stand-ins/.*?done;", (paths.docker_dir() / "Dockerfile").read_text(), re.DOTALL
    )
    loop = loop.replace("/stand-ins/", f"{context}/").replace("/out/", f"{out}/")
    subprocess.run(["/bin/sh", "-eu", "-c", loop], check=True)
    assert list((out / "cuda").iterdir()) == []
    library = compiled.library("cusolver")
    for name, text in stand_ins.sources(compiled.variant, [library.name]).items():
        (context / name).write_text(text)
    subprocess.run(["/bin/sh", "-eu", "-c", loop], check=True)
    made = {path.name: path.read_bytes() for path in (out / "cuda").iterdir()}
    assert made == {library.name: library.read_bytes()}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("# A comment.\n\nnot a name\n", "line 3 is 'not a name'"),
        ("[libcufft.so.9.0]\ncufftPlan1d\ncufft Plan2d\n", "line 3 is 'cufft Plan2d'"),
        ("[libcufft.so.9.0]\ncusolverDnCreate\n", "line 2 is 'cusolverDnCreate'"),
        ("cufftPlan1d\n", "line 1 is 'cufftPlan1d'"),
        ("[libcublas.so.9.0]\n", "line 1 is '[libcublas.so.9.0]'"),
        ("[libcufft.so.9.0]\ncufftPlan1d(void);int x\n", "line 2 is"),
        ("[libcufft.so.9.0\n", "line 1 is"),
        ("[libcufft.so.9.0]\n\xff\n", "'utf-8' codec can't decode"),
        (None, "No such file"),
    ],
)
def test_a_damaged_list_is_refused_with_its_line(text: str | None, why: str, tmp_path: Path) -> None:
    path = tmp_path / stand_ins.LIST_NAME
    if text is not None:
        path.write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match="is not usable") as error:
        stand_ins.read_symbols(path)
    assert why in error.value.why


@pytest.mark.parametrize("text", ["[libcufft.so.9.0]\ncufftPlan1d\n", "[libcusolver.so.9.0]\n"])
def test_a_list_that_lacks_a_library_is_refused(text: str, tmp_path: Path) -> None:
    variant = in_folder(tmp_path)
    (variant.folder / stand_ins.LIST_NAME).write_text(text)
    with pytest.raises(DataError, match=re.escape("it names no function of libcusolver.so.9.0")):
        stand_ins.sources(variant, ["libcusolver.so.9.0"])


def test_where_nothing_is_wanted_no_list_and_no_compiler_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    texts = stand_ins.sources(in_folder(tmp_path), [])
    stand_ins.compile_all(texts, tmp_path / "nowhere")
    assert texts == {}


def test_what_a_list_names_twice_or_we_define_is_defined_once() -> None:
    names = ["cufftPlan1d", "cufftPlan1d", "cufftGetVersion"]
    source, version_map = stand_ins.render("libcufft.so.10.0", names, "10.0")
    assert [source.count(f"int {name}(") for name in ("cufftPlan1d", "cufftGetVersion")] == [1, 1]
    assert version_map == "libcufft.so.10.0 { *; };\n"


@needs_gcc
def test_what_the_compiler_says_is_told(tmp_path: Path) -> None:
    texts = {"libcufft.so.10.0.c": "no C\n", "libcufft.so.10.0.map": "libcufft.so.10.0 { *; };\n"}
    with pytest.raises(HostError, match="stand-ins for cuFFT and cuSOLVER cannot be compiled") as error:
        stand_ins.compile_all(texts, tmp_path)
    assert "error:" in error.value.why
    assert list(tmp_path.iterdir()) == []
