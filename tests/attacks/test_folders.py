"""The folders that the command makes or is told to use: whose they are, who may write there, what `clean` removes."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tiny.people import Person

_CLEAN = ("clean", "--engine", "venv")
#: What every verb begins with, and both folders.
_BEGIN = """
from gpuenv.core import paths, scratch, variables
variables.settle()
print(paths.state_dir(), paths.cache_dir(), scratch._prefix())
"""
#: What `clean` removes of its own; other programs have folders of these names, too.
_EVERYBODYS = ("images", "logs", "venvs", "engine", "sources", "conda", "uv", "tmp-keep")


def fill(person: Person, folder: Path, names: tuple[str, ...] = _EVERYBODYS) -> None:
    """Have a person keep files in a folder, in folders that are called like those of the command."""
    person.shell("".join(f"mkdir -p '{folder}/{name}'; echo mine > '{folder}/{name}/file'; " for name in names))


def begin(person: Person, code: str = "", **settings: str) -> tuple[list[str], str]:
    """Have a person's command make its folders; returns those, how temporary ones begin, and what was said."""
    done = person.run([sys.executable, "-I", "-c", _BEGIN + code], **settings)
    assert done.returncode == 0, done.stderr
    return done.stdout.split(), done.stderr


def kept(folder: Path) -> list[str]:
    return sorted(path.parent.name for path in folder.glob("*/file"))


@pytest.fixture
def loner(victim: Person) -> Iterator[Person]:
    """V, under a number that no other test has at the same time, whose home folder cannot be written."""
    loner = replace(victim, uid=40_000 + os.getpid() % 20_000)
    os.chown(loner.home, loner.uid, loner.uid)
    if os.path.lexists(fallback(loner)):
        pytest.skip(f"{fallback(loner)} is there: it may be anybody's")
    yield loner
    Person(0, Path("/")).shell(f"rm -rf '{fallback(loner)}'")


def fallback(person: Person) -> Path:
    return Path("/var/tmp") / f"gpuenv-{person.uid}"


@pytest.mark.parametrize("plant", ["link", "folder with links"])
def test_another_user_does_not_choose_where_the_fallback_folders_lie(
    stranger: Person, loner: Person, plant: str
) -> None:
    project = loner.home / "proj"
    fill(loner, project)
    place = fallback(loner)
    links = "".join(f"ln -s '{project}' '{place}/{name}'; " for name in (".cache", "state"))
    stranger.shell(f"ln -s '{project}' '{place}'" if plant == "link" else f"mkdir '{place}'; {links}")
    done = loner.gpuenv(*_CLEAN, HOME="/sys")
    assert kept(project) == sorted(_EVERYBODYS)
    assert done.returncode == 4, done.stderr
    assert str(stranger.uid) in done.stderr
    assert "GPUENV_STATE_DIR" in done.stderr


def test_the_fallback_folders_are_closed_and_work(loner: Person) -> None:
    begin(replace(loner, umask=0), HOME="/sys")
    for folder in (fallback(loner), fallback(loner) / ".cache", fallback(loner) / "state"):
        assert stat.S_IMODE(folder.lstat().st_mode) == 0o700
    assert loner.gpuenv(*_CLEAN, HOME="/sys").returncode == 0


@pytest.mark.parametrize(
    ("variable", "mode"),
    [("XDG_CACHE_HOME", 0o777), ("XDG_STATE_HOME", 0o755), ("GPUENV_CACHE_DIR", 0o755), ("GPUENV_STATE_DIR", 0o777)],
)
@pytest.mark.parametrize("player", ["victim", "root"])
def test_a_folder_of_somebody_else_is_refused_with_owner_mode_and_way_out(
    request: pytest.FixtureRequest, stranger: Person, variable: str, mode: int, player: str
) -> None:
    person: Person = request.getfixturevalue(player)
    place = stranger.home.parent / "x"
    stranger.shell(f"mkdir -p '{place}/gpuenv/checkouts'; chmod {mode:o} '{place}' '{place}/gpuenv'")
    named = place / "gpuenv" if variable.startswith("GPUENV") else place
    done = person.gpuenv(*_CLEAN, **{variable: str(named)})
    assert done.returncode == 4, done.stderr
    for said in (str(stranger.uid), f"{mode:04o}", "next:", "GPUENV_"):
        assert said in done.stderr
    assert sorted(path.name for path in (place / "gpuenv").iterdir()) == ["checkouts"]


