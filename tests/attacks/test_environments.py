"""An environment that another user made, or could change, runs nothing as somebody else; the ordinary ones go on."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import stat
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gpuenv.core import paths
from tiny.people import Person

#: Nobody of the tests is in it but by name: the rest of the lab.
_LAB = 60_013
#: Makes an environment as the command does, but for minutes of pip: its Python says as whom it runs, and leaves a file.
_MAKE = """
import sys
from pathlib import Path
from gpuenv.core.settings import Settings
from gpuenv.prefix import making, virtual_env
from gpuenv.variants.environment import Environment
from gpuenv.variants.model import find_variant

where, ran = Path(sys.argv[1]), sys.argv[2]
settings = Settings(prefix=None if where == Path("cache") else where)
prefix, _ = virtual_env.plan(Environment(find_variant("cuda10.0"), "cpu"), settings)
def fill(making):
    making.claim()
    (prefix.folder / "bin").mkdir()
    python = prefix.folder / "bin/python"
    python.write_text(f"#!/bin/sh\\n: > {ran}-$(id -u)\\necho it ran as $(id -u)\\n")
    python.chmod(0o777)
print(making.ensure(prefix, fill))
"""


class Traps:
    """Environments whose Python leaves a file for each user as whom it ran."""

    def __init__(self, ground: Path) -> None:
        self._ran = ground / "ran"

    def make(self, maker: Person, folder: Path | str, **settings: str) -> Path:
        """Have ``maker`` make one in ``folder`` (``"cache"``: the usual place); returns where."""
        done = maker.run([sys.executable, "-I", "-c", _MAKE, folder, self._ran], **settings)
        assert done.returncode == 0, done.stderr
        return Path(done.stdout.strip())

    def ran_as(self, user: Person) -> bool:
        return self._ran.with_name(f"ran-{user.uid}").exists()


@pytest.fixture
def traps(ground: Path) -> Traps:
    return Traps(ground)


@pytest.fixture(params=["victim", "root"])
def anybody(request: pytest.FixtureRequest) -> Person:
    """Each of those who are attacked."""
    person: Person = request.getfixturevalue(request.param)
    return person


def use(user: Person, folder: Path | str, **settings: str) -> tuple[int, str]:
    """Run that environment's Python: the exit code, and both outputs."""
    prefix = () if folder == "cache" else ("--prefix", folder)
    words = ("gpu-shell", "--engine", "venv", "--variant", "cuda10.0", "--flavor", "cpu", *prefix, "--cmd", "python x")
    done = user.gpuenv(*words, **settings)
    return done.returncode, done.stdout + done.stderr


def refused(user: Person, folder: Path, traps: Traps, **settings: str) -> str:
    """Check that nothing of an environment ran, and that an error of three lines said so; returns that."""
    code, said = use(user, folder, **settings)
    assert code == 4, said
    assert not traps.ran_as(user)
    assert f"error: the environment {folder} is not used\n  cause: " in said
    assert "\n  next:  " in said
    return said


def test_a_prefix_that_a_stranger_made_beforehand_is_not_used(
    ground: Path, stranger: Person, anybody: Person, traps: Traps
) -> None:
    folder = traps.make(stranger, ground / "courseenv")
    said = refused(anybody, folder, traps)
    assert f"{folder} is of user {stranger.uid}" in said
    assert "(mode 0755)" in said
    made = anybody.gpuenv("venv-env", "--prefix", folder, "--variant", "cuda10.0", "--flavor", "cpu")
    assert made.returncode == 4
    assert "is not used" in made.stderr


def test_what_a_stranger_began_in_its_place_is_neither_removed_nor_filled(
    ground: Path, stranger: Person, anybody: Person
) -> None:
    """The mark of what is half made is a link: what follows it would make the stranger's file as its caller."""
    folder = ground / "courseenv"
    stranger.shell(f"mkdir -m 777 {folder}; ln -s {anybody.home}/planted {folder}/gpuenv-begun")
    made = anybody.gpuenv("venv-env", "--prefix", folder, "--variant", "cuda10.0", "--flavor", "cpu")
    assert made.returncode == 4
    assert not (anybody.home / "planted").exists()
    assert [path.name for path in folder.iterdir()] == ["gpuenv-begun"]


