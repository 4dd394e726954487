"""What of the work folder a container may not write: what the command itself runs from, as it runs on the host next.

Not the known files alone: at the top of a checkout `make` takes a new GNUmakefile, Python a new module, pytest a new
conftest.py. So a checkout is read-only as a whole, but for one folder that nothing of it looks into.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gpuenv.core import mounts, paths
from gpuenv.core.errors import UsageError
from gpuenv.core.settings import in_utf8
from gpuenv.engine.container import Mount

#: The user's own part of a checkout.
OWN = "work"
#: What a checkout brings along, or the command makes there; also every name that begins with a dot.
PARTS = ("docker", "docs", "envs", "mutants", "reports", "src", "tests")


@dataclass(frozen=True)
class Shared:
    """A work folder as a container gets it: its mounts, the folder for a mark (or the mark in it), and a word on it."""

    mounts: tuple[Mount, ...]
    marked: Path
    note: str


def shared(work: Path, inside: str) -> Shared:
    """How ``work`` is mounted at ``inside``. Raises UsageError where the container could not write anything there."""
    sources = running_from()
    for source in sources:
        _refuse_part(work, source)
    kept = [source for source in sources if work in (source, *source.parents)]
    places = {work: work not in kept}
    for source in kept:
        own = source / OWN
        # Whoever renames a folder above it could put another in its place; what something is mounted on stays.
        places.update(dict.fromkeys([folder for folder in source.parents if work in folder.parents], True))
        # Some engines make a folder read-only, but not what is mounted below it.
        below = [point for point in mounts.find_below(source) if own not in point.parents]
        places.update(dict.fromkeys([source, *below], False))
        if _has_own(source, is_made=source == work):
            places[own] = True
    made = tuple(
        Mount(
            in_utf8("WORK", path),
            in_utf8("WORK", PurePosixPath(inside, path.relative_to(work))),
            read_only=not is_writable,
        )
        for path, is_writable in sorted(places.items(), key=lambda place: len(place[0].parts))
    )
    if work in kept:
        return Shared(made, work / OWN, f", read-only but for {inside}/{OWN}, as gpuenv runs from there")
    told = " and ".join(str(source.relative_to(work)) for source in kept)
    return Shared(made, work, f", but {told} in it read-only, as gpuenv runs from there" if kept else "")


def running_from() -> list[Path]:
    """The folders of this command's code: the checkout or the package, and the environment of its Python."""
    code = paths.project_root() if paths.is_checkout() else Path(paths.__file__).resolve().parents[1]
    environment = Path(sys.prefix).resolve()
    # An interpreter of the system's lies where nobody works; one of conda's has no environment around it but its own.
    is_own = sys.prefix != sys.base_prefix or (environment / "conda-meta").is_dir()
    found = [code, *([environment] if is_own else [])]
    return [one for one in found if not any(other in one.parents for other in found)]


def _refuse_part(work: Path, source: Path) -> None:
    """Raise UsageError if ``work`` is a part of what the command runs from, or all of it without a folder for users."""
    is_checkout = source == paths.project_root()
    first = next(iter(work.relative_to(source).parts), None) if source in (work, *work.parents) else ""
    if first == "" or (is_checkout and (first is None or not (first in PARTS or first.startswith(".")))):
        return
    raise UsageError(
        f"WORK={work} is what gpuenv itself runs from",
        "a program in the container could change what the next command runs on this machine",
        f"mkdir -p '{source / OWN}' and set WORK to that" if is_checkout else "set WORK to a folder of your own",
    )


def _has_own(source: Path, *, is_made: bool) -> bool:
    """Whether a checkout has a folder for its user; made if it is missing and ``is_made``, for the checkout's owner."""
    own = source / OWN
    if is_made and not os.path.lexists(own):
        try:
            own.mkdir(exist_ok=True)
            if os.geteuid() == 0:
                owner = source.stat()
                os.chown(own, owner.st_uid, owner.st_gid, follow_symlinks=False)
        except OSError as error:
            raise UsageError(f"{own} cannot be made", str(error), "set WORK to a folder of your own") from error
    if own.is_dir() and not own.is_symlink():
        return True
    if is_made:
        raise UsageError(
            f"{own} is not a folder", "it would be all that a container can write of the checkout", f"WORK='{own}'"
        )
    return False