def test_a_folder_of_ones_own_that_others_could_write_to_is_not_believed(stranger: Person, victim: Person) -> None:
    """What is in it may be anybody's."""
    cache = victim.home / ".cache" / "gpuenv"
    begin(victim)
    victim.shell(f"chmod 711 ~ ~/.cache; chmod 777 '{cache}'")
    stranger.shell(f"mkdir -p '{cache}/venvs/planted'")
    done = victim.gpuenv(*_CLEAN)
    assert done.returncode == 4, done.stderr
    assert f"chmod 700 {cache}" in done.stderr
    victim.shell(f"chmod 700 '{cache}'")
    begin(victim)


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022])
def test_state_and_cache_are_closed_whatever_the_umask(victim: Person, umask: int) -> None:
    begin(replace(victim, umask=umask))
    for name in (".cache", ".cache/gpuenv", ".local/state", ".local/state/gpuenv"):
        assert stat.S_IMODE((victim.home / name).stat().st_mode) == 0o700, name


def test_folders_of_before_are_closed_once_and_used_on(victim: Person) -> None:
    cache = victim.home / ".cache" / "gpuenv"
    begin(victim)
    victim.shell(f"mkdir -p '{cache}/sources'; chmod -R 755 '{cache}'")
    (_, first), (_, second) = begin(victim), begin(victim)
    assert "its mode was 0755" in first
    assert "its mode was" not in second
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert (cache / "sources").is_dir()


@pytest.mark.parametrize("extra", [(), ("checkouts",)])
@pytest.mark.parametrize("yes", [(), ("--yes",)])
def test_clean_removes_nothing_from_the_users_own_folder(
    victim: Person, extra: tuple[str, ...], yes: tuple[str, ...]
) -> None:
    data = victim.home / "data"
    fill(victim, data, (*_EVERYBODYS, *extra))
    done = victim.gpuenv(*_CLEAN, *yes, GPUENV_STATE_DIR=str(data), GPUENV_CACHE_DIR=str(data))
    assert kept(data) == sorted((*_EVERYBODYS, *extra))
    assert done.returncode == 4, done.stderr
    assert f"{data}/gpuenv" in done.stderr


def test_clean_asks_where_a_folder_of_ours_is_the_users_too(victim: Person) -> None:
    """What the user put there since may have one of our names."""
    data = victim.home / "data"
    folders = {"GPUENV_STATE_DIR": str(data), "GPUENV_CACHE_DIR": str(data)}
    begin(victim, **folders)
    fill(victim, data, ("images", "thesis"))
    done = victim.gpuenv(*_CLEAN, **folders)
    assert kept(data) == ["images", "thesis"]
    assert done.returncode == 2, done.stderr
    assert "thesis" in done.stderr
    assert "YES=1" in done.stderr
    done = victim.gpuenv(*_CLEAN, "--yes", **folders)
    assert kept(data) == ["thesis"]
    assert "stays: it holds what gpuenv did not make (thesis)" in done.stderr


@pytest.mark.parametrize("is_marked", [False, True])
def test_clean_does_not_follow_a_cache_folder_that_is_a_link(victim: Person, *, is_marked: bool) -> None:
    elsewhere = victim.home / "elsewhere"
    victim.shell("mkdir -p ~/.cache ~/elsewhere; ln -s ~/elsewhere ~/.cache/gpuenv")
    if is_marked:
        # Somebody moved the cache to a larger disk.
        begin(victim)
    fill(victim, elsewhere, ("sources",))
    done = victim.gpuenv(*_CLEAN)
    assert kept(elsewhere) == ["sources"]
    assert "unforeseen" not in done.stderr
    assert str(victim.home / ".cache" / "gpuenv") in done.stderr
    assert done.returncode == (0 if is_marked else 4), done.stderr


