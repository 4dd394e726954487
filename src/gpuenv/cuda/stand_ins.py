"""Stand-ins for the libraries of CUDA that are on no package index: cuFFT and cuSOLVER.

TensorFlow 1.12 binds them while it is loaded, and 1.15 registers no GPU without them, though few operations call them.
Each has the SONAME and the version node of NVIDIA's, so that the loader takes it, tells the pinned version, and refuses
everything else; the first refused call of a process says so. The symbol `gpuenv_cuda_standin` tells it from NVIDIA's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from gpuenv.core import scratch
from gpuenv.core.errors import DataError, HostError
from gpuenv.variants.model import Variant, numbers

#: "Not supported" and "invalid value" in the status codes of each library (cufft.h, cusolver_common.h).
STATUS = {"cufft": 16, "cusolver": 9}
_INVALID_VALUE = {"cufft": 4, "cusolver": 3}
FAMILIES = tuple(STATUS)
_TITLES = {"cufft": "cuFFT", "cusolver": "cuSOLVER"}
MARKER = "gpuenv_cuda_standin"
#: The file in a variant's folder that lists what its TensorFlow wants from each.
LIST_NAME = "stand-ins.txt"
#: As in docker/Dockerfile, where those of images are compiled: the bytes depend on source and compiler alone.
FLAGS = ("-shared", "-fPIC", "-O2", "-s", "-Wl,--build-id=none")

_SECTION = re.compile(rf"\[(lib({'|'.join(FAMILIES)})\.so\.[\d.]+)\]")
_SAID = (
    "gpuenv: {soname} is a stand-in that refuses every call: the CUDA of this environment comes from the package index,"
    ' where cuFFT and cuSOLVER are missing. Run what needs {title} on the CPU (`with tf.device("/cpu:0"):`), or make'
    " a complete CUDA (`make images CUDA=archives`).\n"
)
_SOURCE = """\
/* Made by gpuenv.cuda.stand_ins: a stand-in for NVIDIA's {title}, which is on no package index. */
#include <stddef.h>
#include <unistd.h>

enum {{ SUCCESS = 0, INVALID_VALUE = {invalid}, NOT_SUPPORTED = {refused} }};

const char {marker}[] = "gpuenv's stand-in for {soname}: refuses every call but those for its version";

int {family}GetVersion(int *version)
{{
    if (version == NULL)
        return INVALID_VALUE;
    *version = {number};
    return SUCCESS;
}}

int {family}GetProperty(int which, int *value)
{{
    static const int parts[] = {{{major}, {minor}, 0}};

    if (which < 0 || which > 2 || value == NULL)
        return INVALID_VALUE;
    *value = parts[which];
    return SUCCESS;
}}

/* One line for each process, whichever of its threads is the first. Not through stdio, whose lock a fork may leave. */
static int refuse(void)
{{
    static const char said[] = {said};
    static int is_said;

    if (!__atomic_exchange_n(&is_said, 1, __ATOMIC_RELAXED))
        (void)!write(2, said, sizeof said - 1);
    return NOT_SUPPORTED;
}}

/* They ignore their arguments, which the calling convention of x86-64 leaves to the caller. */
"""
_FUNCTION = "int {name}(void) {{ return refuse(); }}\n"


def read_symbols(path: Path) -> dict[str, tuple[str, ...]]:
    """Read a list of wanted functions: SONAME -> names. Raises DataError for an unusable one, naming the line."""
    found: dict[str, list[str]] = {}
    soname, family = "", ""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(path, str(error)) from error
    for number, line in enumerate(lines, start=1):
        if not line or line.startswith("#"):
            continue
        if section := _SECTION.fullmatch(line):
            soname, family = section.groups()
            found.setdefault(soname, [])
        elif soname and re.fullmatch(rf"{family}[A-Z]\w*", line, re.ASCII):
            found[soname].append(line)
        else:
            raise _unusable(path, f"line {number} is {line!r}")
    return {soname: tuple(names) for soname, names in found.items()}


def render(soname: str, names: Iterable[str], version: str) -> tuple[str, str]:
    """The C source of one stand-in, and its version map; ``version`` is CUDA's (``"10.0"``)."""
    family = re.sub(r"^lib|\.so.*", "", soname)
    major, minor = numbers(version)[:2]
    values = {
        "family": family,
        "soname": soname,
        "title": _TITLES[family],
        "marker": MARKER,
        "invalid": _INVALID_VALUE[family],
        "refused": STATUS[family],
        "number": major * 1000 + minor * 10,
        "major": major,
        "minor": minor,
    }
    refused = sorted(set(names) - {f"{family}GetVersion", f"{family}GetProperty"})
    source = _SOURCE.format(said=json.dumps(_SAID.format(**values)), **values)
    # What is exported gets the version node by which TensorFlow's undefined symbols ask for it.
    return source + "".join(_FUNCTION.format(name=name) for name in refused), f"{soname} {{ *; }};\n"


def sources(variant: Variant, sonames: Iterable[str]) -> dict[str, str]:
    """``SONAME.c`` and ``SONAME.map`` of each, with their text. Raises DataError if the variant's list lacks one."""
    wanted, path = sorted(sonames), variant.folder / LIST_NAME
    symbols = read_symbols(path) if wanted else {}
    texts = {}
    for soname in wanted:
        if not symbols.get(soname):
            raise _unusable(path, f"it names no function of {soname}")
        texts[f"{soname}.c"], texts[f"{soname}.map"] = render(soname, symbols[soname], variant.cuda.version)
    return texts


def compile_all(texts: Mapping[str, str], target: Path) -> None:
    """Compile what :func:`sources` gives into the folder ``target``. Raises HostError without a working compiler."""
    sonames = sorted(name[: -len(".c")] for name in texts if name.endswith(".c"))
    if not sonames:
        return
    # It loads what downloads and unpacks, and a warm shell only asks for the sources, for an image's key.
    from gpuenv.cuda import compiler

    with scratch.folder("stand-ins") as folder:
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        jobs = [
            [
                *FLAGS,
                f"-Wl,-soname,{one}",
                f"-Wl,--version-script={one}.map",
                "-o",
                str(target.absolute() / one),
                f"{one}.c",
            ]
            for one in sonames
        ]
        if problem := compiler.compile_all(jobs, folder):
            raise HostError(
                "the stand-ins for cuFFT and cuSOLVER cannot be compiled",
                problem,
                "install gcc and libc6-dev, or take CUDA=archives",
            )


def _unusable(path: Path, why: str) -> DataError:
    return DataError(f"{path} is not usable", why, "restore it, or measure it again (tests/simulated/symbols.py)")
