"""One environment: a variant in one flavor, and its CUDA."""

from __future__ import annotations

from dataclasses import dataclass

from gpuenv.variants.cuda_lock import CudaLock, load_cuda_lock, of_index
from gpuenv.variants.model import BaseImage, Variant


@dataclass(frozen=True)
class Environment:
    """What an image or a folder is made from. ``cuda`` is None for cpu, and where CUDA comes from conda."""

    variant: Variant
    flavor: str
    cuda: CudaLock | None = None

    @classmethod
    def of(cls, variant: Variant, flavor: str) -> Environment:
        """Load the variant's own CUDA for the gpu flavor. Raises DataError for an unusable lock."""
        return cls(variant, flavor, load_cuda_lock(variant.cuda_lock_path) if flavor == "gpu" else None)

    @property
    def alternatives(self) -> tuple[Environment, ...]:
        """It, and the same with a CUDA from the package index if it can come from there."""
        if self.cuda is None or not self.cuda.has_index:
            return (self,)
        return self, Environment(self.variant, self.flavor, of_index(self.cuda))

    @property
    def cuda_label(self) -> str:
        """``complete``, ``index`` or ``none``."""
        return self.cuda.label if self.cuda else "none"

    @property
    def name(self) -> str:
        """``cuda10.0-gpu``; a CUDA with stand-ins is never hidden behind the name of a complete one."""
        return name_of(self.variant.name, self.flavor, self.cuda_label)

    @property
    def framework(self) -> str:
        """Its TensorFlow as a requirement, such as ``tensorflow-gpu==1.15.5``."""
        return f"{self.variant.tensorflow.distribution(self.flavor)}=={self.variant.tensorflow.version}"

    @property
    def bases(self) -> tuple[BaseImage, ...]:
        """The published images its own is built on; for gpu with a compiler, for libcuda's stand-in and libgomp."""
        return (self.variant.base, self.variant.builder) if self.flavor == "gpu" else (self.variant.base,)

    @property
    def base_identity(self) -> str:
        """Name them by content."""
        return "+".join(image.digest for image in self.bases)

    @property
    def tag(self) -> str:
        """The name of its image, such as ``gpuenv:cuda10.0-gpu``."""
        return f"gpuenv:{self.name}"


def name_of(variant: str, flavor: str, cuda_label: str = "none") -> str:
    """Name an environment of which only the parts are known, as those on other machines."""
    return f"{variant}-{flavor}" + ("-index" if cuda_label == "index" else "")
