"""Prepare the command's own virtual environment from a hashed lock. Called by make, never by hand.

usage: bootstrap.py VENV [LOCK]

VENV is made or brought up to LOCK (without one it is only looked at whose it is); a stamp inside it, written
last, names the locks it holds, so that a half-made environment is never used. What a larger lock has more is
added in place. What has neither that stamp nor the mark of what is half made is not ours, and never removed.
Only the standard library, and what of gpuenv needs no more, is there. The file must stay readable for any
Python from 2.7 on: that is how a too old one gets a sentence instead of a SyntaxError.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys

OLDEST = (3, 9)
if sys.version_info < OLDEST:
    sys.stderr.write(
        "gpuenv: error: this Python is too old for the gpuenv command\n"
        "  cause: %s is %s, and %d.%d or newer is needed (the environments themselves keep their own Python)\n"
        "  next:  make PYTHON=/path/to/python3.%d ...\n"
        % (sys.executable, sys.version.split()[0], OLDEST[0], OLDEST[1], OLDEST[1])
    )
    sys.exit(4)

# Python does not do it by itself where PYTHONSAFEPATH is set.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from pathlib import Path  # noqa: E402

from gpuenv.core import atomic, locking, ownership, paths, signals, ui, variables  # noqa: E402
from gpuenv.core.errors import GpuenvError, HostError, full_disk  # noqa: E402
from gpuenv.core.settings import in_utf8  # noqa: E402
from gpuenv.net.pip_settings import pip_environment  # noqa: E402

STAMP = "gpuenv-lock"
BEGUN = "gpuenv-begun"
#: Where an older environment stands until the newer one is whole.
ASIDE = ".old"
#: Each holds all of the one before it, in the same versions.
LOCKS = ("requirements.txt", "requirements-report.txt", "requirements-dev.txt")
#: The settings of uv that are about the network; others decide what is installed, and where.
UV = (
    *("UV_INDEX", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX", "UV_NO_INDEX", "UV_FIND_LINKS", "UV_INSECURE", "UV_KEYRING"),
    *("UV_HTTP", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS", "UV_OFFLINE", "UV_CACHE", "UV_NO_CACHE", "UV_LINK", "UV_CONFIG"),
)
#: Run in the environment: what the lock (its first argument) pins on every machine is there, and so is the command.
TRIAL = r"""
import re, sys
from importlib.metadata import PackageNotFoundError, version
import gpuenv.cli
with open(sys.argv[1]) as lock:
    pins = re.findall(r"^([\w.-]+)==(\S+) (?!;)", lock.read(), re.MULTILINE)
for name, wanted in pins:
    try:
        found = version(name)
    except PackageNotFoundError:
        found = "nowhere"
    if found != wanted:
        sys.exit("%s %s was installed, and %s is found" % (name, wanted, found))
"""
LAUNCHER = """#!/bin/sh
exec "$(dirname "$(readlink -f "$0")")/python" -I -m gpuenv "$@"
"""


def wanted_stamp(lock):
    """What the stamp must say for LOCK: its digest, and the Python that the packages were chosen for."""
    with open(lock, "rb") as stream:
        digest = hashlib.sha256(stream.read()).hexdigest()
    return "%s %s %s" % (os.path.basename(lock), digest, sys.version.split()[0])


def read_stamp(venv):
    """The locks that VENV holds, as wanted_stamp() names them; none if it was never whole."""
    try:
        with open(os.path.join(venv, STAMP)) as stream:
            return stream.read().splitlines()
    except OSError:
        return []


def choose_locks(held, lock):
    """The locks that an environment holds in the end, smallest first: it stays as large as it was, whatever its age."""
    names = [line.split()[0] for line in held] + [os.path.basename(lock)]
    largest = max(LOCKS.index(name) for name in names if name in LOCKS)
    paths = [os.path.join(os.path.dirname(lock), name) for name in LOCKS[: largest + 1]]
    return [path for path in paths if os.path.exists(path)]


def installer_environment():
    """The environment for the installers: the caller's, as far as it is about the network."""
    environment = pip_environment(os.environ)
    if "REQUESTS_CA_BUNDLE" in environment:
        environment.setdefault("SSL_CERT_FILE", environment["REQUESTS_CA_BUNDLE"])
    return {name: value for name, value in environment.items() if not name.startswith("UV_") or name.startswith(UV)}


