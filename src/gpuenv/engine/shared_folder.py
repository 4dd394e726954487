"""Whether a container sees the caller's folder, and not another one that has the same name where the engine runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gpuenv.core.errors import EngineError, UsageError, full_disk


@contextmanager
def marked(folder: Path) -> Iterator[Path]:
    """Put an empty file of a name that no other folder has into ``folder``; it is gone at the end.

    Device and inode would need no file, but differ where a virtual machine or a user namespace passes the folder on.
    Raises UsageError, or HostError on a full disk.
    """
    mark = folder / f".gpuenv-{os.urandom(8).hex()}"
    try:
        mark.touch(exist_ok=False)
    except OSError as error:
        raise full_disk(error) or UsageError(
            f"{folder} cannot be written", str(error), "set WORK to a folder of your own"
        ) from error
    try:
        yield mark
    finally:
        with suppress(OSError):
            mark.unlink()


def unseen(folder: Path, variable: str = "WORK") -> EngineError:
    """The error for a container in which a mark of ``folder``, which ``variable`` names, is not to be seen."""
    return EngineError(
        f"the engine has another folder under the name {folder}",
        "a file that was just made in it is not there in the container: the engine runs on another machine, in a "
        "virtual machine that does not share this folder, or in a mount namespace of its own, or its users may not "
        "enter this folder (userns-remap)",
        f"set {variable} to a folder that the engine shares (Docker Desktop: Settings, Resources, File sharing), or "
        "use an engine of this machine (`make engine`)",
    )