def test_the_harness_starts_no_python_of_a_prefix_that_a_stranger_made(
    ground: Path, stranger: Person, anybody: Person, traps: Traps
) -> None:
    folder = traps.make(stranger, ground / "courseenv")
    listing = (
        "from pathlib import Path; from gpuenv.core.settings import Settings; from gpuenv.harness.targets import {0};"
        "print({0}.{1}(Settings(target='venv', flavor='cpu', prefix={2}, hosts={3}, variant='cuda10.0')))"
    )
    for code in (
        listing.format("listing", "list_prefixes", f"Path({str(folder)!r})", None),
        listing.format("hosts", "list_targets", None, f"'local://?prefix={folder}'"),
    ):
        done = anybody.run([sys.executable, "-I", "-c", code])
        assert f"{folder} is of user {stranger.uid}" in done.stdout + done.stderr
        assert not traps.ran_as(anybody)


def test_one_that_a_stranger_planted_in_the_cache_is_not_used(
    ground: Path, stranger: Person, anybody: Person, traps: Traps
) -> None:
    cache = ground / "cache" / "gpuenv"
    planted = traps.make(stranger, "cache", GPUENV_CACHE_DIR=str(cache))
    stranger.shell(f"chmod 777 {cache} {planted.parent}")
    code, _ = use(anybody, "cache", GPUENV_CACHE_DIR=str(cache))
    assert code != 0
    assert not traps.ran_as(anybody)


@pytest.mark.parametrize("part", ["", "bin", "bin/python", "gpuenv-complete"])
def test_each_part_that_others_could_write_to_counts(
    ground: Path, stranger: Person, victim: Person, traps: Traps, part: str
) -> None:
    folder = traps.make(victim, ground / "mine")
    (folder / part).chmod((folder / part).stat().st_mode | stat.S_IWOTH)
    said = refused(victim, folder, traps)
    assert f"`chmod -R go-w {folder}`" in said
    victim.shell(f"chmod -R go-w {folder}")
    assert use(victim, folder)[0] == 0
    os.chown(folder / part, stranger.uid, stranger.uid)
    (ground / f"ran-{victim.uid}").unlink()
    assert f"is of user {stranger.uid}" in refused(victim, folder, traps)


def test_what_its_python_leads_to_counts(ground: Path, stranger: Person, victim: Person, traps: Traps) -> None:
    """As after an interpreter in /tmp was removed and a stranger put another one there."""
    folder, theirs = traps.make(victim, victim.home / "mine"), ground / "python3.6"
    theirs.write_bytes((folder / "bin/python").read_bytes())
    theirs.chmod(0o755)
    victim.shell(f"ln -sf {theirs} {folder}/bin/python")
    os.chown(theirs, stranger.uid, stranger.uid)
    assert f"{theirs} is of user {stranger.uid}" in refused(victim, folder, traps)


def test_a_strangers_link_to_an_environment_of_ones_own_is_not_followed(
    ground: Path, stranger: Person, victim: Person, traps: Traps
) -> None:
    folder = traps.make(victim, victim.home / "mine")
    stranger.shell(f"ln -s {folder} {ground}/courseenv")
    assert f"a link of user {stranger.uid}" in refused(victim, ground / "courseenv", traps)


def test_nothing_is_made_where_a_stranger_could_exchange_it(
    ground: Path, stranger: Person, anybody: Person, traps: Traps
) -> None:
    stranger.shell(f"mkdir -m 777 {ground}/theirs")
    done = anybody.run([sys.executable, "-I", "-c", _MAKE, ground / "theirs/env", ground / "ran"])
    assert "is no place for an environment" in done.stderr
    assert list((ground / "theirs").iterdir()) == []


def test_a_folder_that_a_stranger_makes_at_the_last_moment_is_not_filled(
    ground: Path, stranger: Person, anybody: Person
) -> None:
    """After the place was looked at, and before it is filled."""
    late = f"until test -e {ground}/looked; do sleep 0.01; done; mkdir -m 777 {ground}/env"
    wait = f"""
    import time
    Path({str(ground / "looked")!r}).touch()
    while not prefix.folder.exists():
        time.sleep(0.01)
"""
    code = _MAKE.replace("def fill(making):", f"def fill(making):{wait.rstrip()}")
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(stranger.run, ["timeout", "60", "sh", "-c", late])
        done = anybody.run(["timeout", "60", sys.executable, "-I", "-c", code, ground / "env", ground / "ran"])
        assert made.result().returncode == 0
    assert "is no place for an environment" in done.stderr
    assert list((ground / "env").iterdir()) == []


