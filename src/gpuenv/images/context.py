"""Collects what a build reads, and the key of its result: files of the context, arguments, base."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gpuenv.core import paths
from gpuenv.variants import locks
from gpuenv.variants.environment import Environment

#: The folder of the context with the sources of stand-ins for libraries of CUDA.
STAND_INS = "stand-ins"


@dataclass(frozen=True)
class Inputs:
    """Everything that decides an image but its base. ``files``: the context, by path below it."""

    environment: Environment
    files: Mapping[str, bytes]
    labels: Mapping[str, str]

    @property
    def file_name(self) -> str:
        """What files and folders of this image are called."""
        return f"gpuenv-{self.environment.name}"


@dataclass(frozen=True)
class Built:
    """An image that is current. ``seconds`` is how long it took to build, None if it was there."""

    environment: Environment
    id: str
    labels: dict[str, str]
    seconds: float | None = None
    #: The end of its name in the engine, if the user's own packages were added to it.
    more: str = ""

    @property
    def tag(self) -> str:
        """Its name in the engine."""
        return f"{self.environment.tag}{self.more}"


def load_inputs(environment: Environment) -> Inputs:
    """Read the inputs of an image. Raises DataError for an unusable lock."""
    variant, flavor = environment.variant, environment.flavor
    lock = locks.load_lock(variant.lock_path(flavor))
    parts = locks.split_for_build(lock, environment)
    files = {f"locks/{name}": text.encode() for name, text in parts.items()}
    folder = paths.docker_dir()
    names = ["Dockerfile", "install.py", "fonts.py", "jupyter_config.py", "matplotlibrc"]
    if flavor == "gpu":
        names += sorted(f"libcuda/{path.name}" for path in (folder / "libcuda").glob("*.[ch]"))
    files.update({name: (folder / name).read_bytes() for name in names})
    if environment.cuda is not None and environment.cuda.stand_ins:
        from gpuenv.cuda import stand_ins

        texts = stand_ins.sources(variant, environment.cuda.stand_ins)
        files.update({f"{STAND_INS}/{name}": text.encode() for name, text in texts.items()})
    return Inputs(environment, files, labels_of(environment, lock.digest))


def labels_of(environment: Environment, lock_digest: str) -> dict[str, str]:
    """The image's labels, but those that tell of its base and its key."""
    variant, flavor = environment.variant, environment.flavor
    framework = f"TensorFlow {variant.tensorflow.version} and Keras {variant.keras}"
    labels = {
        "org.opencontainers.image.title": f"gpuenv {variant.name} {flavor}",
        "org.opencontainers.image.description": f"{framework}, for the CPU",
        "org.opencontainers.image.version": f"{variant.tensorflow.version}-{lock_digest[:12]}",
        # TensorFlow's and Keras'; the packages' own stand in their metadata.
        "org.opencontainers.image.licenses": "Apache-2.0 AND MIT",
        "gpuenv.project": "gpuenv",
        "gpuenv.variant": variant.name,
        "gpuenv.flavor": flavor,
        "gpuenv.lock": lock_digest,
        "gpuenv.cuda": environment.cuda_label,
        "gpuenv.python": variant.python,
        "gpuenv.tensorflow": variant.tensorflow.version,
        "gpuenv.keras": variant.keras,
    }
    if flavor == "cpu":
        return labels
    return {
        **labels,
        "org.opencontainers.image.licenses": "Apache-2.0 AND MIT AND LicenseRef-NVIDIA-CUDA",
        "org.opencontainers.image.description": f"{framework} on CUDA {variant.cuda.version}"
        + (" (cuFFT and cuSOLVER: stand-ins)" if environment.cuda_label == "index" else ""),
        "gpuenv.cuda_version": variant.cuda.version,
        "gpuenv.cudnn_version": variant.cuda.cudnn,
    }


def lock_path(environment: Environment) -> Path:
    """Held while an image is built, and while something is built on it."""
    return paths.state_dir() / "images" / f"gpuenv-{environment.name}.lock"


def content_key(inputs: Inputs, base_kind: str, base_identity: str) -> str:
    """SHA-256 (hex) over everything that decides an image: the same key, the same image."""
    files = {name: hashlib.sha256(content).hexdigest() for name, content in inputs.files.items()}
    environment = inputs.environment
    cuda = environment.cuda.digest if environment.cuda else None
    version = environment.variant.cuda.version
    value = [environment.tag, files, dict(inputs.labels), version, cuda, base_kind, base_identity]
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def assemble(inputs: Inputs, sources_dir: Path | None) -> Path:
    """Write the context of a build and return its folder. Whoever calls holds the lock of the image.

    The folder stays: a builder compares it with what it was sent the last time, by path, so that CUDA's
    libraries (a gigabyte or two) are not sent again when a pin has changed.
    """
    folder = paths.cache_dir() / "context" / inputs.file_name
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    for name, content in inputs.files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
        # Whatever the umask is: modes are part of what a builder compares and copies.
        (folder / name).chmod(0o644)
    if inputs.environment.cuda is not None:
        from gpuenv.cuda import sources

        # The recipe compiles what is in it, which may be nothing.
        (folder / STAND_INS).mkdir(exist_ok=True)

        target = folder / "cuda"
        sources.stage_libraries(inputs.environment.cuda, target, sources_dir)
        target.chmod(0o755)
        for path in target.iterdir():
            path.chmod(0o644)
    return folder
