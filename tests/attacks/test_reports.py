"""The folder of the reports, which an installed command has where it is called: it may be a folder of everybody's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tiny.people import Person

_FILES = ("report.html", "report.json", "junit.xml", "pytest.log")
#: What `test-env` does with its files; pytest has written its own elsewhere.
_REPORT = """
import os, sys
from pathlib import Path
from gpuenv.core import errors, paths
from gpuenv.harness.report import files
paths.is_checkout = lambda: False
os.chdir(sys.argv[1])
Path(os.environ["HOME"], "written.xml").write_text("<new/>")
try:
    with files.claimed(paths.reports_dir()) as folder:
        files.take_junit(Path(os.environ["HOME"], "written.xml"), folder)
except errors.HostError as error:
    print(error.what, error.why, error.next_step)
"""


def report(person: Person, place: Path) -> str:
    done = person.run([sys.executable, "-I", "-c", _REPORT, place])
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("plant", ["a link", "an open folder"])
def test_a_planted_folder_of_reports_is_refused(stranger: Person, victim: Person, ground: Path, plant: str) -> None:
    results = victim.home / "results"
    victim.shell(f"chmod 711 ~; mkdir {results}; " + "".join(f"echo mine > {results}/{name}; " for name in _FILES))
    folder = ground / "gpuenv-reports"
    stranger.shell(f"ln -s {results} {folder}" if plant == "a link" else f"mkdir {folder}; chmod 777 {folder}")
    said = report(victim, ground)
    assert str(stranger.uid) in said
    assert "a folder of your own" in said
    assert [(results / name).read_text() for name in _FILES] == ["mine\n"] * len(_FILES)
    assert plant == "a link" or not any(folder.iterdir())


def test_one_of_ones_own_is_used_there_and_closed(stranger: Person, victim: Person, ground: Path) -> None:
    folder = ground / "gpuenv-reports"
    open_to_all = Person(victim.uid, victim.home, umask=0)
    assert report(open_to_all, ground) == ""
    assert folder.stat().st_mode & 0o777 == 0o755
    assert report(victim, ground) == ""
    assert (folder / "junit.xml").read_text() == "<new/>"
    victim.shell(f"chmod 777 {folder}")
    assert f"chmod 755 {folder}" in report(victim, ground)


def test_what_was_planted_while_it_was_open_is_not_followed(stranger: Person, victim: Person, ground: Path) -> None:
    folder, profile = ground / "gpuenv-reports", victim.home / ".bashrc"
    victim.shell(f"chmod 711 ~; echo mine > {profile}; mkdir {folder}; chmod 777 {folder}")
    stranger.shell("".join(f"ln -s {profile} {folder}/{name}; " for name in (*_FILES, ".lock", ".junit.xml.new")))
    victim.shell(f"chmod 755 {folder}")
    assert ".lock" in report(victim, ground)
    victim.shell(f"rm {folder}/.lock")
    assert report(victim, ground) == ""
    assert profile.read_text() == "mine\n"
    assert (folder / "junit.xml").read_text() == "<new/>"
