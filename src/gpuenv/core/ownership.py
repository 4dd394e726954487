"""Whose a file or folder is: what is run, loaded, deleted or believed is the caller's or root's, and closed to others.

A path is looked at from ``/`` down, each link before it is followed. Folders on the way may be open to a group (a
lab's shared one) or sticky (``/tmp``): the next part's own owner counts. On Windows, where only doctor and explain
answer, nothing is looked at.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from functools import cache
from pathlib import Path

from gpuenv.core.errors import HostError

#: A path without links in what leads to it, and what is there.
Part = tuple[str, os.stat_result]
#: Linux' own limit for one path.
_MOST_LINKS = 40
WAY_OUT = "name a folder of your own instead, or have the owner close it to others"


def problem(path: str | Path, *, private: bool = False, is_last: bool = True) -> str | None:
    """Why the thing at ``path`` must not be trusted, with owner and mode; None if it may.

    ``private``: it has to be the caller's own, so root's does not do. ``is_last``: False for a folder that only leads
    to what is used. What cannot be looked at is a problem, too.
    The mode of a socket is not asked for: who may use a service is for its owner to say.
    """
    if os.name != "posix":
        return None
    try:
        way, last = parts(path)
    except OSError as error:
        return f"{error.filename or path} cannot be looked at: {error.strerror}"
    if not is_last:
        return problem_on([*way, last])
    if last[0] == _python()[0]:
        # It runs already, and could have us do anything; the cache of tools of a CI service is open to everybody.
        return problem_on(way, _python())
    why = problem_on(way) or foreign(way, last, private=private)
    if why is None and not stat.S_ISSOCK(last[1].st_mode) and others_write(last[1]):
        why = f"others may write to {described(*last)}"
    return why


def check(path: str | Path, *, private: bool = False, way_out: str = WAY_OUT) -> None:
    """Raises HostError, with the words of :func:`problem` and the way out, if ``path`` must not be trusted."""
    refuse(path, problem(path, private=private), way_out)


def refuse(path: str | Path, why: str | None, way_out: str) -> None:
    """Raises HostError with the reason, if there is one."""
    if why is not None:
        raise HostError(f"{path} is not used", why, way_out)


def parts(path: str | Path) -> tuple[list[Part], Part]:
    """The folders and links on the way to a path, and what it leads to, each with what it is. Raises OSError."""
    name = os.fspath(path)
    # A current folder that has been removed has no name.
    whole = name if name.startswith("/") else f"{os.getcwd()}/{name}"  # noqa: PTH109 - a Path drops what `..` follows
    todo = whole.split("/")[::-1]
    here, links = "/", 0
    seen = [(here, os.lstat(here))]
    while todo:
        name = todo.pop()
        part = os.path.dirname(here) if name == ".." else os.path.join(here, name)  # noqa: PTH118, PTH120 - as above
        if name in ("", "."):
            continue
        info = os.lstat(part)
        seen.append((part, info))
        if not stat.S_ISLNK(info.st_mode):
            here = part
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))
        target = os.readlink(part)  # noqa: PTH115 - as above
        here = "/" if target.startswith("/") else here
        todo += target.split("/")[::-1]
    last = seen.pop()
    # A link to `/`, or to the folder that it lies in, is followed by no further part.
    return (seen, last) if last[0] == here else ([*seen, last], (here, os.lstat(here)))


def problem_on(way: list[Part], proven: tuple[str, ...] = ()) -> str | None:
    """What is wrong with the folders and links on a way, but those that are ``proven``."""
    for number, (path, info) in enumerate(way):
        if path in proven:
            continue
        if info.st_uid not in (*callers(), 0, _root_of(way[: max(number, 1)])):
            return _stranger(path, info)
        if _is_open(info) and not info.st_mode & stat.S_ISVTX:
            return f"anybody may write to {described(path, info)}"
    return None


def _root_of(way: list[Part]) -> int:
    """The number that whoever owns `/` has here, for what lies at the end of a way; 0 if anybody may write on it.

    In a user namespace root, where it is not in it, has the number of "nobody", as the next user has.
    """
    return 0 if any(_is_open(info) for _, info in way) else way[0][1].st_uid


def _is_open(info: os.stat_result) -> bool:
    return stat.S_ISDIR(info.st_mode) and bool(info.st_mode & stat.S_IWOTH)


def foreign(way: list[Part], last: Part, *, private: bool) -> str | None:
    """Why the owner of the thing itself is the wrong one."""
    uid = os.geteuid()
    trusted = ({uid} if uid else callers()) if private else {*callers(), 0, _root_of(way or [last])}
    return None if last[1].st_uid in trusted else _stranger(*last, private=private)


def callers() -> frozenset[int]:
    """The numbers that are the caller's: by ``sudo`` also who typed it, and whose the program and its Python are.

    The latter could have it do anything. A checkout in a container, say, is of a user whom only the host knows; the
    Python of a cluster is that of who keeps its modules.
    """
    return _program_owners() | by_sudo() | {os.geteuid()}


def by_sudo() -> frozenset[int]:
    """The number of who typed ``sudo``, for root alone."""
    typed = os.environ.get("SUDO_UID", "")
    return frozenset({int(typed)} if os.geteuid() == 0 and typed.isascii() and typed.isdigit() else ())


@cache
def _program_owners() -> frozenset[int]:
    # A Python that has been removed while it runs is nobody's.
    files = filter(os.path.exists, (__file__, _python()[0]))
    return frozenset(os.stat(path).st_uid for path in files)  # noqa: PTH116 - a Path is no faster to make than this


@cache
def _python() -> tuple[str, ...]:
    """The Python that runs here, after all links, and the folders that lead to it."""
    python = Path(os.path.realpath(sys.executable or __file__))
    return (str(python), *map(str, python.parents))


def is_closed(info: os.stat_result) -> bool:
    """Whether nobody but the caller and root may change a file that was opened, of which this is the state."""
    return info.st_uid in (*callers(), 0) and not others_write(info)


def others_write(info: os.stat_result) -> bool:
    """Whether anybody but the owner may write to it; the owner's own group (umask 002) is nobody else."""
    by_group = bool(info.st_mode & stat.S_IWGRP) and not _is_own_group(info)
    return bool(info.st_mode & stat.S_IWOTH) or by_group


