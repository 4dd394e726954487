"""Where things are: the project's own folders, and the user's state and cache.

State holds what must survive (locks, the private engine), the cache what can be fetched again. Both honor the XDG
variables, and fall back to a private folder under ``/var/tmp`` when the home folder is read-only, as on cluster nodes.
Both are closed to others, and carry our mark (``checkouts``): `make clean` removes nothing elsewhere.
"""

from __future__ import annotations

import hashlib
import os
from functools import cache, partial
from pathlib import Path

from gpuenv.core import closed, ownership, ui
from gpuenv.core.errors import HostError, full_disk

_CHECKOUTS = "checkouts"
_FALLBACKS = Path("/var/tmp")  # noqa: S108 - what is found there must be ours
_PACKAGE = Path(__file__).resolve().parents[1]


def project_root() -> Path:
    """The folder that holds ``envs/``, ``docker/`` and ``tests/env/``: the checkout, or an installed package's copy."""
    return _PACKAGE.parents[1] if is_checkout() else _PACKAGE / "checkout"


def is_checkout() -> bool:
    """Whether the command runs from a checkout of the project, not from an installed package."""
    return (_PACKAGE.parents[1] / "envs").is_dir()


def reports_dir() -> Path:
    """The folder of the harness' reports: in the checkout, or where an installed command is called, by our name."""
    if is_checkout():
        return project_root() / "reports"
    here = Path.cwd()
    # In somebody else's folder (of a CI service, for root in a container) others could exchange it.
    return here / "gpuenv-reports" if ownership.problem(here, is_last=False) is None else state_dir() / "reports"


def envs_dir() -> Path:
    """The folder of variants; ``GPUENV_ENVS_DIR`` names another one (the tests do)."""
    return Path(os.environ.get("GPUENV_ENVS_DIR") or project_root() / "envs").resolve()


def docker_dir() -> Path:
    """The folder of the Dockerfile and of what is copied into images."""
    return project_root() / "docker"


def reference_dir() -> Path:
    """The training programs that run inside a target."""
    return _PACKAGE / "harness" / "reference"


def state_dir() -> Path:
    """The folder for what must survive; made if missing. Raises HostError if there is none."""
    return _user_dir("GPUENV_STATE_DIR", "XDG_STATE_HOME", ".local/state")


def cache_dir() -> Path:
    """The folder for what can be fetched again; made if missing. Raises HostError if there is none."""
    return _user_dir("GPUENV_CACHE_DIR", "XDG_CACHE_HOME", ".cache")


def other_checkouts() -> list[Path]:
    """The other checkouts of this project that have used this state or cache folder and are still there."""
    noted = [_noted(entry) for folder in (state_dir(), cache_dir()) for entry in (folder / _CHECKOUTS).iterdir()]
    return sorted({root for root in noted if root and (root / "envs").is_dir()} - {project_root()})


def forget_checkouts(folder: Path) -> None:
    """Remove what :func:`other_checkouts` goes by. Where more is left, a mark of no checkout says that it is ours."""
    is_empty = [path.name for path in folder.iterdir()] == [_CHECKOUTS]
    if not is_empty:
        _note(folder, folder)
    for mark in filter(_noted, (folder / _CHECKOUTS).iterdir()):
        if is_empty or mark != _mark(folder, folder):
            mark.unlink()
    if is_empty:
        (folder / _CHECKOUTS).rmdir()


def is_marked(folder: Path) -> bool:
    """Whether a folder carries our mark. Others have a folder of that name, too, with something else in it.

    One that holds nothing is where our first start was killed, if nothing else is there.
    """
    place = folder / _CHECKOUTS
    if place.is_symlink() or not place.is_dir():
        return False
    return _has_note(folder) or not (any(place.iterdir()) or _beside_mark(folder))


def _has_note(folder: Path) -> bool:
    # There may be a thousand: the first that is one will do, and most often this checkout's is there.
    return bool(_noted(_mark(folder, project_root()))) or any(map(_noted, (folder / _CHECKOUTS).iterdir()))


def _mark(folder: Path, noted: Path) -> Path:
    return folder / _CHECKOUTS / _digest(noted)


def _note(folder: Path, noted: Path) -> None:
    """Leave a link to a checkout in the folder, for :func:`other_checkouts`; a file, where there are no links.

    Those of checkouts that are no more go. Raises OSError where the folder has no mark yet, and gets none.
    """
    mark = _mark(folder, noted)
    if os.path.lexists(mark):
        return
    try:
        try:
            mark.symlink_to(noted)
        except FileExistsError:
            return
        except OSError as error:
            if full_disk(error):
                raise
            mark.write_bytes(os.fsencode(noted))
        for other in mark.parent.iterdir():
            if other != mark and (root := _noted(other)) and not root.exists():
                other.unlink()
    except OSError:
        if not _has_note(folder):
            raise


