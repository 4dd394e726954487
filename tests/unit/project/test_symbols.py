"""The tool that measures what TensorFlow wants from NVIDIA's libraries."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gpuenv.cuda import stand_ins
from simulated import symbols


def test_measured_names_go_to_the_library_they_belong_to(tmp_path: Path) -> None:
    names = {"cublasCreate_v2", "cufftPlan1d", "cusolverDnCreate", "cufftw", "cuInit", "cudaFree", "cuDNN"}
    assert re.findall(r"FUNCTION\((\w+)\)", symbols.render_driver(["a.whl"], names)) == ["cuInit"]
    path = tmp_path / stand_ins.LIST_NAME
    path.write_text(symbols.render_stand_ins("a.whl", ".9.0", names))
    assert stand_ins.read_symbols(path) == {
        "libcufft.so.9.0": ("cufftPlan1d",),
        "libcusolver.so.9.0": ("cusolverDnCreate",),
    }


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc on this machine")
def test_read_only_strings_are_whole_strings(tmp_path: Path) -> None:
    texts = ("cuInit", "nvrtcVersion", "__cudaRegister", "not cuInit", "cuInit: no", "cu", "other")
    (tmp_path / "x.c").write_text(f"const char *texts[] = {{{', '.join(map(json.dumps, texts))}}};\n")
    library = tmp_path / "x.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, tmp_path / "x.c"], check=True)
    assert symbols.read_only_strings(library) == {"cuInit", "nvrtcVersion", "__cudaRegister"}
