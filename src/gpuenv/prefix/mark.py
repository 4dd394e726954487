"""The completion marker `gpuenv-complete`, written last: without it an environment is half made."""

from __future__ import annotations

from pathlib import Path

import msgspec

from gpuenv.core import atomic
from gpuenv.variants.environment import Environment, name_of

COMPLETE = "gpuenv-complete"


class Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an environment is: ``digest`` is that of everything it is made from."""

    kind: str
    variant: str
    flavor: str
    digest: str
    is_simulated: bool = False

    @classmethod
    def of(cls, environment: Environment, kind: str, digest: str) -> Content:
        """Name what ``environment`` is made as."""
        return cls(kind, environment.variant.name, environment.flavor, digest, environment.cuda_label == "simulated")

    @property
    def name(self) -> str:
        """For people, and for files about it."""
        return name_of(self.variant, self.flavor, "simulated" if self.is_simulated else "genuine")

    @property
    def title(self) -> str:
        """The same with its kind: another one is another environment, whatever its digest."""
        return f"{self.name} ({self.kind})"

    @property
    def words(self) -> str:
        """How to ask for it again."""
        return f"ENGINE={self.kind} VARIANT={self.variant} FLAVOR={self.flavor}"


class Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was made where: the names at the folder's top, and the links without which TensorFlow finds no CUDA."""

    content: Content
    folder: str
    entries: tuple[str, ...]
    links: tuple[str, ...]


def read(folder: Path) -> Mark | None:
    """The mark of an environment; None where there is none that this version understands."""
    try:
        return msgspec.json.decode((folder / COMPLETE).read_bytes(), type=Mark)
    except (OSError, ValueError, msgspec.MsgspecError):
        return None


def write(folder: Path, mark: Mark) -> None:
    """Write it, whole or not at all."""
    atomic.write_text(folder / COMPLETE, msgspec.json.format(msgspec.json.encode(mark), indent=1).decode() + "\n")


def list_entries(folder: Path) -> tuple[str, ...]:
    """The names at the top of a folder, but for the mark's own; none where there is no folder."""
    return tuple(sorted(path.name for path in folder.iterdir() if path.name != COMPLETE)) if folder.is_dir() else ()
