"""What TensorFlow's libraries need and what this target has: asked of the loader itself, no GPU needed.

Arguments: the SONAMEs that TensorFlow loads by name.
"""

import os
import re
import subprocess
import sys
import tempfile

import cuda_libraries
import distributions
import elf_reader
from common import emit

LOADER = "/lib64/ld-linux-x86-64.so.2"
#: These two hold all of TensorFlow's code; the others are small plug-ins.
MAIN = re.compile(r"_pywrap_tensorflow_internal\.so|libtensorflow_framework\.so(\.\d+)?")
DRIVER_FILE = re.compile(r"libcuda\.so.*|libnvidia-[^.]*\.so.*|libnvcuvid\.so.*|nvidia-smi")
SKIPPED_FOLDERS = ("/proc", "/sys", "/dev")
_LINE = re.compile(r"\s*(\S+) => (.+?)(?: \(0x[0-9a-f]+\))?$")


def tensorflow_libraries():
    """Every shared library below a folder ``tensorflow*``; links there lead to those of CUDA."""
    found = []
    for site in distributions.site_folders():
        for name in sorted(os.listdir(site)):
            if not name.startswith("tensorflow") or name.endswith("-info"):
                continue
            for folder, _, files in os.walk(os.path.join(site, name)):
                paths = [os.path.join(folder, one) for one in files if re.search(r"\.so(\.\d+)*$", one)]
                found += [path for path in paths if not os.path.islink(path)]
    return found


def stand_in():
    """The stand-in for the driver that this environment's Python loads before TensorFlow here, else None.

    Images have theirs where the loader looks last; an environment without a container has no such place.
    """
    try:
        import gpuenv_driver
    except ImportError:
        return None
    return gpuenv_driver.stand_in()


STAND_IN = stand_in()


def resolve(path):
    """``({SONAME: file or None}, [complaints])``, as the loader would find them for ``path``."""
    with tempfile.TemporaryDirectory() as folder:
        variables = dict(os.environ)
        if STAND_IN:
            # The variable is a list that blanks divide, and an environment may lie below a folder with one.
            variables["LD_PRELOAD"] = os.path.join(folder, os.path.basename(STAND_IN))
            os.symlink(STAND_IN, variables["LD_PRELOAD"])
        command = [LOADER, "--list", path]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables)  # noqa: PLW1510
    found = {"libcuda.so.1": STAND_IN} if STAND_IN else {}
    for line in done.stdout.decode().splitlines():
        match = _LINE.match(line)
        if match:
            found[match.group(1)] = None if match.group(2) == "not found" else match.group(2)
    return found, done.stderr.decode().splitlines()


def missing_symbols(path, resolved):
    """Symbols that ``path`` binds and that none of the libraries found exports, with their version node.

    Any of them may have it, as for the loader: glibc 2.34 moved what libpthread had into libc.
    """
    exported = set()
    for file in [LOADER, *resolved.values()]:
        if file and os.path.isfile(file):
            exported |= elf_reader.Elf(file).exported()
    names = {name for name, _ in exported}
    missing = []
    for name, version, soname in elf_reader.Elf(path).undefined():
        # Python's own symbols come from the interpreter, and have no version node.
        is_ours = bool(version) or name.startswith("cu")
        is_there = (name, version) in exported if version else name in names
        if is_ours and not is_there:
            missing.append([name, version, soname])
    return sorted(missing)


def examine(path):
    """One of TensorFlow's libraries."""
    resolved, complaints = resolve(path)
    is_main = MAIN.fullmatch(os.path.basename(path)) is not None
    return {
        "path": path,
        "unresolved": sorted(soname for soname, file in resolved.items() if file is None),
        "resolved": resolved if is_main else {},
        "complaints": complaints,
        "needed": elf_reader.Elf(path).needed if is_main else [],
        "missing_symbols": missing_symbols(path, resolved) if is_main else [],
    }


def driver_files():
    """Files of NVIDIA's driver that are part of this target, and not mounted into it."""
    with open("/proc/self/mounts") as stream:
        mounted = {line.split()[1].replace("\\040", " ") for line in stream}
    found = []
    for folder, folders, files in os.walk("/"):
        folders[:] = [name for name in folders if os.path.join(folder, name) not in {*SKIPPED_FOLDERS, *mounted}]
        paths = [os.path.join(folder, name) for name in files if DRIVER_FILE.fullmatch(name)]
        found += [path for path in paths if path not in mounted and os.path.realpath(path) not in mounted]
    return sorted(found)


def _cache_names_libcuda():
    try:
        with open("/etc/ld.so.cache", "rb") as stream:
            return b"libcuda.so.1" in stream.read()
    except OSError:
        return False


def run(sonames):
    """Everything about linkage, as one dictionary."""
    libraries = tensorflow_libraries()
    mains = [path for path in libraries if "_pywrap_tensorflow_internal" in os.path.basename(path)]
    framework = next((path for path in libraries if "libtensorflow_framework" in os.path.basename(path)), None)
    return {
        "libraries": [examine(path) for path in libraries],
        "loaded": {soname: cuda_libraries.load(soname, framework) for soname in sonames},
        "handles": cuda_libraries.handles(sonames, framework),
        "gpu_code": elf_reader.gpu_code(elf_reader.Elf(mains[0])) if mains else {"sass": [], "ptx": []},
        "driver_files": driver_files(),
        "cache_names_libcuda": _cache_names_libcuda(),
        "ld_library_path": os.environ.get("LD_LIBRARY_PATH"),
        "ld_preload": os.environ.get("LD_PRELOAD"),
    }


if __name__ == "__main__":
    emit(run(sys.argv[1:]))
