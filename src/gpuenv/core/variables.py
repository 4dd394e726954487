"""The variables that name folders (HOME, TMPDIR, those of XDG and our own), made usable once, at the start."""

from __future__ import annotations

import os
from pathlib import Path

from gpuenv.core import ownership, ui
from gpuenv.core.errors import UsageError

_OWN = ("GPUENV_STATE_DIR", "GPUENV_CACHE_DIR", "GPUENV_ENVS_DIR")
_XDG = ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR")


def settle() -> None:
    """Have the variables that name folders name the same ones in every program that is started, wherever that runs.

    A HOME that is not set, closed to this user or somebody else's is that of the user database. Raises UsageError for
    a relative one.
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
    # Another user's, as after `su -p` and `sudo -u`: who owns it chooses what lies there.
    unusable = _not_ones_own(home) if home else None
    if unusable:
        ui.warn(f"HOME={home} {unusable}, so it counts as not set")
    if not home or unusable:
        os.environ.pop("HOME", None)
        # Whoever owns that one: the administrator says that it is this user's.
        recorded = os.path.expanduser("~")  # noqa: PTH111 - Path's own raises for an unknown user
        os.environ["HOME"] = recorded if Path(recorded).is_absolute() and not _is_closed(recorded) else "/"
    for name in _OWN:
        if os.environ.get(name):
            os.environ[name] = str(Path(os.path.expanduser(os.environ[name])).absolute())  # noqa: PTH111 - as above
    for name in (*_XDG, "TMPDIR"):
        value = os.environ.get(name, "")
        # What is no absolute path is invalid by the specification of XDG's variables.
        is_usable = Path(value).is_absolute() and (name != "TMPDIR" or os.access(value, os.W_OK))
        # What is made there could be exchanged by whoever else may write there.
        foreign = ownership.problem(value, is_last=False) if value and is_usable and name == "TMPDIR" else None
        if value and (foreign or not is_usable):
            why = f"is not used ({foreign})" if foreign else "is no folder that can be used"
            ui.warn(f"{name}={value} {why}, so it counts as not set")
            del os.environ[name]


def _not_ones_own(home: str) -> str | None:
    """What is wrong with a HOME that is there; None for one that may be used."""
    if _is_closed(home):
        return "is closed to this user"
    foreign = ownership.problem(home, is_last=False) if os.path.lexists(home) else None
    return f"is not used ({foreign})" if foreign else None


def _is_closed(folder: str) -> bool:
    try:
        os.stat(f"{folder}/.")  # noqa: PTH116 - a Path drops the dot, which asks whether the folder can be entered
    except OSError as error:
        return isinstance(error, PermissionError)
    return False
