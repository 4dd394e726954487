"""Programs that give whoever starts them the rights of others: setuid, setgid, file capabilities.

rights.py               in this environment
rights.py FOLDER        on the file system of FOLDER; and which folders of the home not every user can write
"""

import itertools
import os
import stat
import sys
import tempfile

import distributions
from common import emit


def has_capability(path):
    """Whether a file gives one; not every file system knows them."""
    try:
        return "security.capability" in os.listxattr(path)
    except OSError:
        return False


def rights_of(path, status):
    """What a program gives its caller, or None."""
    if status.st_mode & (stat.S_ISUID | stat.S_ISGID):
        kind = "setuid" if status.st_mode & stat.S_ISUID else "setgid"
        return "%s (%s, owner %d:%d)" % (path, kind, status.st_uid, status.st_gid)
    # Only of what can be started: asking nine of ten files would be for nothing.
    if status.st_mode & 0o111 and has_capability(path):
        return path + " (file capability)"
    return None


def look(folder):
    """How many files there are on the file system of ``folder``, and which give their caller something."""
    searched, special, device = 0, [], os.lstat(folder).st_dev
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if os.lstat(os.path.join(place, name)).st_dev == device]
        for path in (os.path.join(place, name) for name in names):
            status = os.lstat(path)
            if stat.S_ISREG(status.st_mode):
                searched += 1
                special += filter(None, [rights_of(path, status)])
    return searched, special


def refusal(folder):
    """Why this user, or any other, cannot write a folder, or None."""
    mode = stat.S_IMODE(os.stat(folder).st_mode)
    if mode & stat.S_IRWXO != stat.S_IRWXO:
        return "its mode is %o" % mode
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return os.strerror(error.errno)
    return None


def closed_home():
    """The folders of the home that not every user can write, and why."""
    home = os.path.expanduser("~")
    folders = [home, *(os.path.join(home, name) for name in os.listdir(home))]
    refusals = {folder: refusal(folder) for folder in folders if os.path.isdir(folder)}
    return {folder: why for folder, why in refusals.items() if why}


def run(whole=None):
    """What gives rights, how many files were looked at, and what of the home is closed."""
    own = distributions.own_prefix()
    folders = [whole] if whole else [own] if own else distributions.site_folders()
    searched, special = zip(*map(look, folders))
    special = list(itertools.chain(*special))
    return {"searched": sum(searched), "special": special, "closed": closed_home() if whole else {}}


if __name__ == "__main__":
    emit(run(*sys.argv[1:]))
