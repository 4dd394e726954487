"""An environment in a folder of its own (conda, venv): whose it is, whether it is whole, making it once.

It is made in its final place, because neither kind can be moved afterwards. What is there counts only with its mark
(:mod:`gpuenv.prefix.mark`). That a folder without one is ours says a record outside of it, written first; a folder
that holds anything that neither kind has is not ours whatever the record says. One that was whole is set aside, and
comes back if its successor cannot be made.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from gpuenv.core import atomic, locking, paths, scratch, ui
from gpuenv.core.errors import HostError, UsageError
from gpuenv.prefix import mark as prefix_mark
from gpuenv.prefix.mark import Content, Mark
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
_held: list[int] = []


@dataclass(frozen=True)
class Prefix:
    """``folder`` and what belongs there; ``is_given``: the user named the folder."""

    content: Content
    folder: Path
    is_given: bool = False

    @property
    def name(self) -> str:
        """For people, and for files about it."""
        return self.content.name

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def log(self) -> Path:
        """Where the programs that make it write."""
        return _records() / f"{self.name}-{_key(self.folder)}.log"

    @property
    def record(self) -> Path:
        """Says, while it is being made, that it is ours."""
        return _records() / f"{_key(self.folder)}.begun"


def place(content: Content, folder: Path | None) -> Prefix:
    """An environment in the folder that was asked for, else in one of the cache.

    Raises UsageError for a folder with a name that an environment cannot have.
    """
    if folder is not None:
        where = folder.resolve()
    else:
        where = paths.cache_dir() / f"{content.kind}s" / f"{content.name}-{content.digest[:12]}"
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
    mark = prefix_mark.read(prefix.folder)
    return (
        mark is not None
        and mark.content == prefix.content
        and Path(mark.folder) == prefix.folder
        and os.access(prefix.python, os.X_OK)
        and all((prefix.folder / link).exists() for link in mark.links)
        and not prefix.record.exists()
    )


def ensure(prefix: Prefix, make: Callable[[], Iterable[Path] | None]) -> Path:
    """The folder of the complete environment, made by ``make`` if need be; two at once make it once.

    ``make`` returns the links without which it does not work. Raises UsageError, and touches nothing, where something
    stands there that is not ours; HostError where nothing can be written; and what ``make`` raises, after which there
    is what was there before.
    """
    if is_complete(prefix):
        return prefix.folder
    waiting = f"waiting for another gpuenv that makes {prefix.name}"
    with locking.held(_records() / f"{_key(prefix.folder)}.lock", waiting) as descriptor:
        _finish_what_was_killed(prefix)
        if not is_complete(prefix):
            _held.append(descriptor)
            try:
                _remake(prefix, make)
            finally:
                _held.remove(descriptor)
    return prefix.folder


def inherited() -> tuple[int, ...]:
    """Descriptors that the programs which fill an environment inherit.

    They hold its lock: after a `kill -9` of ours, the next one waits until they, too, have ended.
    """
    return tuple(_held)


def _finish_what_was_killed(prefix: Prefix) -> None:
    """Bring a folder back to what it was before a run that was killed, or to what that run had made whole."""
    if not prefix.record.exists():
        return
    aside = _read_aside(prefix.record)
    mark = prefix_mark.read(prefix.folder)
    if mark is None and aside is not None and aside.is_dir():
        refuse_foreign(prefix)
        _clear(prefix.folder)
        aside.rename(prefix.folder)
        ui.say(f"{prefix.folder} is again what it was before a run that was killed")
    elif mark is None or Path(mark.folder) != prefix.folder:
        return
    elif aside is not None:
        shutil.rmtree(aside, ignore_errors=True)
    prefix.record.unlink()


def _remake(prefix: Prefix, make: Callable[[], Iterable[Path] | None]) -> None:
    refuse_foreign(prefix)
    # What killed runs left may be what the room is lacking.
    scratch.sweep()
    check_room(prefix)
    aside = _announce(prefix)
    atomic.write_text(prefix.record, json.dumps({"folder": str(prefix.folder), "aside": aside and str(aside)}) + "\n")
    try:
        if aside is not None:
            prefix.folder.rename(aside)
        _clear(prefix.folder)
        prefix.log.unlink(missing_ok=True)
        links = prefix_mark.relative(prefix.folder, make() or ())
        entries = prefix_mark.list_entries(prefix.folder)
        prefix_mark.write(prefix.folder, Mark(prefix.content, str(prefix.folder), entries, links))
    except BaseException:
        with contextlib.suppress(OSError):
            (prefix.folder / prefix_mark.COMPLETE).unlink()
        shutil.rmtree(prefix.folder, ignore_errors=True)
        # What cannot be removed (a program may still write into it) is left to the next run, and so is the record.
        if not prefix.folder.exists():
            if aside is not None and aside.is_dir():
                aside.rename(prefix.folder)
                ui.say(f"{prefix.folder} is what it was before")
            prefix.record.unlink(missing_ok=True)
        raise
    if aside is not None:
        shutil.rmtree(aside, ignore_errors=True)
    prefix.record.unlink()


def _announce(prefix: Prefix) -> Path | None:
    """Say what happens to what is there; where that is set aside meanwhile, None if it is not worth it."""
    if prefix_mark.read(prefix.folder) is not None:
        ui.say(f"{prefix.folder} was made from something else, or lost what it leads to; making it anew")
        aside = f".{prefix.folder.name}.gpuenv-old-{secrets.token_hex(4)}"
        return prefix.folder.with_name(aside) if prefix.is_given else None
    if prefix_mark.list_entries(prefix.folder):
        ui.say(f"{prefix.folder} is half made; making it anew")
    return None


def refuse_foreign(prefix: Prefix) -> None:
    """Raise UsageError for a folder, or a file, that is there and was not made by us, or not as this."""
    if not os.path.lexists(prefix.folder) or not prefix.is_given:
        return
    mark = prefix_mark.read(prefix.folder)
    entries = prefix_mark.list_entries(prefix.folder)
    if mark is not None and mark.content.title != prefix.content.title:
        raise UsageError(
            f"{prefix.folder} is another environment already",
            f"it is {mark.content.title}, and {prefix.content.title} was asked for",
            f"name another folder with PREFIX=, or use that one: {mark.content.words}",
        )
    known = _OURS.union(mark.entries if mark else ())
    foreign = [name for name in entries if name not in known]
    is_ours = mark is not None or prefix.record.exists() or (prefix.folder.is_dir() and not entries)
    if is_ours and not foreign:
        return
    if is_ours:
        shown = ", ".join(foreign[:3]) + (", ..." if len(foreign) > len(foreign[:3]) else "")
        raise UsageError(
            f"{prefix.folder} holds what is not part of the environment: {shown}",
            "the environment there has to be made anew, and with it all that is in its folder would be removed",
            "move that elsewhere, or name another folder with PREFIX=",
        )
    raise UsageError(
        f"{prefix.folder} is there already, and it is not ours",
        f"it has no file {prefix_mark.COMPLETE} that this version understands, so it is not touched",
        "name another folder with PREFIX=, or remove that one yourself",
    )


def check_room(prefix: Prefix) -> None:
    """Raise HostError where the disk cannot hold it: minutes of downloads would be for nothing."""
    parent = next(path for path in prefix.folder.parents if path.is_dir())
    free, needed = shutil.disk_usage(parent).free, PREFIX_GB.get(prefix.content.flavor, PREFIX_GB["gpu"])
    if free < needed * 10**9:
        raise HostError(
            f"there is no room for {prefix.name} in {prefix.folder.parent}",
            f"{free / 1e9:.1f} GB are free there, and making it takes {needed} GB",
            "make room (`make clean` removes what this project made), or name a folder of another disk with PREFIX=",
        )


def _clear(folder: Path) -> None:
    """Remove what is there of an environment, and make sure that its parent can be written."""
    try:
        if folder.is_dir():
            # First, so that what is half removed counts as nothing.
            (folder / prefix_mark.COMPLETE).unlink(missing_ok=True)
            shutil.rmtree(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(
            f"{folder} cannot be made",
            f"the system says: {error.strerror or error}",
            "name another folder with PREFIX=",
        ) from error


def _read_aside(record: Path) -> Path | None:
    try:
        found = json.loads(record.read_text(encoding="utf-8"))["aside"]
    except (ValueError, TypeError, KeyError):
        return None
    return Path(found) if found else None


def _records() -> Path:
    return paths.state_dir() / "environments"


def _key(folder: Path) -> str:
    """The same for every way of naming one folder."""
    return hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