def test_what_lies_in_the_folder_where_the_command_is_used_is_not_imported(
    ground: Path, stranger: Person, anybody: Person
) -> None:
    for name in ("pip", "ensurepip"):
        stranger.shell(f'printf \'open("{ground}/ran", "w")\n\' > {ground}/{name}.py')
    code = (
        f"import os, sys; os.chdir({str(ground)!r}); from gpuenv.net import index;"
        # As where uv made the environment, which has no pip: others are asked.
        "sys.modules['pip'] = None; print(index.default_index())"
    )
    done = anybody.run([sys.executable, "-I", "-c", code])
    assert done.returncode == 0, done.stderr
    assert not (ground / "ran").exists()


def test_no_python_of_a_stranger_is_asked_for_its_version(
    ground: Path, stranger: Person, anybody: Person, traps: Traps
) -> None:
    """conda's own list of environments still names a folder in /tmp that was removed, and made by somebody else."""
    bin_folder = ground / "env" / "bin"
    stranger.shell(f"mkdir -p {bin_folder}; printf '#!/bin/sh\n: > {ground}/ran-$(id -u)\n' > {bin_folder}/python3.6")
    stranger.shell(f"chmod +x {bin_folder}/python3.6")
    anybody.shell(f"mkdir .conda; echo {ground}/env > .conda/environments.txt")
    code = "from gpuenv.host import pythons; print(pythons.find_pythons('3.6'))"
    done = anybody.run([sys.executable, "-I", "-c", code])
    assert done.returncode == 0, done.stderr
    assert not traps.ran_as(anybody)
    assert f"the Python {bin_folder}/python3.6 is not used: " in done.stderr


def test_an_administrator_makes_one_for_a_lab(ground: Path, root: Person, victim: Person, traps: Traps) -> None:
    """In the lab's own folder, with the mask and the access list that have everything of it shared."""
    lab = ground / "lab"
    lab.mkdir()
    os.chown(lab, 0, _LAB)
    lab.chmod(0o2775)
    folder = traps.make(Person(0, root.home, umask=0o002), lab / "env")
    assert folder.stat().st_gid == _LAB
    for path in (folder, *folder.rglob("*")):
        assert not path.stat().st_mode & 0o022, path
    code, said = use(victim, folder)
    assert (code, f"it ran as {victim.uid}" in said) == (0, True), said


def test_an_administrators_that_a_lab_may_write_to_is_told_the_way(
    ground: Path, root: Person, victim: Person, traps: Traps
) -> None:
    folder = traps.make(root, ground / "env")
    for path in (folder, folder / "bin", folder / "bin/python"):
        os.chown(path, 0, _LAB)
        path.chmod(0o775)
    assert f"`chmod -R go-w {folder}`" in refused(victim, folder, traps)
    root.shell(f"chmod -R go-w {folder}")
    assert use(victim, folder)[0] == 0


def test_only_its_owner_makes_one_anew(ground: Path, root: Person, victim: Person, traps: Traps) -> None:
    """Whoever may write to the lab's folder could move root's away, and have everybody use another."""
    lab = ground / "lab"
    lab.mkdir()
    os.chown(lab, 0, victim.uid)
    lab.chmod(0o2775)
    folder = traps.make(root, lab / "env")
    mark = folder / "gpuenv-complete"
    mark.write_text(mark.read_text().replace('"digest": "', '"digest": "older'))
    code, said = use(victim, folder)
    assert (code, "have its owner make it anew" in said) == (4, True), said
    assert list(lab.iterdir()) == [folder]


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077, 0o000])
def test_ones_own_goes_on_whatever_the_umask(victim: Person, traps: Traps, umask: int) -> None:
    """The home may be a server's, where root is nobody: only the user's own rights are needed."""
    person = Person(victim.uid, victim.home, umask)
    folder = traps.make(person, victim.home / "env")
    assert use(person, folder)[0] == 0
    assert traps.make(person, "cache").parent.name == "venvs"
    assert use(person, "cache")[0] == 0
    assert traps.ran_as(victim)


