"""Finds the CUDA libraries that are installed on this machine, if they are of the variant's version."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from gpuenv.variants.cuda_lock import CudaLock
from gpuenv.variants.model import Variant

#: Where NVIDIA's and the distributions' packages put them; ``{version}`` is such as 10.0.
FOLDERS = (
    "/usr/local/cuda-{version}/lib64",
    "/usr/local/cuda-{version}/extras/CUPTI/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib64",
)
_LDCONFIG = re.compile(r"^\s+(\S+) \(libc6,x86-64[^)]*\) => (/\S+)$", re.MULTILINE)


def find(variant: Variant, lock: CudaLock) -> dict[str, Path]:
    """SONAME -> file for every library of ``lock``; empty unless all are here and cuDNN is the variant's."""
    named = [os.environ.get(name) for name in ("CUDA_HOME", "CUDA_PATH", "CUDA_ROOT")]
    on_path = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    folders = [f"{root}/lib64" for root in named if root] + [part for part in on_path if part]
    folders += [folder.format(version=variant.cuda.version) for folder in FOLDERS]
    try:
        cache = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=False).stdout
    except OSError:
        cache = ""
    found = choose(lock.sonames, map(Path, folders), parse_cache(cache))
    cudnn = next((path for soname, path in found.items() if soname.startswith("libcudnn.so")), None)
    # Its SONAME names the major version only; the file that the link leads to has the whole in its name.
    if cudnn is not None and not cudnn.resolve().name.endswith(f".so.{variant.cuda.cudnn}"):
        return {}
    return found


def choose(sonames: Iterable[str], folders: Iterable[Path], known: Mapping[str, Path]) -> dict[str, Path]:
    """The file of each SONAME; empty when one is nowhere: two halves of two installations do not fit."""
    folders = list(folders)
    found: dict[str, Path] = {}
    for soname in sonames:
        candidates = [*(folder / soname for folder in folders), *([known[soname]] if soname in known else [])]
        path = next((path for path in candidates if path.is_file()), None)
        if path is None:
            return {}
        found[soname] = path
    return found


def parse_cache(text: str) -> dict[str, Path]:
    """SONAME -> file, from the output of `ldconfig -p`."""
    return {soname: Path(path) for soname, path in _LDCONFIG.findall(text)}
