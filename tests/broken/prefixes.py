"""Good virtual environments, and the broken ones that are made from them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from gpuenv import cli
from gpuenv.cuda import choice as cuda_choice
from gpuenv.prefix import choice as prefix_choice
from gpuenv.variants import model as variants

from .table import Fault


def ensure_good(source: str) -> Path:
    """The folder of a good environment such as ``cuda9.0-gpu-index-venv``, made if need be."""
    variant, flavor, *_ = source.split("-")
    settings = cli.read_settings(
        ["test-env", "--target", "venv", "--variant", variant, "--flavor", flavor, "--cuda", "index"]
    )
    environment = cuda_choice.environment(settings, variants.find_variant(variant), flavor)
    return prefix_choice.make("venv", environment, settings).folder


def make(fault: Fault, folder: Path) -> Path:
    """A copy of the good environment below ``folder``, with the fault in it.

    Its files are hard links, which cost nothing: the lines of the fault replace and remove, and write into none.
    """
    copy = folder / fault.name
    subprocess.run(["cp", "-al", ensure_good(fault.source), copy], check=True)
    (site,) = copy.glob("lib/python3.*/site-packages")
    environment = {**os.environ, "PREFIX": str(copy), "SITE": str(site), "PATH": f"{copy}/bin:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euc", fault.shell], env=environment, cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return copy
