"""What the harness asks of CUDA's libraries: of three small ones, which are one file under three names."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gpuenv.core import paths

CUFFT, CUBLAS, CUDNN = "libcufft.so.9.0", "libcublas.so.9.0", "libcudnn.so.7"
SOURCE = """\
#include <stdlib.h>
const char gpuenv_cuda_standin[] = "stand-in";
int cufftPlan1d(void) { return 16; }
int cufftGetVersion(int *version) { return *version = 10000, 0; }
int cufftGetProperty(int which, int *value) { return *value = which ? 0 : 9, which > 2; }
int cublasGetVersion(int *version) { return version != NULL; }
int cublasGetProperty(int which, int *value) { return value == NULL || which == 1; }
int cublasCreate_v2(void **handle) { return *handle = NULL, 1; }
int cublasDestroy_v2(void *handle) { return handle != NULL; }
size_t cudnnGetVersion(void) { return 7605; }
size_t cudnnGetCudartVersion(void) { return 9000; }
int cudnnCreate(void **handle) { exit(handle != NULL ? 3 : 4); }
"""

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc on this machine to compile the libraries")


@pytest.fixture(scope="module")
def framework(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of TensorFlow's beside the libraries."""
    folder = tmp_path_factory.mktemp("libraries")
    (folder / "x.c").write_text(SOURCE)
    (folder / "x.map").write_text(f"{CUFFT} {{ *; }};\n")
    argv = ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{CUFFT}", "-Wl,--version-script=x.map", "-o", CUFFT, "x.c"]
    subprocess.run(argv, cwd=folder, check=True)
    for name in (CUBLAS, CUDNN):
        shutil.copy(folder / CUFFT, folder / name)
    return str(folder / "libtensorflow_framework.so")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(paths.reference_dir()))
    for name in ("cuda_libraries", "elf_reader"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("cuda_libraries")


@pytest.mark.parametrize("code", ["", "print('no JSON')"])
def test_a_process_without_an_answer_is_told(asked: Any, code: str) -> None:
    assert asked._ask(code) == {"path": None, "error": "it ended in order, but without an answer"}


def test_a_stand_in_tells_what_it_is(asked: Any, framework: str) -> None:
    found = asked.load(CUFFT, framework)
    assert (found["error"], found["soname"], found["stand_in"]) == (None, CUFFT, True)
    assert found["path"] == str(Path(framework).with_name(CUFFT))
    assert found["told"] == {"cufftGetProperty": 9000, "cufftGetVersion": 10000}
    assert "cufftPlan1d" in found["exports"]
    assert found["gpu_code"] == {"sass": [], "ptx": []}


def test_what_a_library_does_not_tell_is_no_version(asked: Any, framework: str) -> None:
    assert asked.load(CUBLAS, framework)["told"] == {"cublasGetProperty": None, "cublasGetVersion": None}


def test_cudnn_tells_what_it_was_made_for(asked: Any, framework: str) -> None:
    assert asked.load(CUDNN, framework)["told"] == {"cudnnGetVersion": 7605, "cudnnGetCudartVersion": 9000}


def test_a_link_to_another_library_is_loaded_and_has_no_name(asked: Any, framework: str) -> None:
    link = Path(framework).with_name("libcurand.so.9.0")
    link.symlink_to(CUFFT)
    found = asked.load(link.name, framework)
    assert (found["error"], found["path"], found["soname"], found["stand_in"]) == (None, None, None, False)
    assert found["told"] == {}


def test_handles_are_refused_and_a_process_may_end(asked: Any, framework: str) -> None:
    found = asked.handles([CUFFT, CUBLAS, CUDNN], framework)
    assert set(found) == {"cublasCreate_v2", "cudnnCreate"}
    assert (found["cublasCreate_v2"]["error"], found["cublasCreate_v2"]["status"]) == (None, 1)
    assert found["cudnnCreate"]["error"] == "exit code 3: no message"


def test_nobody_is_waited_for_without_end(asked: Any, framework: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Less than any Python takes to start.
    monkeypatch.setattr(asked, "LIMIT_S", 0.0001)
    assert "no answer within" in asked.load(CUFFT, framework)["error"]


def test_what_is_not_there_is_an_error(asked: Any) -> None:
    assert "cannot open shared object file" in asked.load("libcufft.so.99.9")["error"]
