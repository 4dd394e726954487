"""Archives in the shape of NVIDIA's CUDA 9 and 10 installers: makeself's script, a packed tar, and one more inside."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from typing import Literal

Packing = Literal["gz", "bz2", "xz", ""]

#: What makeself 2.1.4 and 2.4.5 write, as far as it tells where the files are; run, it does what ``{deed}`` says.
#: Its first line stands in one with code, for the linter of shell scripts takes files by such lines.
OLD_SCRIPT = """#!/bin/sh
# This script was generated using Makeself 2.1.4

CRCsum="1408177609"
label="NVIDIA CUDA"
script="perl"
scriptargs="./cuda-installer.pl"
targetdir="pkg"
filesizes="{size}"
keep=n

{deed}
MS_Check()
{{
    offset=`head -n {lines} "$1" | wc -c | tr -d " "`
    echo filesizes=\\"$filesizes\\"
}}
exit 0
"""
NEW_SCRIPT = OLD_SCRIPT.replace("2.1.4", "2.4.5").replace("{lines}", '"$skip"').replace("keep=n", 'skip="{lines}"')


def tar_of(files: Mapping[str, bytes], packing: Packing = "gz") -> bytes:
    """A tar of ``files``."""
    content = io.BytesIO()
    # mypy knows no mode that is put together.
    with tarfile.open(fileobj=content, mode=f"w:{packing}") as tar:  # type: ignore[call-overload]
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return content.getvalue()


def makeself(tar: bytes, script: str = OLD_SCRIPT, deed: str = "") -> bytes:
    """An archive that unpacks itself; run, it does ``deed``, too."""
    lines = script.format(size="", lines="", deed=deed).count("\n")
    return script.format(size=len(tar), lines=lines, deed=deed).encode() + tar


def installer(libraries: Mapping[str, bytes], deed: str = "") -> bytes:
    """An installer of CUDA with ``libraries`` by their path in the toolkit; run, or run in part, it does ``deed``."""
    inner = makeself(tar_of({f"./{name}": data for name, data in libraries.items()}), deed=deed)
    others = {"./cuda-installer.pl": deed.encode(), "./run_files/NVIDIA-Linux-x86_64-384.81.run": b"a driver"}
    return makeself(tar_of({**others, "./run_files/cuda-linux.9.0.176-22781540.run": inner}), deed=deed)
