"""Good images, and the broken ones that are made from them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fakes.engine import sdk
from gpuenv import cli
from gpuenv.core import locking, paths
from gpuenv.cuda import archives, sources
from gpuenv.cuda.files import file_name
from gpuenv.engine.model import Engine
from gpuenv.harness.targets import listing as targets
from gpuenv.host import gpu
from gpuenv.net import certificates
from gpuenv.net import pip_settings as pipconfig
from gpuenv.variants import model as variants
from gpuenv.variants.cuda_lock import load_cuda_lock, of_index

from .table import HERE, Fault

SITE = "/opt/gpuenv/lib/python3.6/site-packages"
#: The build's containers and images carry it, so that what a killed test leaves behind can be found.
LABEL = "gpuenv.broken"
CUDNN = "libcudnn.so.7"


def ensure_good(engine: Engine, source: str) -> None:
    """Have a good image such as ``cuda10.0-gpu-index`` under its tag, building it if need be."""
    variant, flavor, *_ = source.split("-")
    settings = cli.read_settings(["images", "--variant", variant, "--flavor", flavor, "--cuda", "index"])
    (target,) = targets.list_images(settings, engine, gpu.host_gpus())
    assert target.missing is None, f"gpuenv:{source} cannot be made: {target.missing}"
    assert target.identity == source


def recipe(fault: Fault) -> str:
    """The Dockerfile of a broken image."""
    lines = [f"FROM gpuenv:{fault.source}", "USER 0:0", f"ARG SITE={SITE}", f'LABEL {LABEL}="{fault.name}"']
    if fault.wheel:
        lines += ["COPY wheels /opt/wheels"]
        lines += ["RUN python -m pip install --quiet --no-index --no-deps --no-cache-dir /opt/wheels/*.whl"]
    if fault.edits:
        lines += ["COPY edits.json sitecustomize.py $SITE/"]
    if fault.dockerfile:
        lines += [fault.dockerfile.strip()]
    return "\n".join([*lines, f"USER {fault.user}", ""])


def build(engine: Engine, fault: Fault) -> str:
    """Make the broken image; its id.

    The engine's older builder does it, through the SDK: it keeps no cache, so that nothing is left when the image
    is removed.
    """
    with tempfile.TemporaryDirectory(prefix="gpuenv-broken-") as folder:
        prepare(fault, Path(folder))
        image, _ = sdk(engine).images.build(
            path=folder, tag=tag_of(fault), rm=True, forcerm=True, nocache=True, network_mode="none"
        )
    return str(image.id)


def tag_of(fault: Fault) -> str:
    """The broken image's name."""
    return f"gpuenv-broken:{fault.name}"


def prepare(fault: Fault, folder: Path) -> None:
    """Put everything that the build needs into ``folder``."""
    (folder / "Dockerfile").write_text(recipe(fault), encoding="utf-8")
    if fault.wheel:
        (folder / "wheels").mkdir()
        _link(fetch_wheel(fault.wheel), folder / "wheels")
    if fault.edits:
        (folder / "edits.json").write_text(json.dumps(fault.edits), encoding="utf-8")
        shutil.copy(HERE / "edited_programs.py", folder / "sitecustomize.py")
    if fault.cudnn:
        _link(genuine_cudnn(fault.variant), folder)


def fetch_wheel(pin: str) -> Path:
    """The file of ``NAME==VERSION --hash=sha256:...`` for the Python of the environments; pip checks its hash."""
    folder = paths.cache_dir() / "broken" / pin.rpartition(":")[2][:16]
    with locking.held(folder.with_suffix(".lock"), f"another test fetches {pin.split(maxsplit=1)[0]}; waiting for it"):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
                _download(pin, Path(temporary))
                (Path(temporary) / "wheel").rename(folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def _download(pin: str, folder: Path) -> None:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{pin}\n", encoding="utf-8")
    environment = dict(os.environ)
    bundle = pipconfig.load_pip_settings().cert or certificates.find_bundle()
    if bundle is not None:
        environment.setdefault("PIP_CERT", str(bundle))
    argv = download_argv(requirements, folder / "wheel")
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{pin.split(maxsplit=1)[0]} cannot be fetched: {done.stderr}"


def download_argv(requirements: Path, target: Path) -> Sequence[str]:
    """pip's command line, with a Python that has one: what uv made has none."""
    asked = ([python, "-I", "-c", "import pip"] for python in (sys.executable, "python3"))
    python = next(argv[0] for argv in asked if not subprocess.run(argv, capture_output=True, check=False).returncode)
    kind = ["--implementation=cp", "--python-version=3.6", "--abi=cp36m", "--platform=manylinux1_x86_64"]
    options = ["--no-deps", "--require-hashes", "--no-cache-dir", "--only-binary=:all:", "--quiet"]
    return [python, "-m", "pip", "download", *options, *kind, f"--requirement={requirements}", f"--dest={target}"]


def genuine_cudnn(variant: str) -> Path:
    """NVIDIA's own cuDNN from the wheel that the rest of CUDA comes from; it is below the variant's floor."""
    folder = paths.cache_dir() / "broken" / f"cudnn-{variant}"
    libraries = folder / "libraries"
    with locking.held(folder / "libraries.lock", "another test takes cuDNN from its archive; waiting for it"):
        if not (libraries / CUDNN).exists():
            libraries.mkdir(exist_ok=True)
            lock = load_cuda_lock(variants.find_variant(variant).cuda_lock_path)
            source = of_index(lock).parts[0].sources[0]
            stream, _ = sources.open_source(source, folder)
            with tempfile.TemporaryDirectory(dir=folder) as tree, stream:
                archives.unpack("zip", stream, file_name(source), Path(tree))
                archives.select_libraries(Path(tree), [CUDNN], libraries)
    return libraries / CUDNN


def _link(file: Path, folder: Path) -> None:
    try:
        os.link(file, folder / file.name)
    except OSError:  # on another file system
        shutil.copy(file, folder)


def remove(engine: Engine, names: Sequence[str]) -> None:
    """Remove broken images."""
    from docker.errors import ImageNotFound

    for name in names:
        with contextlib.suppress(ImageNotFound):
            sdk(engine).images.remove(name, force=True)
