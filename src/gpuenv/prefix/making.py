"""Making an environment once, in its final place, so that a `kill -9` at any moment leaves nothing half made in use.

Neither kind can be moved after it was made. What is there counts only with its mark (:mod:`gpuenv.prefix.folder`),
which is written last; a record outside of it, written first, says that the folder is ours and where the one that was
there before is set aside. A folder with anything that no environment has is not ours, whatever the record says.

====== ================ ========= ============================== =============================================
record mark in folder   set aside how it came to be              what the next call does
====== ================ ========= ============================== =============================================
no     none, no folder  no        never made                     makes it
no     none, a folder   no        a stranger's folder            refuses; below the cache: makes it anew
no     of this folder   no        made to its end                uses it; made from something else: makes it anew
yes    none             no        killed while first made        makes it anew
yes    none             yes       killed while made anew         puts the old one back, then as above
yes    of this folder   either    killed before the first, or    drops what is aside, then as above
                                  after the last step
====== ================ ========= ============================== =============================================
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import final

from gpuenv.core import atomic, locking, scratch, signals, ui
from gpuenv.core.errors import BuildError, GpuenvError, HostError
from gpuenv.core.ui import end_of_output
from gpuenv.net import certificates
from gpuenv.prefix import folder as prefixes
from gpuenv.prefix.folder import Mark, Prefix, check_room, full, full_place, is_complete, refuse_foreign

#: Settings with which pip would install elsewhere than into the environment, and those of another Python.
_ELSEWHERE = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


def ensure(prefix: Prefix, fill: Callable[[Making], Iterable[Path] | None]) -> Path:
    """Return the folder of the complete environment, filled by ``fill`` if need be; two at once make it once.

    ``fill`` returns the links without which it does not work. After an error there is what was there before: UsageError
    for what is not ours, HostError where nothing can be written, or what ``fill`` raises.
    """
    if not is_complete(prefix):
        with locking.held(prefix.lock, f"waiting for another gpuenv that makes {prefix.content.name}") as lock:
            making = Making(prefix, lock)
            making.finish_what_was_killed()
            if not is_complete(prefix):
                making.make(fill)
    return prefix.folder


@final
class Making:
    """The making of one environment; the programs that it runs hold its lock, too.

    After a `kill -9` of ours, the next one waits until they, too, have ended.
    """

    def __init__(self, prefix: Prefix, *locks: int) -> None:
        self.prefix = prefix
        self._locks = locks
        self._aside: Path | None = None

    def make(self, fill: Callable[[Making], Iterable[Path] | None]) -> None:
        """Fill the folder anew and mark it; when that fails, put back what was there. Raises as :func:`ensure` does."""
        refuse_foreign(self.prefix)
        # What killed runs left may be what the room is lacking.
        scratch.sweep()
        check_room(self.prefix)
        folder, self._aside = self.prefix.folder, self._announce()
        record = {"folder": str(folder), "aside": self._aside and str(self._aside)}
        atomic.write_text(self.prefix.record, json.dumps(record) + "\n")
        try:
            if self._aside is not None:
                folder.rename(self._aside)
            _clear(folder)
            self.prefix.log.unlink(missing_ok=True)
            links = tuple(sorted(str(path.relative_to(folder)) for path in fill(self) or ()))
            entries = prefixes.list_entries(folder)
            prefixes.write_mark(folder, Mark(self.prefix.content, str(folder), entries, links))
        except BaseException:
            self._put_back()
            raise
        if self._aside is not None:
            shutil.rmtree(self._aside, ignore_errors=True)
        self.prefix.record.unlink()

    def _announce(self) -> Path | None:
        """Say what happens to what is there; where that is set aside meanwhile, None if it is not worth it."""
        folder = self.prefix.folder
        if prefixes.read_mark(folder) is not None:
            ui.say(f"{folder} was made from something else, or lost what it leads to; making it anew")
            aside = f".{folder.name}.gpuenv-old-{secrets.token_hex(4)}"
            return folder.with_name(aside) if self.prefix.is_given else None
        if prefixes.list_entries(folder):
            ui.say(f"{folder} is half made; making it anew")
        return None

    def _put_back(self) -> None:
        folder = self.prefix.folder
        with contextlib.suppress(OSError):
            (folder / prefixes.COMPLETE).unlink()
        shutil.rmtree(folder, ignore_errors=True)
        # What cannot be removed (a program may still write into it) is left to the next run, and so is the record.
        if folder.exists():
            return
        if self._aside is not None and self._aside.is_dir():
            self._aside.rename(folder)
            ui.say(f"{folder} is what it was before")
        self.prefix.record.unlink(missing_ok=True)

    def finish_what_was_killed(self) -> None:
        """Bring a folder back to what it was before a run that was killed, or to what that run had made whole."""
        folder, record = self.prefix.folder, self.prefix.record
        if not record.exists():
            return
        try:
            aside = json.loads(record.read_text(encoding="utf-8"))["aside"]
        except (ValueError, TypeError, KeyError):
            aside = None
        mark = prefixes.read_mark(folder)
        if mark is None and aside and Path(aside).is_dir():
            refuse_foreign(self.prefix)
            _clear(folder)
            Path(aside).rename(folder)
            ui.say(f"{folder} is again what it was before a run that was killed")
        elif mark is None or Path(mark.folder) != folder:
            return
        elif aside:
            shutil.rmtree(aside, ignore_errors=True)
        record.unlink()

    def run(
        self,
        argv: list[str],
        environ: Mapping[str, str] = os.environ,
        explain: Callable[[str], GpuenvError] | None = None,
    ) -> None:
        """Run one program that fills the environment; its output goes into the log.

        Raises HostError for a full disk; else what ``explain`` makes of the output, or BuildError with its end.
        """
        log = self.prefix.log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            begin = output.tell()
            done = signals.run(
                argv,
                env=pip_environment(environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=self._locks,
            )
        if done.returncode == 0:
            return
        text = log.read_bytes()[begin:].decode("utf-8", "replace")
        if place := full_place(self.prefix.folder, text):
            raise full(place)
        if explain is not None:
            raise explain(text)
        raise BuildError(
            f"the environment could not be made ({argv[2] if len(argv) > 2 else argv[0]} failed)",
            end_of_output(text),
            f"see {log}; index and proxy are those of pip's own settings (`pip config list`)",
        )


def _clear(folder: Path) -> None:
    """Remove what is there of an environment, and make sure that its parent can be written."""
    try:
        if folder.is_dir():
            # First, so that what is half removed counts as nothing.
            (folder / prefixes.COMPLETE).unlink(missing_ok=True)
            shutil.rmtree(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(
            f"{folder} cannot be made",
            f"the system says: {error.strerror or error}",
            "name another folder with PREFIX=",
        ) from error


def pip_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The caller's variables (index, proxy, certificates) without those that lead pip elsewhere.

    The pip of this Python knows no authorities but its own; it is told of the host's (pip's own `cert` wins).
    """
    kept = {name: value for name, value in environ.items() if name not in _ELSEWHERE}
    bundle = certificates.find_bundle(environ)
    if bundle is not None:
        kept["REQUESTS_CA_BUNDLE"] = str(bundle)
    # Another pip than the one of an activated environment is what conda's is to a setting that many have.
    kept.update(
        PIP_REQUIRE_VIRTUALENV="0",
        PIP_USER="0",
        PIP_DISABLE_PIP_VERSION_CHECK="1",
        PIP_NO_INPUT="1",
        PYTHONNOUSERSITE="1",
    )
    return kept
