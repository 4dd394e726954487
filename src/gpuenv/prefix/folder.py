"""An environment in a folder of its own (conda, venv): where it is, whether it is whole, whether the folder is ours.

Its completion marker `gpuenv-complete` is written last; until then another one, `gpuenv-begun`, says that what is half
made is ours. A folder with neither is never removed, whatever else is known of it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shlex
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gpuenv.core import atomic, paths
from gpuenv.core.errors import HostError, UsageError
from gpuenv.core.settings import in_utf8
from gpuenv.prefix import trust
from gpuenv.prefix.trust import BEGUN, COMPLETE
from gpuenv.variants.environment import Environment, name_of
from gpuenv.variants.kinds import PREFIX_GB

#: What conda, venv, pip and we put at the top of an environment, whole or not.
_OURS = frozenset((
    "bin", "compiler_compat", "conda-meta", "etc", "include", "lib", "lib32", "lib64", "libexec", "man", "mkspecs",
    "pkgs", "requirements", "resources", "sbin", "share", "shell", "sources", "ssl", "var", "pyvenv.cfg",
    ".gitignore", "CACHEDIR.TAG", ".messages.txt", ".nonadmin", ".condarc", "x86_64-conda-linux-gnu",
    "x86_64-conda_cos6-linux-gnu",
))  # fmt: skip
#: Python's venv, its scripts, and the loader's lists of folders cannot say these.
_UNSPEAKABLE = "'\"`$\\\n\r" + os.pathsep
#: What programs write when a disk is full (the system's own words, and those of a program that translates them).
FULL_DISK = ("No space left on device", "Disk quota exceeded", "os error 28")
#: A disk with less (10 MB) is full whatever a program says: ensurepip alone unpacks as much.
FULL_BYTES = 10_000_000


class Content(msgspec.Struct, frozen=True):
    """What an environment is: ``digest`` is that of everything it is made from."""

    kind: str
    variant: str
    flavor: str
    digest: str
    #: As :attr:`Environment.cuda_label` tells.
    cuda: str = "none"

    @classmethod
    def of(cls, environment: Environment, kind: str, digest: str) -> Content:
        """Name what ``environment`` is made as."""
        return cls(kind, environment.variant.name, environment.flavor, digest, environment.cuda_label)

    @property
    def name(self) -> str:
        """For people, and for files about it."""
        return name_of(self.variant, self.flavor, self.cuda)

    @property
    def title(self) -> str:
        """The same with its kind: another one is another environment, whatever its digest."""
        return f"{self.name} ({self.kind})"

    @property
    def words(self) -> str:
        """How to ask for it again; a mark says what whoever wrote it wants."""
        words = [f"ENGINE={self.kind}", f"VARIANT={self.variant}", f"FLAVOR={self.flavor}"]
        return " ".join(map(shlex.quote, [*words, *(["CUDA=index"] if self.cuda == "index" else [])]))


class Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was made where: the names at the folder's top, and the links without which TensorFlow finds no CUDA."""

    content: Content
    folder: str
    entries: tuple[str, ...]
    links: tuple[str, ...]


def read_mark(folder: Path) -> Mark | None:
    """The mark of an environment; None where there is none that this version understands."""
    try:
        return msgspec.json.decode((folder / COMPLETE).read_bytes(), type=Mark)
    except (OSError, ValueError, msgspec.MsgspecError):
        return None


def write_mark(folder: Path, mark: Mark) -> None:
    """Write it, whole or not at all."""
    atomic.write_text(folder / COMPLETE, msgspec.json.format(msgspec.json.encode(mark), indent=1).decode() + "\n")


def list_entries(folder: Path) -> tuple[str, ...]:
    """The names at the top of a folder, but for our marks; none where there is no folder."""
    names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
    return tuple(sorted(name for name in names if name not in (COMPLETE, BEGUN)))


def is_ours(folder: Path) -> bool:
    """Whether it may be removed: one of our marks is in it, and it is the caller's own."""
    return (read_mark(folder) is not None or (folder / BEGUN).exists()) and trust.is_own(folder)


def remove(folder: Path) -> None:
    """Remove an environment of ours, if there is one. Raises OSError; what is left then, or after a kill, is ours."""
    if folder.is_dir():
        if not trust.is_own(folder):
            raise PermissionError(errno.EPERM, "it belongs to somebody else", str(folder))
        atomic.remove_folder(folder, COMPLETE, BEGUN)


@dataclass(frozen=True)
class Prefix:
    """``folder`` and what belongs there; ``is_given``: the user named the folder."""

    content: Content
    folder: Path
    is_given: bool = False

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def log(self) -> Path:
        """Where the programs that make it write."""
        return self._beside(f"{self.content.name}-", ".log")

    @property
    def record(self) -> Path:
        """Says, while it is being made, where the one before it stands."""
        return self._beside("", ".begun")

    @property
    def lock(self) -> Path:
        """Held while it is being made."""
        return self._beside("", ".lock")

    def _beside(self, beginning: str, end: str) -> Path:
        """A file about it, the same for every way of naming its folder."""
        key = hashlib.sha256(os.fsencode(self.folder.resolve())).hexdigest()[:16]
        return paths.state_dir() / "environments" / f"{beginning}{key}{end}"