def _noted(mark: Path) -> Path | None:
    """The checkout that a mark is for; None if it is no mark of ours."""
    try:
        noted = mark.readlink() if mark.is_symlink() else Path(os.fsdecode(mark.read_bytes()))
    except (OSError, ValueError):
        return None
    return noted if mark.name == _digest(noted) else None


def _digest(checkout: Path) -> str:
    return hashlib.sha256(os.fsencode(checkout)).hexdigest()[:12]


def _user_dir(own_variable: str, xdg_variable: str, below_home: str) -> Path:
    """The folder that the user's variables name, closed to others and with our mark; made if missing.

    One that was right is right as long as it is the same folder, with the same rights and our mark.
    """
    values = tuple(map(os.environ.get, (own_variable, xdg_variable, "HOME", "SUDO_UID")))
    asked = (below_home, values, os.geteuid(), project_root(), _FALLBACKS)
    found, state = _known.get(asked, (None, None))
    if found is None or state != _state(found):
        found = _find_dir(own_variable, xdg_variable, below_home)
        # A relative path is another one in another folder.
        if Path(os.environ.get(own_variable) or "/").is_absolute():
            _known[asked] = (found, _state(found))
    return found


_known: dict[tuple[object, ...], tuple[Path, object]] = {}


def _state(folder: Path) -> object:
    try:
        info = folder.lstat()
        is_noted = os.path.lexists(_mark(folder, project_root()))
    except OSError:
        return None
    return (info.st_dev, info.st_ino, info.st_mode, info.st_uid) if is_noted else None


def _find_dir(own_variable: str, xdg_variable: str, below_home: str) -> Path:
    way_out = f"set {own_variable} to a folder of your own"
    if explicit := os.environ.get(own_variable):
        try:
            return _marked(Path(explicit), own_variable, way_out).resolve()
        except OSError as error:
            raise full_disk(error) or _not_made(Path(explicit), f"{own_variable} names it", error) from error
    xdg = os.environ.get(xdg_variable)
    preferred = Path(xdg) / "gpuenv" if xdg else Path.home() / below_home / "gpuenv"
    # A home folder that is not there was not meant to be one. Root's may be that of who lent it the machine (CI).
    is_home = xdg or Path.home().is_dir()
    foreign = ownership.problem(Path.home(), is_last=False) if is_home and not xdg else None
    if is_home and foreign is None:
        try:
            made = _marked(preferred, own_variable, way_out)
            if os.access(made, os.W_OK | os.X_OK):
                return made
        except OSError as error:
            # Else locks, and the private engine, would be elsewhere for as long as the disk is full.
            if full := full_disk(error):
                raise full from error
    fallback = _FALLBACKS / f"gpuenv-{os.getuid()}" / Path(below_home).name
    why = f"is not used ({foreign})" if foreign else "cannot be written"
    _say_once(f"{preferred} {why}; using {fallback} (set {own_variable} to choose another)")
    try:
        # Other users of the machine can guess its name, and be quicker.
        closed.folder(fallback.parent, way_out)
        return _marked(fallback, own_variable, way_out)
    except OSError as error:
        raise full_disk(error) or _not_made(
            fallback, "the home folder cannot be written and this is the fallback", error
        ) from error


def _marked(folder: Path, own_variable: str, way_out: str) -> Path:
    """Have a private folder with our mark, which only one that was empty gets. Raises HostError and OSError."""
    closed.folder(folder, way_out, partial(_refuse_used, own_variable=own_variable))
    closed.make(folder / _CHECKOUTS, way_out)
    _note(folder, project_root())
    return folder


def _refuse_used(folder: Path, own_variable: str) -> None:
    """Raises HostError for a folder that holds something and does not carry our mark."""
    if is_marked(folder):
        return
    if names := others_in(folder, ()):
        raise HostError(
            f"the folder {folder} holds {names[0]}, which is not ours",
            "`make clean` could not tell what gpuenv keeps there from that",
            f"name a folder of its own: {own_variable}={folder / 'gpuenv'}",
        )


def others_in(folder: Path, ours: tuple[str, ...]) -> list[str]:
    """What a folder holds beside our mark and what matches ``ours``."""
    names = [path.name for path in _beside_mark(folder) if not any(map(path.match, ours))]
    has_other = os.path.lexists(folder / _CHECKOUTS) and not is_marked(folder)
    return sorted([*names, _CHECKOUTS] if has_other else names)


def _beside_mark(folder: Path) -> list[Path]:
    """What a folder holds beside our mark.

    A file system of its own begins with `lost+found`, or with hidden folders of snapshots: they do not count.
    """
    kept = ("lost+found", _CHECKOUTS)
    return [path for path in folder.iterdir() if path.name not in kept and not path.name.startswith(".")]


def _not_made(folder: Path, reason: str, error: OSError) -> HostError:
    return HostError(
        f"the folder {folder} cannot be made",
        f"{reason}, and the system says: {error.strerror}",
        "set GPUENV_STATE_DIR and GPUENV_CACHE_DIR to folders that you can write",
    )


@cache
def _say_once(line: str) -> None:
    ui.say(line)
