"""Makes a simulated CUDA (`CUDA=simulated`) for machines that cannot reach, or do not want to fetch, NVIDIA's archives.

Genuine NVIDIA libraries where a wheel on the package index has them, stubs for the rest. TensorFlow imports and trains
on the CPU with it; no GPU can. Whatever is built from it is labelled simulated, because its lock says so.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gpuenv.core import atomic, locking, ui
from gpuenv.core.errors import UsageError
from gpuenv.cuda import stubs
from gpuenv.cuda.files import local_path, sha256_of
from gpuenv.variants.cuda_lock import Component, Source, load_cuda_lock
from gpuenv.variants.model import Variant

#: The names that each stub exports.
DATA = Path(__file__).with_name("simulation")
#: By the version of CUDA, wheels with its genuine cudart, cublas, curand and cusparse, for Python 3.6.
WHEELS = {
    version: Source(
        wheel=f"cntk_gpu-{of}-cp36-cp36m-manylinux1_x86_64.whl", sha256=sha256, size=size, origin="index", unpack="zip"
    )
    for version, of, sha256, size in (
        ("9.0", "2.6", "a4bb834430cfaef27fffde1ac174da8758649250c2719e6a27c35c558c412ff6", 478_762_929),
        ("10.0", "2.7.post2", "6954c67b71aa637eb661df720ec72429b3298de9f14f67bfa7ce89752cfccc0d", 522_679_596),
    )
}
LOCK_NAME = "cuda.lock.toml"
#: Families of libraries that are taken from the wheel, whose cuDNN is too old for TensorFlow.
GENUINE = ("cublas", "cudart", "curand", "cusparse")
CUDNN = "libcudnn.so.7"
_INPUTS = "# inputs: "


@dataclass(frozen=True)
class StubPlan:
    """What a simulated CUDA of one variant is made of; ``stubs`` is SONAME -> the names that it exports."""

    variant: str
    toolkit: str
    cudnn: str
    genuine: tuple[str, ...]
    stubs: Mapping[str, tuple[str, ...]]
    wheel: Source


def make_simulated_lock(variant: Variant, folder: Path) -> Path:
    """Make archives and their lock in ``folder`` unless they are there and current; returns the lock's path.

    Raises UsageError for a variant without measured symbols, HostError without gcc.
    """
    plan = make_plan(variant)
    path = folder / LOCK_NAME
    if is_current(path, plan):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with locking.held(folder / "lock", "another gpuenv is making the simulated CUDA; waiting for it"):
        if not is_current(path, plan):
            ui.say(f"making a simulated CUDA {variant.cuda.version} for {variant.name} in {folder}")
            atomic.write_text(path, render_lock(plan, _make_components(plan, folder)))
            load_cuda_lock(path)
    return path


def make_plan(variant: Variant) -> StubPlan:
    """Decide from the variant's own lock what is genuine and what is a stub. Raises UsageError if nothing is known."""
    symbols_path = DATA / f"symbols-{variant.name}.txt"
    package = WHEELS.get(variant.cuda.version)
    if not symbols_path.is_file() or package is None:
        raise UsageError(
            f"there is no simulated CUDA for {variant.name}",
            f"{symbols_path} is missing, or a wheel for CUDA {variant.cuda.version} is",
            "leave CUDA=simulated out, or add them (tests/simulated/symbols.py measures the symbols)",
        )
    symbols = stubs.parse_symbols(symbols_path.read_text(encoding="utf-8"), symbols_path)
    own_lock = load_cuda_lock(variant.cuda_lock_path)
    toolkit = next(part for part in own_lock.components if CUDNN not in part.sonames)
    genuine = tuple(soname for soname in toolkit.sonames if soname[3:].split(".")[0] in GENUINE)
    stubbed = [soname for soname in toolkit.sonames if soname not in genuine]
    return StubPlan(
        variant=variant.name,
        toolkit=toolkit.version,
        cudnn=variant.cuda.cudnn,
        genuine=genuine,
        stubs={soname: symbols[soname] for soname in (*stubbed, CUDNN)},
        wheel=package,
    )


def is_current(path: Path, plan: StubPlan) -> bool:
    """Whether the lock at ``path`` was made from the same inputs and its archives are there."""
    try:
        first_line = path.read_text(encoding="utf-8").partition("\n")[0]
    except OSError:
        return False
    if first_line != _INPUTS + digest(plan):
        return False
    files = (local_path(source) for part in load_cuda_lock(path).components for source in part.sources)
    return all(file is None or file.is_file() for file in files)


def digest(plan: StubPlan) -> str:
    """The sha256 of everything that decides what is made, except for the compiler."""
    code = [sha256_of(Path(code)) for code in (__file__, stubs.__file__)]
    content = {**vars(plan), "wheel": plan.wheel.sha256, "code": code}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def render_lock(plan: StubPlan, components: list[Component]) -> str:
    """The text of the lock."""
    lines = [_INPUTS + digest(plan), f"# A simulated CUDA for {plan.variant}, made by gpuenv."]
    lines += ["simulated = true", ""]
    for component in components:
        lines += ["[[component]]", f'name = "{component.name}"', f'version = "{component.version}"']
        lines += [f"sonames = {json.dumps(component.sonames)}", ""]
        for source in component.sources:
            lines += ["[[component.source]]", _place(source), f'sha256 = "{source.sha256}"']
            lines += [f'origin = "{source.origin}"', f'unpack = "{source.unpack}"', ""]
    return "\n".join(lines)


def _place(source: Source) -> str:
    return f'wheel = "{source.wheel}"' if source.wheel else f'url = "{source.url}"'


def _make_components(plan: StubPlan, folder: Path) -> list[Component]:
    toolkit = {soname: names for soname, names in plan.stubs.items() if soname != CUDNN}
    cuda_stubs = _pack_stubs(toolkit, plan.cudnn, folder / "cuda-stubs.tar")
    cudnn_stub = _pack_stubs({CUDNN: plan.stubs[CUDNN]}, plan.cudnn, folder / "cudnn-stub.tar")
    return [
        Component("cuda-toolkit", plan.toolkit, plan.genuine, (plan.wheel,)),
        Component("cuda-stubs", plan.toolkit, tuple(sorted(toolkit)), (cuda_stubs,)),
        Component("cudnn", plan.cudnn, (CUDNN,), (cudnn_stub,)),
    ]


def _pack_stubs(symbols: Mapping[str, tuple[str, ...]], cudnn: str, archive: Path) -> Source:
    """Compile and pack stubs; the same names and compiler give the same bytes."""
    part = archive.with_name(archive.name + ".part")
    with (
        tempfile.TemporaryDirectory(dir=archive.parent) as work,
        tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for soname, names in sorted(symbols.items()):
            path = stubs.compile_stub(soname, stubs.render_source(soname, names, cudnn), Path(work))
            content = path.read_bytes()
            entry = tarfile.TarInfo(path.name)  # with no time, no owner and plain permissions
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    part.rename(archive)
    return Source(url=archive.as_uri(), sha256=sha256_of(archive), origin="simulated", unpack="tar")