def place(content: Content, folder: Path | None) -> Prefix:
    """An environment in the folder that was asked for, else in one of the cache. Raises UsageError for a bad name."""
    where = folder.resolve() if folder is not None else None
    where = where or paths.cache_dir() / f"{content.kind}s" / f"{content.name}-{content.digest[:12]}"
    in_utf8("PREFIX", where, "name another folder with PREFIX=", "Python's environments")
    found = sorted({repr(character) for character in str(where) if character in _UNSPEAKABLE})
    if found:
        raise UsageError(
            f"{where} cannot hold an environment",
            f"its name has {', '.join(found)}, which the scripts of an environment cannot say",
            "name another folder with PREFIX=",
        )
    return Prefix(content, where, is_given=folder is not None)


def is_complete(prefix: Prefix) -> bool:
    """Whether it was made to its end, from this and in this place, and what it leads to is still there."""
    mark = read_mark(prefix.folder)
    return (
        mark is not None
        and mark.content == prefix.content
        and Path(mark.folder) == prefix.folder
        and os.access(prefix.python, os.X_OK)
        and all((prefix.folder / link).exists() for link in mark.links)
        and not prefix.record.exists()
        and trust.problem(prefix.folder) is None
    )


def refuse_foreign(prefix: Prefix) -> None:
    """Raise for a folder, or a file, that is there and was not made by us, or not as this (UsageError).

    Or it is another's, root's too (HostError): who made it makes it anew.
    """
    if not os.path.lexists(prefix.folder) or not prefix.is_given:
        return
    mark = read_mark(prefix.folder)
    if mark is not None and mark.content.title != prefix.content.title:
        raise UsageError(
            f"{prefix.folder} is another environment already",
            f"it is {mark.content.title}, and {prefix.content.title} was asked for",
            f"name another folder with PREFIX=, or use that one: {mark.content.words}",
        )
    if not trust.is_own(prefix.folder):
        raise HostError(
            f"{prefix.folder} is there already, and it is another user's",
            f"it belongs to user {prefix.folder.lstat().st_uid}, and would have to be made anew: it is not this "
            f"version's {prefix.content.name}",
            "have its owner make it anew, or name another folder with PREFIX=",
        )
    entries = list_entries(prefix.folder)
    if not is_ours(prefix.folder) and (entries or not prefix.folder.is_dir()):
        raise UsageError(
            f"{prefix.folder} is there already, and it is not ours",
            f"it has no file {COMPLETE} that this version understands, and no {BEGUN}, so it is not touched",
            "name another folder with PREFIX=, or remove that one yourself",
        )
    foreign = [name for name in entries if name not in _OURS.union(mark.entries if mark else ())]
    if foreign:
        raise UsageError(
            f"{prefix.folder} holds what is not part of the environment: "
            f"{', '.join(foreign[:3])}{', ...' if foreign[3:] else ''}",
            "the environment there has to be made anew, and with it all that is in its folder would be removed",
            "move that elsewhere, or name another folder with PREFIX=",
        )


def check_room(prefix: Prefix) -> None:
    """Raise HostError where the disk cannot hold it: minutes of downloads would be for nothing."""
    parent = next(path for path in prefix.folder.parents if path.is_dir())
    free, needed = shutil.disk_usage(parent).free, PREFIX_GB.get(prefix.content.flavor, PREFIX_GB["gpu"])
    if free < needed * 10**9:
        raise HostError(
            f"there is no room for {prefix.content.name} in {prefix.folder.parent}",
            f"{free / 1e9:.1f} GB are free there, and making it takes {needed} GB",
            "make room (`make clean` removes what this project made), or name a folder of another disk with PREFIX=",
        )


def full_place(folder: Path, text: str) -> Path | None:
    """The folder whose disk was full when a program failed with that output; None if none was.

    Not every program says so (`python -m venv` does not), and it need not be the environment's own disk.
    """
    parent = next(path for path in folder.parents if path.is_dir())
    places = [parent, paths.cache_dir(), Path(tempfile.gettempdir())]
    fullest = min(places, key=lambda place: shutil.disk_usage(place).free)
    if shutil.disk_usage(fullest).free < FULL_BYTES:
        return fullest
    return parent if any(words in text for words in FULL_DISK) else None


def full(place: Path) -> HostError:
    """The error for a disk that was full before the environment was made."""
    return HostError(
        f"the disk of {place} is full",
        "an environment takes up to 6 GB while it is made; what was made of it has been removed",
        f"make room there (`df -h {shlex.quote(str(place))}`), or name folders of another disk: PREFIX= for the "
        "environment, GPUENV_CACHE_DIR= for downloads, TMPDIR= for what is unpacked",
    )
