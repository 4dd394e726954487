"""People of a machine: what the command does for one of them, and what another one tries."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tiny.command import plain_environment

#: Seconds for one program; each takes a few (two cores).
RUN_S = 120
#: The checkout and its Python may lie below a folder that is closed to others, as root's own is. This right is to read
#: alone: whom a file belongs to and who may write there stays as it is.
_READS_ALL = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")


@dataclass(frozen=True)
class Person:
    """A user of this machine: a number (also of the own group), a home folder, a mask of rights for new files."""

    uid: int
    home: Path
    umask: int = 0o022

    def run(self, argv: Sequence[str | Path], **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a program as this user; ``settings`` are variables of its environment."""
        drop: tuple[str, ...] = ()
        if self.uid != os.getuid():
            drop = ("setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups", *_READS_ALL)
        return subprocess.run(
            [*drop, *map(str, argv)],
            env={**plain_environment(), "HOME": str(self.home), "GPUENV_INSTALL_ENGINE": "0", **settings},
            cwd=self.home,
            umask=self.umask,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=RUN_S,
            check=False,
            start_new_session=True,
        )

    def gpuenv(self, *words: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run the command as this user."""
        return self.run([sys.executable, "-I", "-m", "gpuenv", *words], **settings)

    def shell(self, script: str, **settings: str) -> str:
        """Have a shell do something as this user, which has to succeed; returns what it printed."""
        done = self.run(["sh", "-euc", script], **settings)
        assert done.returncode == 0, done.stderr
        return done.stdout
