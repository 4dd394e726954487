"""What each library of CUDA tells of itself, with or without a GPU: asked in processes, and read off its file."""

import json
import os
import re
import subprocess
import sys

import elf_reader

#: A stand-in for one of NVIDIA's libraries carries it (gpuenv.cuda.stand_ins).
STAND_IN_MARK = "gpuenv_cuda_standin"
#: What gives a handle, and what takes it back.
HANDLES = {"cublas": ("cublasCreate_v2", "cublasDestroy_v2"), "cudnn": ("cudnnCreate", "cudnnDestroy")}
#: Seconds for one library. Without a GPU it takes 0.1 s (measured); with one, all of its code is brought onto it.
LIMIT_S = 120

# Each prints the answer as its last line. A library is loaded by its file where it lies beside TensorFlow's own.
_LOAD = """
import ctypes, json, sys
soname, file = sys.argv[1:]
library = ctypes.CDLL(file)
paths = [line.split(None, 5)[5].strip() for line in open("/proc/self/maps") if len(line.split(None, 5)) == 6]
path = next((path for path in paths if path.rsplit("/", 1)[-1].startswith(soname.split(".so")[0] + ".so")), None)
family = soname[3:].split(".")[0]
told = {}
def ask(name):
    number = ctypes.c_int()
    return number.value if getattr(library, name)(ctypes.byref(number)) == 0 else None
def ask_parts(name):
    numbers = [ctypes.c_int(), ctypes.c_int()]
    done = [getattr(library, name)(which, ctypes.byref(number)) for which, number in enumerate(numbers)]
    return None if any(done) else 1000 * numbers[0].value + 10 * numbers[1].value
def ask_size(name):
    getattr(library, name).restype = ctypes.c_size_t
    return getattr(library, name)()
if family == "cudart":
    told["cudaRuntimeGetVersion"] = ask("cudaRuntimeGetVersion")
elif family == "cudnn":
    told = {name: ask_size(name) for name in ("cudnnGetVersion", "cudnnGetCudartVersion")}
elif hasattr(library, family + "GetProperty"):
    told[family + "GetProperty"] = ask_parts(family + "GetProperty")
    if hasattr(library, "gpuenv_cuda_standin"):
        told[family + "GetVersion"] = ask(family + "GetVersion")
print(json.dumps({"path": path, "told": told}))
"""
_HANDLE = """
import ctypes, json, sys
file, create, destroy = sys.argv[1:]
init, devices, destroyed = None, ctypes.c_int(), None
try:
    driver = ctypes.CDLL("libcuda.so.1")
    init = driver.cuInit(0)
    if init == 0:
        driver.cuDeviceGetCount(ctypes.byref(devices))
except OSError:
    pass
library, handle = ctypes.CDLL(file), ctypes.c_void_p()
status = getattr(library, create)(ctypes.byref(handle))
if status == 0:
    destroyed = getattr(library, destroy)(handle)
print(json.dumps({"init": init, "devices": devices.value, "status": status, "destroyed": destroyed}))
"""


def load(soname, framework=None):
    """Load one library in a fresh process: where it was found, and the versions that its functions tell.

    By name, as TensorFlow does; the loader asks the folder of TensorFlow's own library (its RPATH) first.
    """
    result = _ask(_LOAD, soname, _file(soname, framework))
    if result["error"]:
        return result
    # No path: what was loaded is a file of another name, to which a link leads.
    result.update(soname=None, stand_in=False, exports=[], gpu_code={"sass": [], "ptx": []})
    if not result["path"]:
        return result
    elf = elf_reader.Elf(result["path"])
    exported = elf.exported()
    result.update(soname=elf.soname, gpu_code=elf_reader.gpu_code(elf))
    if any(name == STAND_IN_MARK for name, _ in exported):
        # Under the version node that TensorFlow asks for.
        result.update(stand_in=True, exports=sorted(name for name, node in exported if node == elf.soname))
    if soname.startswith("libcudart.so") and result["told"]["cudaRuntimeGetVersion"] is None:
        result["told"] = {"cudaRuntimeGetVersion": cudart_version(elf)}
    return result


def handles(sonames, framework=None):
    """``{function: what came of asking it for a handle}``, with the driver's state as that process saw it.

    ``init`` is cuInit's status, None where there is no libcuda at all.
    """
    found = {}
    for soname in sonames:
        create, destroy = HANDLES.get(soname[3:].split(".")[0], ("", ""))
        if create:
            found[create] = _ask(_HANDLE, _file(soname, framework), create, destroy)
    return found


def cudart_version(elf):
    """The version of a CUDA runtime by the version node of its own symbols: 9000 for ``libcudart.so.9.0``, or None.

    The genuine 9.0 and 10.0 ask the driver before they tell their version, and without a device they answer
    cudaErrorNoDevice (38) instead.
    """
    nodes = {node for name, node in elf.exported() if name == "cudaRuntimeGetVersion"}
    found = [re.fullmatch(r"libcudart\.so\.(\d+)\.(\d+)", node) for node in sorted(nodes)]
    numbers = [1000 * int(match.group(1)) + 10 * int(match.group(2)) for match in found if match]
    return numbers[0] if numbers else None


def _file(soname, framework):
    beside = os.path.join(os.path.dirname(framework), soname) if framework else ""
    return beside if os.path.exists(beside) else soname


def _ask(code, *arguments):
    """What ``code`` prints in a Python of its own, with ``error``: None, or how it ended and its last words."""
    pipe = subprocess.PIPE
    try:
        done = subprocess.run([sys.executable, "-I", "-c", code, *arguments], stdout=pipe, stderr=pipe, timeout=LIMIT_S)  # noqa: PLW1510
    except subprocess.TimeoutExpired:
        return {"path": None, "error": "no answer within %d s" % LIMIT_S}
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no message"]
        return {"path": None, "error": "exit code %d: %s" % (done.returncode, lines[-1])}
    try:
        result = json.loads(done.stdout.decode("utf-8", "replace").splitlines()[-1])
    except (IndexError, ValueError):
        return {"path": None, "error": "it ended in order, but without an answer"}
    result["error"] = None
    return result
