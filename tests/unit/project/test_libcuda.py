"""The stand-in for libcuda, compiled here the way its head says."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gpuenv.core import paths
from gpuenv.host import elf
from simulated import elf_symbols

NO_DEVICE, NOT_INITIALIZED, INVALID_VALUE = 100, 3, 1
FOLDER = paths.docker_dir() / "libcuda"

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc on this machine to compile the stand-in")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("libcuda")
    for path in FOLDER.iterdir():
        shutil.copy(path, folder)
    # The command in the head of libcuda.c, so that it cannot become wrong.
    command = re.search(r"gcc [^*]+\\\n \*  [^*]+?\.c$", (FOLDER / "libcuda.c").read_text(), re.MULTILINE)
    assert command is not None
    argv = command.group().replace("\\\n *", "").split()
    subprocess.run(argv, cwd=folder, check=True)
    return folder / "libcuda.so.1"


@pytest.fixture(scope="module")
def driver(library: Path) -> ctypes.CDLL:
    return ctypes.CDLL(str(library))


def test_it_takes_the_drivers_name_and_needs_nothing_but_libc(library: Path) -> None:
    assert elf_symbols.read_soname(library) == "libcuda.so.1"
    assert set(elf.read_needed(library)) <= {"libc.so.6"}


def test_it_exports_everything_that_was_measured_and_its_mark(library: Path) -> None:
    measured = set(re.findall(r"^FUNCTION\((\w+)\)$", (FOLDER / "driver-api.h").read_text(), re.MULTILINE))
    exported = {symbol.name for symbol in elf_symbols.exported_symbols(library)}
    assert len(measured) > 300
    assert measured <= exported
    assert "gpuenv_libcuda_standin" in exported


def test_it_says_no_device(driver: ctypes.CDLL) -> None:
    count = ctypes.c_int(-1)
    assert driver.cuInit(0) == NO_DEVICE
    assert driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    assert count.value == 0
    assert driver.cuCtxCreate_v2(None, 0, 0) == NOT_INITIALIZED
    assert driver.cuCtxCreate(None, 0, 0) == NOT_INITIALIZED


def test_it_names_its_errors(driver: ctypes.CDLL) -> None:
    text = ctypes.c_char_p()
    assert driver.cuGetErrorName(NO_DEVICE, ctypes.byref(text)) == 0
    assert text.value == b"CUDA_ERROR_NO_DEVICE"
    assert driver.cuGetErrorString(NO_DEVICE, ctypes.byref(text)) == 0
    assert text.value is not None
    assert text.value.startswith(b"no CUDA-capable device is detected")
    assert b"stand-in" in text.value
    assert driver.cuGetErrorName(12345, ctypes.byref(text)) == INVALID_VALUE
    assert text.value is None


def test_bad_arguments_do_not_crash_it(driver: ctypes.CDLL) -> None:
    assert driver.cuInit(1) == INVALID_VALUE
    assert driver.cuDeviceGetCount(None) == INVALID_VALUE
    assert driver.cuDriverGetVersion(None) == INVALID_VALUE
    assert driver.cuGetErrorName(0, None) == INVALID_VALUE
    assert driver.cuGetErrorString(0, None) == INVALID_VALUE


def test_its_driver_is_not_called_too_old(driver: ctypes.CDLL) -> None:
    version = ctypes.c_int()
    assert driver.cuDriverGetVersion(ctypes.byref(version)) == 0
    assert version.value >= 13000