def run(argv):
    """Run one program with its output on standard error; return whether it succeeded."""
    return subprocess.call(argv, env=installer_environment(), stdout=sys.stderr) == 0


def install(venv, lock, is_new):
    """Install LOCK into VENV, with uv if it is there, else with pip; a new one is made first, with the same program."""
    python = os.path.join(venv, "bin", "python")
    uv = shutil.which("uv")
    # Before anything is in it, as we may be killed at any moment.
    claim(venv)
    # uv does not read pip's configuration, so where an index of one's own is set there it may fail: then pip does it.
    # So it does where uv is too old (before 2024) to make an environment in a folder that holds our mark.
    if uv and (not is_new or run([uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, venv])):
        pip = [uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", lock]
        if run(pip) and is_usable(venv, lock):
            return
    if uv:
        ui.say("uv could not install it; trying pip")
        if is_new:
            remove(venv)
            claim(venv)
    # What uv made has no pip.
    has_pip = os.path.exists(os.path.join(venv, "bin", "pip"))
    if not has_pip and not run([sys.executable, "-I", "-m", "venv", venv]):
        raise HostError(
            "no virtual environment could be made with %s" % sys.executable,
            "its venv module is missing or incomplete (Debian and Ubuntu pack it separately)",
            "apt-get install python3-venv, or make PYTHON=/path/to/another/python3 ...",
        )
    if not run([python, "-I", "-m", "pip", "install", "-qq", "--require-hashes", "--no-deps", "-r", lock]):
        raise HostError(
            "the command's own packages could not be installed",
            "pip's message stands above: mostly the index or the proxy",
            "set PIP_INDEX_URL, HTTPS_PROXY or SSL_CERT_FILE (your network's CA bundle) and run the same again",
        )
    if not is_usable(venv, lock):
        raise HostError(
            "the command's own packages are not usable in %s" % venv,
            "what they say stands above: they were put elsewhere, or do not fit %s" % sys.executable,
            "look for target, prefix or home in ~/.pydistutils.cfg, or make PYTHON=/path/to/another/python3 ...",
        )


def is_usable(venv, lock):
    """Whether the command runs in VENV with what LOCK pins; what is wrong is told on standard error."""
    add_command(venv)
    return run([os.path.join(venv, "bin", "python"), "-I", "-c", TRIAL, lock])


def add_command(venv):
    """Make `gpuenv` importable in VENV from this source tree, and give it a launcher.

    Within a checkout the tree is named as seen from VENV: then the checkout may be copied and moved, and have a path
    that Python cannot read in this language.
    """
    source = os.path.dirname(os.path.realpath(__file__))
    python = os.path.join(venv, "bin", "python")
    packages = subprocess.check_output([python, "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
    folder = os.path.realpath(os.fsdecode(packages).strip())
    is_within = folder.startswith(os.path.dirname(source) + os.sep)
    with open(os.path.join(folder, "gpuenv.pth"), "w") as stream:
        stream.write((os.path.relpath(source, folder) if is_within else source) + "\n")
    launcher = os.path.join(venv, "bin", "gpuenv")
    with open(launcher, "w") as stream:
        stream.write(LAUNCHER)
    os.chmod(launcher, 0o755)  # noqa: S103 - a command that everybody may run


def claim(venv):
    """Leave the mark of what is half made in VENV, which is made if need be: without it nobody removes it.

    Raise HostError if others decide on it: somebody may have been quicker to make it.
    """
    Path(venv).mkdir(parents=True, exist_ok=True)
    refuse_others(venv)
    Path(venv, BEGUN).touch()


def remove(folder):
    """Remove an environment of ours as far as that is possible. Raise HostError if others decide on it."""
    if not refuse_others(folder):
        return
    with contextlib.suppress(OSError):
        atomic.remove_folder(Path(folder), STAMP, BEGUN)


def refuse_foreign(folder):
    """Raise HostError for what is there and has no mark of ours: an environment of the user's own, or their work."""
    is_empty = os.path.isdir(folder) and not os.listdir(folder)
    if os.path.lexists(folder) and not is_empty and not any(Path(folder, name).exists() for name in (STAMP, BEGUN)):
        raise HostError(
            "%s is there already, and it is not ours" % folder,
            "it has neither a file %s nor %s, so it is not touched" % (STAMP, BEGUN),
            "move it elsewhere, or name another folder: make VENV=/path/to/folder ...",
        )


def is_within_checkout(venv):
    """Whether VENV lies in the checkout: it is whoever's that is."""
    return venv.startswith(os.path.join(str(paths.project_root()), ""))


def refuse_others(venv):
    """Raise HostError for an environment that others decide on, or a place where they would; not in the checkout.

    What runs in it is the caller. Return whether it is there: who finds it later than this finds somebody else's.
    """
    is_there = os.path.lexists(venv)
    if is_within_checkout(venv):
        return is_there
    way_out = "name a folder of your own: make VENV=$HOME/.gpuenv-venv ..."
    if is_there:
        parts = (os.path.join(venv, name) for name in (STAMP, BEGUN, "bin", "bin/python"))
        for path in [venv, *filter(os.path.exists, parts)]:
            ownership.check(path, way_out=way_out)
    else:
        place = next(folder for folder in Path(venv).parents if os.path.lexists(folder))
        why = ownership.problem(place, is_last=False)
        if why:
            raise HostError("%s is not used" % venv, why, way_out)
    return is_there


def restore(venv):
    """Put back the environment that was set aside if the one in its place is not whole; remove it if that is."""
    if not refuse_others(venv + ASIDE):
        return
    if not read_stamp(venv) and read_stamp(venv + ASIDE):
        remove(venv)
        os.rename(venv + ASIDE, venv)
    else:
        remove(venv + ASIDE)


def main(venv, lock):
    """Bring VENV up to LOCK unless it is there already; two at once wait for each other."""
    with locking.held(Path(venv + ".lock"), "another make is preparing %s; waiting for it" % venv):
        for folder in (venv, venv + ASIDE):
            # Others may have put it there while we waited.
            refuse_others(folder)
            refuse_foreign(folder)
        restore(venv)
        is_there = refuse_others(venv)
        held = read_stamp(venv) if is_there else []
        works = is_there and os.path.exists(os.path.join(venv, "bin", "python"))
        if works and wanted_stamp(lock) in held:
            add_command(venv)
            return
        locks = choose_locks(held, lock)
        stamps = [wanted_stamp(path) for path in locks]
        is_new = not (works and held and set(held) <= set(stamps))
        names = os.path.basename(venv), os.path.basename(locks[-1])
        if is_new:
            ui.say("preparing the command's own environment in %s (once, until %s changes)" % names)
            if held:
                # Without a network it is still the one to go on with.
                os.rename(venv, venv + ASIDE)
            else:
                remove(venv)
        else:
            ui.say("adding to the command's own environment in %s (once, until %s changes)" % names)
        try:
            install(venv, locks[-1], is_new)
        except BaseException:
            restore(venv)
            raise
        with open(os.path.join(venv, STAMP + ".part"), "w") as stream:
            stream.write("\n".join(stamps) + "\n")
        os.rename(os.path.join(venv, STAMP + ".part"), os.path.join(venv, STAMP))
        os.remove(os.path.join(venv, BEGUN))
        restore(venv)


def settle_umask(venv):
    """Have what is made elsewhere than in the checkout closed to groups, whose usual umask is 002.

    Else it is refused at its next use. In the checkout of a group, which is not looked at, the others go on with it.
    """
    if not is_within_checkout(venv):
        os.umask(os.umask(0o077) | 0o022)


def end_with(error):
    """Tell an error, and exit with its code."""
    ui.say("error: %s" % error)
    sys.exit(error.exit_code)


if __name__ == "__main__":
    ui.open_closed_streams()
    signals.hear_children()
    goal = os.path.abspath(sys.argv[1])
    settle_umask(goal)
    try:
        variables.settle()
        for name, folder in (("the checkout's path", paths.project_root()), ("VENV", goal)):
            in_utf8(name, folder, "rename the folder (`convmv -f EUC-KR -t UTF-8 --notest`)", "Python's environments")
        refuse_others(goal)
        if sys.argv[2:]:
            main(goal, sys.argv[2])
    except KeyboardInterrupt:
        ui.say("interrupted")
        sys.exit(130)
    except GpuenvError as error:
        end_with(error)
    except OSError as error:
        closed = HostError(
            "the command's own environment cannot be made in %s" % goal,
            "the system says: %s" % error,
            "use a checkout of your own, or put it elsewhere: make VENV=$HOME/.gpuenv-venv ...",
        )
        end_with(full_disk(error) or closed)
