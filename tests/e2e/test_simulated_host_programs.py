"""The simulated driver's own programs, run on this machine without an engine."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gpuenv.core import paths
from gpuenv.host import elf, gpu
from simulated import elf_symbols
from simulated.host import build, scenario

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc on this machine")

NAMES = scenario.list_names()
HEALTHY = [name for name in NAMES if name != "mismatch"]
#: The oldest C library that a container may have (that of the TensorFlow wheels, research: glibc 2.17).
GLIBC_MAX = (2, 17)
MakeRoot = Callable[[str], Path]
LIBRARIES = sorted(name for name in build.PROGRAMS if "/lib" in name)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build.compile_programs(tmp_path_factory.mktemp("simulated") / "programs")


@pytest.fixture
def make_root(programs: Path, tmp_path: Path) -> MakeRoot:
    return lambda name: build.make_root(programs, scenario.find_scenario(name), tmp_path / name)


def smi(root: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run([root / "path/nvidia-smi", *arguments], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout


def ask_cuda(root: Path, code: str, **environment: str) -> str:
    """Run a few lines of Python with ``cuda``, the simulated library of ``root``, in a process of its own."""
    library = root / build.LIBRARIES / "libcuda.so.1"
    head = f"import ctypes\ncuda = ctypes.CDLL({str(library)!r})\nn = ctypes.c_int(-1)\n"
    known = {"GPUENV_SIMULATED_ROOT": str(root), "PATH": os.environ["PATH"], **environment}
    argv = [shutil.which("python3") or "python3", "-I", "-c", head + code]
    return subprocess.run(argv, env=known, capture_output=True, text=True, check=True).stdout.strip()


COUNT = "print(cuda.cuInit(0), end=' ')\ncuda.cuDeviceGetCount(ctypes.byref(n)); print(n.value)"


@pytest.mark.parametrize("name", HEALTHY)
def test_gpuenv_reads_nvidia_smi_as_that_of_a_real_driver(make_root: MakeRoot, name: str) -> None:
    known = scenario.find_scenario(name)
    found = gpu.run_smi(str(make_root(name) / "path/nvidia-smi"))
    assert found.problem is None
    assert found.driver == known.driver
    assert found.uuids == tuple(device.uuid for device in known.devices)
    assert found.names == tuple(device.shown_name for device in known.devices)


def test_a_mismatch_is_told_in_the_words_and_the_exit_code_of_the_real_one(make_root: MakeRoot) -> None:
    root = make_root("mismatch")
    assert smi(root) == (18, "Failed to initialize NVML: Driver/library version mismatch\n")
    problem = gpu.run_smi(str(root / "path/nvidia-smi")).problem
    assert problem is not None
    assert problem.endswith("fails (exit code 18): Failed to initialize NVML: Driver/library version mismatch")
    assert ask_cuda(root, "print(cuda.cuInit(0))") == "803"


def test_without_nodes_there_is_no_device_and_without_the_control_node_no_driver(make_root: MakeRoot) -> None:
    root = make_root("v100")
    (root / "dev/nvidia0").unlink()
    assert smi(root, "-L") == (6, "No devices found.\n")
    assert smi(root) == (6, "No devices were found\n")
    assert ask_cuda(root, "print(cuda.cuInit(0))") == "100"
    (root / "dev/nvidiactl").unlink()
    code, said = smi(root)
    assert code == 9
    assert said.startswith("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.")


def test_nvidia_smi_lists_queries_and_selects(make_root: MakeRoot) -> None:
    root = make_root("two-t4")
    uuids = [device.uuid for device in scenario.find_scenario("two-t4").devices]
    lines = [f"GPU {number}: Tesla T4 (simulated) (UUID: {uuid})\n" for number, uuid in enumerate(uuids)]
    assert smi(root, "-L") == (0, "".join(lines))
    assert smi(root, "-i", "1", "-L") == (0, lines[1])
    assert smi(root, "-i", uuids[0], "--list-gpus") == (0, lines[0])
    assert smi(root, "-i", "7") == (6, "No devices were found\n")
    query = ("--query-gpu=index,memory.total,count", "--format=csv")
    assert smi(root, *query) == (0, "index, memory.total [MiB], count\n0, 15109 MiB, 2\n1, 15109 MiB, 2\n")
    assert smi(root, query[0], "--format=csv,noheader,nounits") == (0, "0, 15109, 2\n1, 15109, 2\n")
    code, table = smi(root)
    assert code == 0
    assert "SIMULATED" in table
    assert {len(line) for line in table.splitlines()} == {79}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--query-gpu=fan", "--format=csv"), 'Field "fan" is not a valid field to query.'),
        # nvidia-smi knows it since driver 510, so nobody may rely on it with an older one.
        (("--query-gpu=compute_cap", "--format=csv"), 'Field "compute_cap" is not a valid field to query.'),
        (("--query-gpu=index",), "Invalid combination of input arguments."),
        (("--sing",), "Invalid combination of input arguments."),
    ],
)
def test_nvidia_smi_refuses_what_the_real_one_refuses(make_root: MakeRoot, arguments: tuple[str], said: str) -> None:
    code, text = smi(make_root("v100"), *arguments)
    assert code == 2
    assert text.startswith(said)


@pytest.mark.parametrize(
    ("visible", "answer"),
    [
        ("0", "0 1"),
        ("1,0", "0 2"),
        ("GPU-5e1f0002-7500-4000-8000-000000000002", "0 1"),
        # The first entry that names nothing ends the list.
        ("1,5,0", "0 1"),
        ("", "100 -1"),
        ("-1", "100 -1"),
        ("NoDevFiles", "100 -1"),
    ],
)
def test_libcuda_honors_cuda_visible_devices(make_root: MakeRoot, visible: str, answer: str) -> None:
    assert ask_cuda(make_root("two-t4"), COUNT, CUDA_VISIBLE_DEVICES=visible) == answer


def test_libcuda_reorders_devices_as_asked(make_root: MakeRoot) -> None:
    name = "cuda.cuInit(0)\nname = (ctypes.c_ubyte * 16)()\ncuda.cuDeviceGetUuid(name, 0); print(bytes(name)[-1])"
    root = make_root("two-t4")
    assert ask_cuda(root, name) == "1"
    assert ask_cuda(root, name, CUDA_VISIBLE_DEVICES="1,0") == "2"


@pytest.mark.parametrize("name", HEALTHY)
def test_libcuda_answers_what_the_scenario_says(make_root: MakeRoot, name: str) -> None:
    known = scenario.find_scenario(name)
    root = make_root(name)
    version = "cuda.cuDriverGetVersion(ctypes.byref(n)); print(n.value)"
    assert ask_cuda(root, version) == str(known.cuda_number)
    expected = "999 -1" if known.fault == "no-uvm" else f"0 {len(known.devices)}"
    assert ask_cuda(root, COUNT) == expected


def test_nothing_that_needs_a_real_gpu_ever_succeeds(make_root: MakeRoot) -> None:
    code = "cuda.cuInit(0)\nprint({getattr(cuda, name)(None, 0, 0, 0, 0) for name in NAMES})"
    # "There is no context" is the truth, and to leave none changes nothing.
    harmless = {"cuCtxGetCurrent", "cuCtxSetCurrent"}
    pattern = re.compile(r"cu(Ctx|Mem|Launch|Stream|Module|DevicePrimaryCtxRetain)")
    names = [name for name in driver_functions() if pattern.match(name) and name not in harmless]
    assert len(names) > 50
    assert ask_cuda(make_root("v100"), code.replace("NAMES", repr(names))) == "{801}"


def driver_functions() -> list[str]:
    header = (paths.docker_dir() / "libcuda/driver-api.h").read_text(encoding="utf-8")
    return re.findall(r"^FUNCTION\((\w+)\)", header, re.MULTILINE)


def test_every_function_that_tensorflow_binds_is_there_and_the_library_says_that_it_is_simulated(
    programs: Path,
) -> None:
    library = ctypes.CDLL(str(programs / build.LIBRARIES / "libcuda.so.1"), mode=os.RTLD_NOW | os.RTLD_LOCAL)
    assert [name for name in driver_functions() if not hasattr(library, name)] == []
    marker = ctypes.c_char.in_dll(library, "gpuenv_simulated_driver")
    assert b"simulated" in ctypes.string_at(ctypes.addressof(marker))
    assert not hasattr(library, "gpuenv_libcuda_standin")
    assert not hasattr(library, "read_scenario")


@pytest.mark.parametrize("name", LIBRARIES)
def test_libraries_have_their_soname_and_run_with_an_old_c_library(programs: Path, name: str) -> None:
    known = elf.read_library(programs / name)
    assert known is not None
    assert known.soname == Path(name).name
    assert known.needed == ("libc.so.6",)
    wanted = {symbol.version for symbol in elf_symbols.undefined_symbols(programs / name) if symbol.version}
    versions = [tuple(map(int, version.split("_")[1].split("."))) for version in wanted]
    assert versions
    assert max(versions) <= GLIBC_MAX


def test_nvidia_smi_needs_nothing_of_the_container(programs: Path) -> None:
    known = elf.read_library(programs / "usr/bin/nvidia-smi")
    assert known is None or known.needed == ()


def test_by_hand_a_folder_becomes_one_host_after_the_other(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "simulated.host", str(tmp_path / "lab")]
    environment = {**os.environ, "PYTHONPATH": str(build.TESTS)}
    for name, driver in (("v100", "450.51.06"), ("driver-375", "375.66")):
        exports = subprocess.run([*argv, name], env=environment, capture_output=True, text=True, check=True).stdout
        script = f'{exports}\nnvidia-smi -L; cat "$GPUENV_NVIDIA_PROC/version"; command -v {build.HOOK_NAME}'
        said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
        assert scenario.find_scenario(name).devices[0].uuid in said
        assert f"Kernel Module  {driver}" in said
        assert said.strip().endswith(f"lab/bin/{build.HOOK_NAME}")
    refused = subprocess.run([*argv, "nothing"], env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "there is no scenario 'nothing'" in refused.stderr
