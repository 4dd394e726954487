"""Where things are: the project's own folders, and the user's state and cache.

State holds what must survive (locks, the private engine), the cache what can be fetched again. Both honor the XDG
variables, and fall back to a private folder under ``/var/tmp`` when the home folder is read-only, as on cluster nodes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from functools import cache
from pathlib import Path

from gpuenv.core import ui
from gpuenv.core.errors import HostError, UsageError

_CHECKOUTS = "checkouts"
_FALLBACKS = Path("/var/tmp")  # noqa: S108 - what is found there must be ours, see below
_PACKAGE = Path(__file__).resolve().parents[1]


_OWN = ("GPUENV_STATE_DIR", "GPUENV_CACHE_DIR", "GPUENV_ENVS_DIR")
_XDG = ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR")


def settle_variables() -> None:
    """Have the variables that name folders name the same ones in every program that is started, wherever that runs.

    A HOME that is not set, or closed to this user, is that of the user database. Raises UsageError for a relative one.
    """
    if os.name != "posix":
        return
    home = os.environ.get("HOME") or ""
    if home and not Path(home).is_absolute():
        raise UsageError(
            f"HOME={home} is not usable",
            "it is no absolute path, so every program would take another folder for it",
            "set it to the whole path of your home folder",
        )
    if _is_closed(home):
        # Another user's, as after `su` and `sudo -u`.
        ui.warn(f"HOME={home} is closed to this user, so it counts as not set")
    if not home or _is_closed(home):
        os.environ.pop("HOME", None)
        recorded = os.path.expanduser("~")  # noqa: PTH111 - Path's own raises for an unknown user
        os.environ["HOME"] = recorded if Path(recorded).is_absolute() and not _is_closed(recorded) else "/"
    for name in _OWN:
        if os.environ.get(name):
            os.environ[name] = str(Path(os.path.expanduser(os.environ[name])).absolute())  # noqa: PTH111 - as above
    for name in (*_XDG, "TMPDIR"):
        value = os.environ.get(name, "")
        # What is no absolute path is invalid by the specification of XDG's variables.
        is_usable = Path(value).is_absolute() and (name != "TMPDIR" or os.access(value, os.W_OK))
        if value and not is_usable:
            ui.warn(f"{name}={value} is no folder that can be used, so it counts as not set")
            del os.environ[name]


def _is_closed(folder: str) -> bool:
    try:
        os.stat(f"{folder}/.")  # noqa: PTH116 - a Path drops the dot, which asks whether the folder can be entered
    except OSError as error:
        return isinstance(error, PermissionError)
    return False


def project_root() -> Path:
    """The folder that holds ``envs/``, ``docker/`` and ``tests/env/``: the checkout, or an installed package's copy."""
    return _PACKAGE.parents[1] if is_checkout() else _PACKAGE / "checkout"


def is_checkout() -> bool:
    """Whether the command runs from a checkout of the project, not from an installed package."""
    return (_PACKAGE.parents[1] / "envs").is_dir()


def reports_dir() -> Path:
    """The folder of the harness' reports: in the checkout, or where an installed command is called, by our name."""
    return project_root() / "reports" if is_checkout() else Path.cwd() / "gpuenv-reports"


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
    return _note_checkout(_user_dir("GPUENV_STATE_DIR", "XDG_STATE_HOME", ".local/state"))


def cache_dir() -> Path:
    """The folder for what can be fetched again; made if missing. Raises HostError if there is none."""
    return _note_checkout(_user_dir("GPUENV_CACHE_DIR", "XDG_CACHE_HOME", ".cache"))


def other_checkouts() -> list[Path]:
    """The other checkouts of this project that have used this state or cache folder and are still there."""
    links = [link for folder in (state_dir(), cache_dir()) for link in (folder / _CHECKOUTS).glob("*")]
    return sorted({link.readlink() for link in links if (link / "envs").is_dir()} - {project_root()})


def forget_checkouts(folder: Path) -> None:
    """Remove what :func:`other_checkouts` goes by; the mark that the folder is ours, too, if nothing else is there."""
    for link in (folder / _CHECKOUTS).glob("*"):
        link.unlink()
    if [path.name for path in folder.iterdir()] == [_CHECKOUTS]:
        (folder / _CHECKOUTS).rmdir()


def _note_checkout(folder: Path) -> Path:
    """Leave a link to this checkout in the folder, for :func:`other_checkouts`."""
    root = project_root()
    with contextlib.suppress(OSError):
        (folder / _CHECKOUTS).mkdir(exist_ok=True)
        (folder / _CHECKOUTS / hashlib.sha256(os.fsencode(root)).hexdigest()[:12]).symlink_to(root)
    return folder


def _user_dir(own_variable: str, xdg_variable: str, below_home: str) -> Path:
    explicit = os.environ.get(own_variable)
    if explicit:
        made = _made(Path(explicit), f"{own_variable} names it")
        # A file system of its own begins with `lost+found`, or with hidden folders of snapshots.
        names = [path.name for path in made.iterdir() if path.name != "lost+found" and not path.name.startswith(".")]
        if names and _CHECKOUTS not in names:
            raise HostError(
                f"the folder {made} holds {names[0]}, which is not ours",
                f"{own_variable} names it, and `make clean` could not tell what gpuenv keeps there from that",
                f"name a folder of its own: {own_variable}={made / 'gpuenv'}",
            )
        return made
    xdg = os.environ.get(xdg_variable)
    preferred = Path(xdg) / "gpuenv" if xdg else Path.home() / below_home / "gpuenv"
    with contextlib.suppress(OSError):
        # A home folder that is not there was not meant to be one.
        if xdg or Path.home().is_dir():
            preferred.mkdir(parents=True, exist_ok=True)
            if os.access(preferred, os.W_OK | os.X_OK):
                return preferred
    # The name below is guessable by other users of the machine, so what is found there must be ours.
    fallback = _FALLBACKS / f"gpuenv-{os.getuid()}" / Path(below_home).name
    _say_once(f"{preferred} cannot be written; using {fallback} (set {own_variable} to choose another)")
    made = _made(fallback, "the home folder cannot be written and this is the fallback")
    for folder in (made.parent, made):
        _refuse_foreign(folder)
    return made


@cache
def _say_once(line: str) -> None:
    ui.say(line)


def _made(folder: Path, reason: str) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise HostError(
            f"the folder {folder} cannot be made",
            f"{reason}, and the system says: {error.strerror}",
            "set GPUENV_STATE_DIR and GPUENV_CACHE_DIR to folders that you can write",
        ) from error
    return folder.resolve()


def _refuse_foreign(folder: Path) -> None:
    info = folder.lstat()
    if info.st_uid != os.getuid() or not stat.S_ISDIR(info.st_mode):
        raise HostError(
            f"{folder} belongs to somebody else",
            "another user of this machine made it",
            "set GPUENV_STATE_DIR and GPUENV_CACHE_DIR to folders of your own",
        )
