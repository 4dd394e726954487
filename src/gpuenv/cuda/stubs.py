"""Compiles libraries of CUDA that say "not implemented" to everything, from a list of names.

Each has the SONAME and the version node of the real one, so that the loader takes it, and carries the symbol
`gpuenv_simulated_library`, by which a harness knows it again. The bytes depend on the names and the compiler only.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from gpuenv.core import signals
from gpuenv.core.errors import DataError, HostError

#: "Not supported" or "not implemented" in the status codes of each library (from NVIDIA's headers).
STATUS = {"cublas": 15, "cudnn": 9, "cufft": 14, "cupti": 27, "curand": 204, "cusolver": 9, "cusparse": 10}
MARKER = "gpuenv_simulated_library"

_HEAD = """\
#include <stddef.h>
const char {marker}[] = "simulated by gpuenv: {soname}";
"""
_FUNCTION = "int {name}(void) {{ return {status}; }}\n"
#: cuDNN is asked for its version before anything else; 7.6.5 is 7605, in three parts or in one.
_CUDNN_VERSION = """\
size_t cudnnGetVersion(void) {{ return {major} * 1000 + {minor} * 100 + {patch}; }}
int cudnnGetProperty(int which, int *value)
{{
    static const int parts[] = {{{major}, {minor}, {patch}}};
    if (which < 0 || which > 2 || value == NULL)
        return 3; /* CUDNN_STATUS_BAD_PARAM */
    *value = parts[which];
    return 0;
}}
const char *cudnnGetErrorString(int status)
{{
    return status ? "CUDNN_STATUS_NOT_SUPPORTED (simulated cuDNN)" : "CUDNN_STATUS_SUCCESS";
}}
"""
_CUDNN_OWN = frozenset({"cudnnGetVersion", "cudnnGetProperty", "cudnnGetErrorString"})


def parse_symbols(text: str, path: Path) -> dict[str, tuple[str, ...]]:
    """Read a symbols-VARIANT.txt: SONAME -> names. Raises DataError for a line that is neither."""
    found: dict[str, list[str]] = {}
    names: list[str] | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            names = found.setdefault(line[1:-1], [])
        elif names is not None and re.fullmatch(r"\w+", line):
            names.append(line)
        else:
            raise DataError(f"{path} is not usable", f"line {number} is {line!r}", "measure it again with symbols.py")
    return {soname: tuple(members) for soname, members in found.items()}


def render_source(soname: str, names: Iterable[str], cudnn: str) -> str:
    """The C source of one stub; ``cudnn`` is the version that a stub of cuDNN reports."""
    family = re.sub(r"^lib|\.so.*", "", soname)
    text = _HEAD.format(marker=MARKER, soname=soname)
    if family == "cudnn":
        major, minor, patch = cudnn.split(".")
        text += _CUDNN_VERSION.format(major=major, minor=minor, patch=patch)
        names = sorted(set(names) - _CUDNN_OWN)
    return text + "".join(_FUNCTION.format(name=name, status=STATUS[family]) for name in names)


def compile_stub(soname: str, source: str, target: Path) -> Path:
    """Compile ``source`` to ``target``/SONAME. Raises HostError when there is no gcc, or when it fails."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise HostError(
            "the simulated CUDA cannot be made",
            "it is compiled on this machine, and there is no gcc",
            "apt-get install gcc libc6-dev (or your system's packages for them)",
        )
    # What is exported gets the version node by which TensorFlow's undefined symbols ask for it.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "stub.c").write_text(source, encoding="utf-8")
        Path(folder, "stub.map").write_text(f"{soname} {{ *; }};\n", encoding="utf-8")
        flags = ["-shared", "-fPIC", "-O1", "-s", "-Wall", "-Wextra", "-Werror", "-Wno-builtin-declaration-mismatch"]
        linking = [f"-Wl,-soname,{soname}", "-Wl,--version-script=stub.map", "-Wl,--build-id=none"]
        argv = [compiler, *flags, *linking, "-o", soname, "stub.c"]
        done = signals.ask(argv, cwd=folder)
        if done.returncode != 0:
            raise HostError(
                f"the simulated {soname} cannot be compiled", done.stderr.strip()[-500:], "install gcc and libc6-dev"
            )
        shutil.move(Path(folder, soname), target / soname)
    return target / soname
