"""Making an environment once, in its final place, so that a `kill -9` at any moment leaves nothing half made in use.

Neither kind can be moved after it was made. What is there counts only with its mark (:mod:`gpuenv.prefix.folder`),
which is written last; until then another mark in the folder says that it is ours. A record outside of it, written
first, says where the one that was there before is set aside. A folder without a mark, or with anything that no
environment has, is not ours, whatever the record says: somebody may have put it there since.

====== ================ ========= ============================== =============================================
record mark in folder   set aside how it came to be              what the next call does
====== ================ ========= ============================== =============================================
either none, no folder  no        never made, or removed since   makes it
either none, a folder   either    a stranger's folder            refuses; below the cache: makes it anew
no     complete         no        made to its end                uses it; made from something else: makes it anew
yes    begun            no        killed while first made        makes it anew
yes    begun, no folder yes       killed while made anew         puts the old one back, then as above
yes    complete         either    killed before the first, or    drops what is aside, then as above
                                  after the last step
====== ================ ========= ============================== =============================================
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import final

from gpuenv.core import atomic, closed, locking, scratch, signals, ui
from gpuenv.core.errors import BuildError, GpuenvError, HostError
from gpuenv.core.ui import end_of_output
from gpuenv.net import redact
from gpuenv.net.pip_settings import pip_environment
from gpuenv.prefix import folder as prefixes
from gpuenv.prefix import trust
from gpuenv.prefix.folder import Mark, Prefix, check_room, full, full_place, is_complete, refuse_foreign

#: How often it is looked whether a program has made its folder (seconds); filling one takes minutes.
CLAIM_S = 0.05


def ensure(prefix: Prefix, fill: Callable[[Making], Iterable[Path] | None]) -> Path:
    """Return the folder of the complete environment, filled by ``fill`` if need be; two at once make it once.

    ``fill`` returns the links without which it does not work. After an error there is what was there before: UsageError
    for what is not ours, HostError for what others decide on or where nothing can be written, or what ``fill`` raises.
    """
    trust.check(prefix.folder)
    if not is_complete(prefix):
        with locking.held(prefix.lock, f"waiting for another gpuenv that makes {prefix.content.name}") as lock:
            making = Making(prefix, lock)
            making.finish_what_was_killed()
            if not is_complete(prefix):
                making.make(fill)
        trust.check(prefix.folder)
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
        atomic.write_text(self.prefix.record, json.dumps(record) + "\n", mode=0o600)
        try:
            if self._aside is not None:
                folder.rename(self._aside)
            self.prefix.log.unlink(missing_ok=True)
            with trust.closed_to_others():
                _clear(folder)
                links = tuple(sorted(str(path.relative_to(folder)) for path in fill(self) or ()))
                trust.close(folder)
                entries = prefixes.list_entries(folder)
                prefixes.write_mark(folder, Mark(self.prefix.content, str(folder), entries, links))
            (folder / trust.BEGUN).unlink(missing_ok=True)
        except BaseException:
            self._put_back()
            raise
        if self._aside is not None:
            _drop(self._aside)
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
        _drop(folder)
        # What cannot be removed (a program may still write into it) is left to the next run, and so is the record.
        if folder.exists():
            return
        if self._aside is not None and self._aside.is_dir():
            self._aside.rename(folder)
            ui.say(f"{folder} is what it was before")
        self.prefix.record.unlink()

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
        if mark is None and aside and prefixes.read_mark(Path(aside)) is not None:
            refuse_foreign(self.prefix)
            _clear(folder)
            Path(aside).rename(folder)
            ui.say(f"{folder} is again what it was before a run that was killed")
        elif mark is None or Path(mark.folder) != folder:
            return
        else:
            (folder / trust.BEGUN).unlink(missing_ok=True)
            if aside and prefixes.is_ours(Path(aside)):
                _drop(Path(aside))
        record.unlink()

    def claim(self) -> None:
        """Make the folder, and leave the mark of what is half made in it: without it nobody removes it.

        Raises HostError if it is there: whoever was quicker could exchange what is run in it.
        """
        trust.make(self.prefix.folder)
        trust.mark_begun(self.prefix.folder)

    @contextlib.contextmanager
    def _claiming(self) -> Iterator[None]:
        """Within this, mark what a program makes: micromamba makes nothing where there is a folder already."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(CLAIM_S):
                # Where it cannot be, the folder is the user's to remove after a kill.
                with contextlib.suppress(OSError):
                    trust.mark_begun(self.prefix.folder)
                    return

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()

    def run(
        self,
        argv: list[str],
        environ: Mapping[str, str] = os.environ,
        explain: Callable[[str], GpuenvError] | None = None,
    ) -> None:
        """Run one program that fills the environment; its output goes into the log.

        Raises HostError for a full disk, and for a folder that somebody else made meanwhile; else what ``explain``
        makes of the output, or BuildError with its end.
        """
        trust.check_made(self.prefix.folder)
        log = self.prefix.log
        log.parent.mkdir(exist_ok=True)
        # A folder of its own to unpack in: a program that is killed does not empty it.
        with (
            scratch.folder("unpacked", is_local=True) as temporary,
            open(log, "ab", opener=closed.opener) as output,
        ):
            begin = output.tell()
            with self._claiming(), redact.hidden_in(log, begin):
                done = signals.run(
                    argv,
                    env={**pip_environment(environ), "TMPDIR": str(temporary)},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=self._locks,
                    # A program that dies leaves others behind, which would write into what is removed.
                    start_new_session=True,
                )
        trust.check_made(self.prefix.folder)
        if done.returncode == 0:
            return
        text = log.read_bytes()[begin:].decode("utf-8", "replace")
        if place := full_place(self.prefix.folder, text):
            raise full(place)
        if explain is not None:
            raise explain(text)
        raise BuildError(
            f"the environment could not be made ({argv[3] if len(argv) > 3 else argv[0]} failed)",
            end_of_output(text),
            f"see {log}; index and proxy are those of pip's own settings (`pip config list`)",
        )


def _drop(folder: Path) -> None:
    """Remove what can be removed."""
    with contextlib.suppress(OSError):
        prefixes.remove(folder)


def _clear(folder: Path) -> None:
    """Remove what is there of an environment, and make sure that one which is made there may be used."""
    try:
        prefixes.remove(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        trust.check_place(folder)
    except OSError as error:
        raise HostError(
            f"{folder} cannot be made",
            f"the system says: {error.strerror or error}",
            "name another folder with PREFIX=",
        ) from error