def test_root_runs_no_environment_of_a_user_but_by_that_users_sudo(root: Person, victim: Person, traps: Traps) -> None:
    folder = traps.make(victim, victim.home / "env")
    assert "next:  run this as its owner, or name another folder with PREFIX=" in refused(root, folder, traps)
    assert use(root, folder, SUDO_UID=str(victim.uid))[0] == 0


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_the_tools_own_environment_elsewhere_is_not_a_strangers(
    ground: Path, stranger: Person, anybody: Person
) -> None:
    """Newer than its lock, as `make` sees it, so nothing would be prepared there.

    Only root may run this make: the checkout's Python may lie in a folder that is closed to others.
    """
    folder, checkout = ground / "venv", paths.project_root()
    script = f"#!/bin/sh\n: > {ground}/ran-$(id -u)\n"
    stranger.shell(f"mkdir -p {folder}/bin; printf '{script}' > {folder}/bin/python; chmod +x {folder}/bin/python")
    stranger.shell(f"for name in ready ready-report ready-dev; do touch -d '2100-01-01' {folder}/$name; done")
    argv: list[str | Path] = [sys.executable, checkout / "src/bootstrap.py", folder]
    if anybody.uid == 0:
        argv = ["make", "-C", checkout, f"PYTHON={sys.executable}", f"VENV={folder}", "doctor"]
    done = anybody.run(argv)
    assert done.returncode != 0
    assert not (ground / f"ran-{anybody.uid}").exists()
    assert f"error: {folder}" in done.stderr
    assert f"is of user {stranger.uid}" in done.stderr
    assert "VENV=$HOME/.gpuenv-venv" in done.stderr


class Planted:
    """The tool's own environment, whole as its stamp says, made by a stranger."""

    def __init__(self, ground: Path, stranger: Person) -> None:
        self._ground, self._stranger = ground, stranger
        self._lock = ground / "requirements.txt"
        self._lock.write_text("# empty\n")
        self._lock.chmod(0o644)

    def make(self, folder: Path) -> None:
        digest = hashlib.sha256(self._lock.read_bytes()).hexdigest()
        self._stranger.shell(
            f"mkdir -p {folder}/bin; printf '#!/bin/sh\n: > {self._ground}/ran-$(id -u)\n' > {folder}/bin/python;"
            f"chmod +x {folder}/bin/python;"
            f"echo requirements.txt {digest} {platform.python_version()} > {folder}/gpuenv-lock"
        )

    def refused(self, user: Person, folder: Path) -> str:
        """Have it prepared; check that nothing ran, and that an error of three lines said so, which is returned."""
        done = user.run([sys.executable, paths.project_root() / "src/bootstrap.py", folder, self._lock])
        assert not (self._ground / f"ran-{user.uid}").exists()
        assert done.returncode == 4, done.stderr
        assert "is not used\n  cause: " in done.stderr
        assert f"of user {self._stranger.uid}" in done.stderr
        return done.stderr


@pytest.fixture
def planted(ground: Path, stranger: Person) -> Planted:
    return Planted(ground, stranger)


def test_what_a_stranger_set_aside_beside_the_tools_own_environment_is_not_put_back(
    ground: Path, anybody: Person, planted: Planted
) -> None:
    planted.make(ground / "venv.old")
    planted.refused(anybody, ground / "venv")
    assert (ground / "venv.old").is_dir()


def test_a_lock_of_a_stranger_lets_nobody_wait(
    ground: Path, stranger: Person, anybody: Person, planted: Planted
) -> None:
    stranger.shell(f": > {ground}/venv.lock; chmod 666 {ground}/venv.lock")
    # Newer kernels do not let it be opened in such a folder, unless that is told otherwise.
    ground.chmod(0o1755)
    assert "venv.lock is not used" in planted.refused(anybody, ground / "venv")


def test_a_lock_that_is_a_strangers_link_makes_no_file(ground: Path, stranger: Person, root: Person) -> None:
    stranger.shell(f"ln -s {root.home}/planted {ground}/venv.lock")
    # Newer kernels follow no such link in such a folder, unless that is told otherwise.
    ground.chmod(0o755)
    done = root.run([sys.executable, paths.project_root() / "src/bootstrap.py", ground / "venv", "/dev/null"])
    assert "venv.lock is not used" in done.stderr
    assert not (root.home / "planted").exists()


def test_what_a_stranger_makes_while_the_lock_is_waited_for_is_not_run(
    ground: Path, anybody: Person, planted: Planted
) -> None:
    lock = ground / "venv.lock"
    lock.touch(mode=0o600)
    os.chown(lock, anybody.uid, anybody.uid)
    with lock.open("rb") as held, ThreadPoolExecutor(1) as pool:
        fcntl.flock(held, fcntl.LOCK_EX)
        waiting = pool.submit(planted.refused, anybody, ground / "venv")
        try:
            while not waiting.done() and not _is_waited_for(lock):
                time.sleep(0.02)
            planted.make(ground / "venv")
        finally:
            fcntl.flock(held, fcntl.LOCK_UN)
        waiting.result()


def _is_waited_for(lock: Path) -> bool:
    number = f":{lock.stat().st_ino} "
    return any("->" in line and number in line for line in Path("/proc/locks").read_text().splitlines())