def test_a_named_pipe_of_somebody_else_holds_nobody_up(stranger: Person, victim: Person, ground: Path) -> None:
    """It is called like what a killed run left in the folder for temporary files."""
    (_, _, prefix), _ = begin(victim)
    stranger.shell(f"mkfifo -m 666 '{ground}/{prefix}1-1-x'; ln -s '{victim.home}' '{ground}/{prefix}1-1-y'")
    code = "import signal; signal.alarm(20)\nwith scratch.folder('x', is_local=True): print('made')"
    assert begin(victim, code, TMPDIR=str(ground))[0][-1] == "made"


def test_temporary_files_are_not_made_in_a_folder_of_somebody_else(
    stranger: Person, victim: Person, ground: Path
) -> None:
    stranger.shell(f"mkdir -m 777 '{ground}/tmp'")
    places, said = begin(victim, "import tempfile; print(tempfile.gettempdir())", TMPDIR=str(ground / "tmp"))
    assert f"is of user {stranger.uid}" in said
    assert places[-1] != str(ground / "tmp")


def test_by_sudo_the_folders_of_who_typed_it_are_used(root: Person, victim: Person) -> None:
    """`sudo make` where sudo keeps HOME."""
    begin(victim)
    state = victim.home / ".local" / "state" / "gpuenv"
    done = root.gpuenv(*_CLEAN, HOME=str(victim.home), SUDO_UID=str(victim.uid))
    assert done.returncode == 0, done.stderr
    assert not state.exists()


def test_what_sudo_began_the_user_goes_on_with(root: Person, victim: Person) -> None:
    """`sudo -E make` is the first run of all."""
    places, _ = begin(root, HOME=str(victim.home), SUDO_UID=str(victim.uid))
    assert places[:2] == [str(victim.home / name / "gpuenv") for name in (".local/state", ".cache")]
    assert begin(victim)[0][:2] == places[:2]
    for place in map(Path, places[:2]):
        assert {path.lstat().st_uid for path in (place.parent, place, place / "checkouts")} == {victim.uid}


def test_root_in_a_container_whose_home_is_the_hosts_users_works(root: Person, victim: Person, ground: Path) -> None:
    """As services of continuous integration have it."""
    code = f"""
from pathlib import Path
from gpuenv.core import paths, variables
paths._FALLBACKS = Path({str(ground)!r})
print(paths.state_dir())
"""
    done = root.run([sys.executable, "-I", "-c", code], HOME=str(victim.home))
    assert done.stdout == f"{ground}/gpuenv-0/state\n", done.stderr
    assert f"is of user {victim.uid}" in done.stderr


def test_the_token_of_a_conda_channel_is_in_nothing_that_is_left(victim: Person) -> None:
    words = ("conda-env", "--conda", "rattler", "--flavor", "cpu", "--prefix", victim.home / "env")
    # Nobody listens there: it fails at once, and the log has the address.
    done = victim.gpuenv(*words, "--channels", "https://127.0.0.1:9/t/S3CRETTOK/chan")
    assert done.returncode == 6, done.stderr
    logs = list((victim.home / ".local/state/gpuenv/environments").glob("*.log"))
    assert "/t/<token>/chan" in logs[0].read_text()
    assert stat.S_IMODE(logs[0].stat().st_mode) == 0o600
    for path in (path for path in victim.home.rglob("*") if path.is_file()):
        assert b"S3CRETTOK" not in path.read_bytes(), path
    assert "S3CRETTOK" not in done.stdout + done.stderr


def test_the_home_of_another_user_is_nobody_elses(stranger: Person, victim: Person, root: Person) -> None:
    """After `su -p`, say, where M's home folder is open."""
    stranger.shell("chmod 755 ~")
    code = 'import os; print("HOME", os.environ["HOME"])'
    for person in (victim, root):
        begun, said = begin(
            person, code, HOME=str(stranger.home),
            GPUENV_STATE_DIR=str(person.home / "s"), GPUENV_CACHE_DIR=str(person.home / "c"),
        )  # fmt: skip
        assert begun[-1] != str(stranger.home)
        assert f"HOME={stranger.home} is not used" in said
    begun, said = begin(root, code, HOME=str(stranger.home), SUDO_UID=str(stranger.uid))
    assert begun[-1] == str(stranger.home), "`sudo -E make`"
    assert said == ""