def _is_own_group(info: os.stat_result) -> bool:
    """Whether a thing's group is its owner's alone: it bears the same name, as `useradd` makes it, and nobody is in it.

    Where neither is known by a name, as in many containers, the numbers have to be the same.
    """
    import grp  # for what a group may write alone
    import pwd

    try:
        owner, group = pwd.getpwuid(info.st_uid), grp.getgrgid(info.st_gid)
    except KeyError:
        return info.st_uid == info.st_gid
    if group.gr_name != owner.pw_name or set(group.gr_mem) - {owner.pw_name} or owner.pw_gid != info.st_gid:
        return False
    # A group does not list those whose first one it is. All users of a large site take long: `useradd` mostly gives
    # both the same number, and then nobody else's is it.
    return info.st_gid == info.st_uid or all(
        user.pw_uid == info.st_uid or user.pw_gid != info.st_gid for user in pwd.getpwall()
    )


def _stranger(path: str, info: os.stat_result, *, private: bool = False) -> str:
    kind = "a link of" if stat.S_ISLNK(info.st_mode) else "of"
    wanted = "which is not you" if private else "who is neither you nor root"
    return f"{path} is {kind} {_name(info.st_uid)}, {wanted} (mode {stat.S_IMODE(info.st_mode):04o})"


def described(path: str, info: os.stat_result) -> str:
    """A path with its owner and its mode, for people."""
    return f"{path} (of {_name(info.st_uid)}, mode {stat.S_IMODE(info.st_mode):04o})"


def _name(uid: int) -> str:
    import pwd  # for an error alone

    try:
        return f"{pwd.getpwuid(uid).pw_name} ({uid})"
    except KeyError:
        return f"user {uid}"
