"""Environments in folders of their own: whose they are, and whether they are whole."""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from gpuenv.core import locking, paths, ui
from gpuenv.core.errors import BuildError, HostError, UsageError
from gpuenv.prefix import folder as prefixes
from gpuenv.prefix import trust
from gpuenv.prefix.folder import Content, Mark, Prefix
from gpuenv.prefix.making import Making, ensure
from gpuenv.variants.cuda_lock import CudaLock
from gpuenv.variants.environment import Environment
from gpuenv.variants.model import find_variant


def prefix_at(folder: Path, digest: str = "d1", kind: str = "venv", flavor: str = "cpu") -> Prefix:
    return prefixes.place(Content(kind, "cuda10.0", flavor, digest), folder)


def digest_of(folder: Path) -> str:
    mark = prefixes.read_mark(folder)
    return mark.content.digest if mark else ""


def fill(folder: Path) -> None:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").touch(mode=0o755)


@pytest.mark.parametrize("name", ["plain", "with blank", "파이썬 환경", "semi;colon(and)more&"])
def test_it_is_made_once_whatever_its_name(tmp_path: Path, name: str) -> None:
    prefix = prefix_at(tmp_path / name)
    calls: list[int] = []

    def make(_: Making) -> None:
        calls.append(1)
        fill(prefix.folder)

    assert ensure(prefix, make) == ensure(prefix, make) == tmp_path / name
    assert len(calls) == 1


def test_a_folder_that_is_not_ours_stays_untouched(tmp_path: Path) -> None:
    folder = tmp_path / "thesis"
    fill(folder)
    (folder / "chapter1.txt").write_text("months of work")
    before = sorted(folder.rglob("*"))
    with pytest.raises(UsageError, match="not ours") as caught:
        ensure(prefix_at(folder), lambda _: pytest.fail("it was made"))
    assert "PREFIX=" in caught.value.next_step
    assert sorted(folder.rglob("*")) == before


def test_a_file_in_its_place_stays_untouched(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(UsageError, match="not ours"):
        ensure(prefix_at(file), lambda _: pytest.fail("it was made"))
    assert file.read_text() == "mine"


def test_an_empty_folder_may_be_used(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    ensure(prefix_at(folder), lambda _: fill(folder))
    assert digest_of(folder) == "d1"


def test_one_that_was_made_from_something_else_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "e"
    ensure(prefix_at(folder), lambda _: fill(folder))
    (folder / "bin/old").touch()
    ensure(prefix_at(folder, "d2"), lambda _: fill(folder))
    assert not (folder / "bin/old").exists()
    assert digest_of(folder) == "d2"
    assert list(tmp_path.iterdir()) == [folder]


def test_if_it_cannot_be_made_anew_the_old_one_stays(tmp_path: Path) -> None:
    folder = tmp_path / "e"
    ensure(prefix_at(folder), lambda _: fill(folder))

    def fail(_: Making) -> None:
        fill(folder)
        raise BuildError("the channel is down", "why", "next")

    with pytest.raises(BuildError, match="the channel is down"):
        ensure(prefix_at(folder, "d2"), fail)
    assert prefixes.is_complete(prefix_at(folder))
    assert list(tmp_path.iterdir()) == [folder]


def test_how_to_ask_for_what_a_mark_names_is_words_alone() -> None:
    words = prefixes.Content("venv", "a; touch b", "$(touch c)", "0").words
    assert shlex.split(words) == ["ENGINE=venv", "VARIANT=a; touch b", "FLAVOR=$(touch c)"]
    assert words.count("'") == 4


@pytest.mark.parametrize("change", [{"kind": "conda"}, {"flavor": "gpu"}])
def test_one_of_another_kind_or_flavor_stays_untouched(tmp_path: Path, change: dict[str, str]) -> None:
    folder = tmp_path / "e"
    ensure(prefix_at(folder), lambda _: fill(folder))
    with pytest.raises(UsageError, match="another environment already") as caught:
        ensure(prefix_at(folder, **change), lambda _: pytest.fail("it was made"))
    assert "ENGINE=venv VARIANT=cuda10.0 FLAVOR=cpu" in caught.value.next_step
    assert prefixes.is_complete(prefix_at(folder))


def test_what_the_user_put_into_it_is_not_removed_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "e"
    ensure(prefix_at(folder), lambda _: fill(folder))
    (folder / "notebooks").mkdir()
    (folder / "notebooks/n.ipynb").write_text("months of work")
    assert ensure(prefix_at(folder), lambda _: pytest.fail("it was made")) == folder
    with pytest.raises(UsageError, match="holds what is not part of the environment: notebooks\n"):
        ensure(prefix_at(folder, "d2"), lambda _: pytest.fail("it was made"))
    assert (folder / "notebooks/n.ipynb").exists()


@pytest.mark.parametrize(("names", "said"), [("abc", "a, b, c\n"), ("abcd", r"a, b, c, \.\.\.\n")])
def test_of_many_names_three_are_said(tmp_path: Path, names: str, said: str) -> None:
    folder = tmp_path / "e"
    ensure(prefix_at(folder), lambda _: fill(folder))
    for name in names:
        (folder / name).touch()
    with pytest.raises(UsageError, match=f"not part of the environment: {said}"):
        ensure(prefix_at(folder, "d2"), lambda _: pytest.fail("it was made"))


def test_a_folder_below_the_cache_that_the_user_named_is_not_ours(tmp_path: Path) -> None:
    folder = paths.cache_dir() / "thesis"
    folder.mkdir()
    (folder / "chapter1.txt").touch()
    with pytest.raises(UsageError, match="not ours"):
        ensure(prefix_at(folder), lambda _: pytest.fail("it was made"))
    assert (folder / "chapter1.txt").exists()


def test_a_moved_one_does_not_count(tmp_path: Path) -> None:
    ensure(prefix_at(tmp_path / "e"), lambda _: fill(tmp_path / "e"))
    (tmp_path / "e").rename(tmp_path / "f")
    assert not prefixes.is_complete(prefix_at(tmp_path / "f"))


def test_a_mark_that_is_no_text_does_not_count(tmp_path: Path) -> None:
    (tmp_path / trust.COMPLETE).write_bytes(b'{"content": {"kind": "\xff"}}')
    assert prefixes.read_mark(tmp_path) is None


def test_one_whose_cuda_has_gone_does_not_count(tmp_path: Path) -> None:
    folder, library = tmp_path / "e", tmp_path / "libcudart.so.9.0"
    library.touch()

    def make(_: Making) -> list[Path]:
        fill(folder)
        (folder / "link").symlink_to(library)
        return [folder / "link"]

    ensure(prefix_at(folder), make)
    assert prefixes.is_complete(prefix_at(folder))
    library.unlink()
    assert not prefixes.is_complete(prefix_at(folder))


@pytest.mark.parametrize("name", ["a:b", "a'b", 'a"b', "a$b", "a`b", "a\\b", "a\nb"])
def test_names_that_an_environment_cannot_say_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot hold an environment"):
        prefix_at(tmp_path / name)


def test_a_folder_of_an_older_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="PREFIX is not UTF-8: b'/") as caught:
        prefix_at(tmp_path / os.fsdecode(b"\xc7\xd1"))
    assert "Python's environments take UTF-8 only" in caught.value.why
    assert caught.value.next_step == "name another folder with PREFIX="


def test_a_link_to_a_folder_is_that_folder(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "scratch")
    prefix = prefix_at(tmp_path / "link")
    ensure(prefix, lambda _: fill(tmp_path / "scratch"))
    assert prefixes.is_complete(prefix_at(tmp_path / "scratch"))
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter1.txt").touch()
    (tmp_path / "other").symlink_to(tmp_path / "thesis")
    with pytest.raises(UsageError, match="not ours"):
        ensure(prefix_at(tmp_path / "other"), lambda _: pytest.fail("it was made"))
    assert (tmp_path / "thesis/chapter1.txt").exists()


def test_without_room_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: argparse.Namespace(free=1_900_000_000))
    with pytest.raises(HostError, match="no room for") as caught:
        ensure(prefix_at(tmp_path / "e"), lambda _: pytest.fail("it was made"))
    assert caught.value.why == "1.9 GB are free there, and making it takes 2 GB"


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "e"

    def fail(_: Making) -> None:
        fill(folder)
        raise BuildError("it failed", "why", "next")

    with pytest.raises(BuildError, match="it failed"):
        ensure(prefix_at(folder), fail)
    assert not folder.exists()
    assert not list((paths.state_dir() / "environments").glob("*.begun"))


PROGRAM = """
import os, pathlib, shutil, signal, sys
from gpuenv.prefix import folder as prefixes
from gpuenv.prefix import trust
from gpuenv.prefix.making import ensure
shutil.disk_usage = lambda _: type("Room", (), {"free": 10**12})
folder, digest, where = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)
def make(making):
    making.claim()
    (folder / "bin").mkdir()
    (folder / "lib").touch()
    if where == "while it is made":
        kill()
    (folder / "bin/python").touch(mode=0o755)
if where == "before the old one is set aside":
    pathlib.Path.rename = kill
if where == "after its mark":
    write = prefixes.write_mark
    prefixes.write_mark = lambda *a: (write(*a), kill())
content = prefixes.Content("venv", "cuda10.0", "cpu", digest)
ensure(prefixes.place(content, folder), make)
"""


def kill_in(folder: Path, digest: str, where: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(folder), digest, where], check=False)
    assert done.returncode == -signal.SIGKILL


def test_after_a_kill_it_is_never_used_and_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    kill_in(folder, "d1", "while it is made")
    assert (folder / "lib").exists()
    assert not prefixes.is_complete(prefix_at(folder))
    ensure(prefix_at(folder), lambda _: fill(folder))
    assert not (folder / "lib").exists()
    assert prefixes.is_complete(prefix_at(folder))


@pytest.mark.parametrize("where", ["before the old one is set aside", "while it is made", "after its mark"])
@pytest.mark.parametrize("digest", ["d1", "d2"])
def test_a_kill_while_an_old_one_is_replaced(tmp_path: Path, where: str, digest: str) -> None:
    """Whichever is asked for next is there, whole, and nothing else is."""
    folder = tmp_path / "e"
    ensure(prefix_at(folder), lambda _: fill(folder))
    kill_in(folder, "d2", where)
    is_whole = digest_of(folder) == digest or (digest == "d1" and where != "after its mark")
    made: list[int] = []

    def make(_: Making) -> None:
        made.append(1)
        fill(folder)

    ensure(prefix_at(folder, digest), make)
    assert bool(made) is not is_whole
    assert prefixes.is_complete(prefix_at(folder, digest))
    assert list(tmp_path.iterdir()) == [folder]
    assert not list((paths.state_dir() / "environments").glob("*.begun"))


def test_after_a_kill_work_that_was_put_there_since_is_not_removed(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    kill_in(folder, "d1", "while it is made")
    (folder / "thesis.tex").touch()
    with pytest.raises(UsageError, match=r"thesis\.tex"):
        ensure(prefix_at(folder), lambda _: pytest.fail("it was made"))
    assert (folder / "thesis.tex").exists()


@pytest.mark.parametrize("has_older", [False, True])
def test_after_a_kill_an_environment_that_the_user_made_there_since_is_not_removed(
    tmp_path: Path, has_older: bool
) -> None:
    """It has the names that ours has, and no mark of ours."""
    folder = tmp_path / "killed"
    if has_older:
        ensure(prefix_at(folder), lambda _: fill(folder))
    kill_in(folder, "d2", "while it is made")
    shutil.rmtree(folder)
    fill(folder)
    (folder / "pyvenv.cfg").write_text("theirs")
    with pytest.raises(UsageError, match="not ours"):
        ensure(prefix_at(folder, "d2"), lambda _: pytest.fail("it was made"))
    assert (folder / "pyvenv.cfg").read_text() == "theirs"
    shutil.rmtree(folder)
    ensure(prefix_at(folder), lambda _: fill(folder))
    assert prefixes.is_complete(prefix_at(folder))
    assert list(tmp_path.iterdir()) == [folder]


def test_the_record_of_one_folder_says_nothing_of_another(tmp_path: Path) -> None:
    kill_in(tmp_path / "a", "d1", "while it is made")
    fill(tmp_path / "b")
    (tmp_path / "b" / "pyvenv.cfg").touch()
    ours, theirs = prefix_at(tmp_path / "a"), prefix_at(tmp_path / "b")
    assert ours.record.exists()
    assert ours.record != theirs.record
    assert ours.lock != theirs.lock
    with pytest.raises(UsageError, match="not ours"):
        ensure(theirs, lambda _: pytest.fail("it was made"))
    assert (tmp_path / "b" / "pyvenv.cfg").exists()


def test_a_folder_that_a_program_makes_is_marked_while_it_runs(tmp_path: Path) -> None:
    """As micromamba does, which makes nothing where there is a folder already."""
    folder = tmp_path / "e"
    script = f"mkdir {folder} && until [ -e {folder}/gpuenv-begun ]; do :; done"

    def make(making: Making) -> None:
        making.run(["timeout", "60", "sh", "-c", script])
        fill(folder)

    ensure(prefix_at(folder), make)
    assert sorted(path.name for path in folder.iterdir()) == ["bin", "gpuenv-complete"]


def test_what_is_removed_by_half_still_says_whose_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "e"
    ensure(prefix_at(folder), lambda _: fill(folder))

    def fail(_: Path) -> None:
        raise OSError(errno.EBUSY, "a program writes there")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", fail)
        with pytest.raises(OSError, match="a program writes there"):
            prefixes.remove(folder)
    assert prefixes.read_mark(folder) is None
    ensure(prefix_at(folder), lambda _: fill(folder))
    assert prefixes.is_complete(prefix_at(folder))


def test_programs_that_fill_it_hold_its_lock(tmp_path: Path) -> None:
    """After a kill of ours they go on for a while; nobody else may begin before they have ended."""
    folder = tmp_path / "e"
    seen: list[bool] = []

    def make(making: Making) -> None:
        making.run(["ls", "-l", "/proc/self/fd"])
        seen.append(str(making.prefix.lock) in making.prefix.log.read_text())
        fill(folder)

    ensure(prefix_at(folder), make)
    assert seen == [True]
    with locking.held(prefix_at(folder).lock, "nobody holds it any more"):
        pass


def test_what_a_killed_program_started_does_not_go_on_writing(tmp_path: Path) -> None:
    """As ensurepip does when `python -m venv` is killed: the folder would come back without our mark."""
    prefix, goes_on = prefix_at(tmp_path / "env"), tmp_path / "goes-on"
    goes_on.touch()
    writing = f"while [ -e {goes_on} ]; do mkdir -p {prefix.folder}/lib; touch {prefix.folder}/lib/x; sleep 0.01; done"
    script = f"({writing}) & until [ -e {prefix.folder}/lib/x ]; do sleep 0.01; done; kill -9 $$"
    try:
        with pytest.raises(BuildError):
            ensure(prefix, lambda making: making.run(["bash", "-c", script]))
        assert not prefix.folder.exists()
    finally:
        goes_on.unlink()


def test_what_a_killed_program_unpacked_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix, place = prefix_at(tmp_path / "env"), tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    script = f'mkdir "$TMPDIR/wheel" && find {place} -name wheel > {tmp_path}/seen; kill -9 $$'
    with pytest.raises(BuildError):
        ensure(prefix, lambda making: making.run(["bash", "-c", script]))
    assert Path((tmp_path / "seen").read_text().strip()).parent.parent == place
    assert list(place.iterdir()) == []


def test_where_nothing_can_be_written_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match="cannot be made"):
        ensure(prefix_at(tmp_path / "file" / "below"), lambda _: pytest.fail("it was made"))


@pytest.mark.parametrize("words", ["No space left on device", "Disk quota exceeded", "(os error 28)"])
def test_a_full_disk_is_told_as_one(tmp_path: Path, words: str) -> None:
    prefix = prefix_at(tmp_path / "e")
    script = f"import sys; sys.exit('ERROR: Could not install: [Errno {errno.ENOSPC}] {words}')"
    with pytest.raises(HostError, match="is full") as caught:
        ensure(prefix, lambda making: making.run([sys.executable, "-I", "-c", script]))
    assert "PREFIX=" in caught.value.next_step
    assert not prefix.folder.exists()


def test_another_failure_shows_the_end_of_the_output(tmp_path: Path) -> None:
    prefix = prefix_at(tmp_path / "e")
    with pytest.raises(BuildError, match="hashes do not match"):
        Making(prefix).run([sys.executable, "-c", "import sys; sys.exit('hashes do not match')"])


def test_a_disk_that_is_full_is_told_though_the_program_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python -m venv` only says that ensurepip failed; here the full one is the disk of the cache."""
    prefix = prefix_at(tmp_path / "e")
    free = {str(paths.cache_dir()): 4096}
    monkeypatch.setattr("shutil.disk_usage", lambda path: argparse.Namespace(free=free.get(str(path), 10**12)))
    with pytest.raises(HostError, match=f"the disk of {paths.cache_dir()} is full"):
        Making(prefix).run([sys.executable, "-c", "raise SystemExit(1)"])


def test_a_relative_prefix_is_below_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content = Content("conda", "x", "cpu", "d")
    assert prefixes.place(content, Path("env")).folder == tmp_path / "env"
    own = prefixes.place(Content("conda", "x", "gpu", "d" * 64, cuda="index"), None)
    assert own.folder == paths.cache_dir() / "condas" / f"x-gpu-index-{'d' * 12}"


MARK = """{
 "content": {
  "kind": "venv",
  "variant": "cuda10.0",
  "flavor": "cpu",
  "digest": "d1",
  "cuda": "none"
 },
 "folder": "/e",
 "entries": [
  "bin"
 ],
 "links": []
}
"""


def test_the_mark_of_earlier_versions_is_understood(tmp_path: Path) -> None:
    """After an upgrade every environment would else be somebody else's."""
    mark = Mark(Content("venv", "cuda10.0", "cpu", "d1"), "/e", ("bin",), ())
    (tmp_path / "gpuenv-complete").write_text(MARK)
    assert prefixes.read_mark(tmp_path) == mark
    prefixes.write_mark(tmp_path, mark)
    assert (tmp_path / "gpuenv-complete").read_text() == MARK
    for other in (',\n  "is_simulated": false', ""):
        (tmp_path / "gpuenv-complete").write_text(MARK.replace(',\n  "cuda": "none"', other))
        assert prefixes.read_mark(tmp_path) == mark


@pytest.mark.parametrize(
    ("flavor", "from_index", "name"),
    [("cpu", None, "cuda10.0-cpu"), ("gpu", False, "cuda10.0-gpu"), ("gpu", True, "cuda10.0-gpu-index")],
)
def test_only_what_has_stand_ins_is_called_so(flavor: str, from_index: bool | None, name: str) -> None:
    lock = None if from_index is None else CudaLock((), Path("cuda.lock.toml"), from_index)
    content = Content.of(Environment(find_variant("cuda10.0"), flavor, lock), "conda", "d1")
    assert content == Content(
        "conda", "cuda10.0", flavor, "d1", {None: "none", False: "complete", True: "index"}[from_index]
    )
    assert content.name == name
    assert content.title == f"{name} (conda)"
    assert Content("conda", "cuda10.0", "gpu", "d1").name == "cuda10.0-gpu"


@pytest.mark.parametrize(("flavor", "needed"), [("cpu", 2), ("gpu", 6)])
def test_as_much_room_as_is_needed_is_enough(
    flavor: str, needed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = prefix_at(tmp_path / "e", flavor=flavor)
    for free in (needed * 10**9, needed * 10**9 - 1):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: argparse.Namespace(free=free))
        with pytest.raises(HostError, match="no room for") if free < needed * 10**9 else contextlib.nullcontext():
            prefixes.check_room(prefix)


@pytest.mark.parametrize(("free", "is_full"), [(9_999_999, True), (10_000_000, False)])
def test_a_disk_with_less_than_10_mb_is_full(
    free: int, is_full: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: argparse.Namespace(free=free))
    assert bool(prefixes.full_place(tmp_path / "e", "it failed")) is is_full


def test_what_is_said_while_it_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "e"
    kill_in(folder, "d1", "while it is made")
    ensure(prefix_at(folder), lambda _: fill(folder))
    assert f"gpuenv: {folder} is half made; making it anew\n" in capsys.readouterr().err
    ensure(prefix_at(folder, "d2"), lambda _: fill(folder))
    assert (
        f"{folder} was made from something else, or lost what it leads to; making it anew\n" in capsys.readouterr().err
    )

    def fail(_: Making) -> None:
        raise BuildError("the channel is down", "why", "next")

    with pytest.raises(BuildError, match="the channel is down"):
        ensure(prefix_at(folder, "d3"), fail)
    assert f"gpuenv: {folder} is what it was before\n" in capsys.readouterr().err
    kill_in(folder, "d3", "while it is made")
    ensure(prefix_at(folder, "d2"), lambda _: pytest.fail("it was made"))
    assert f"{folder} is again what it was before a run that was killed\n" in capsys.readouterr().err


def test_one_of_the_cache_is_not_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asked for the old one, and two would take twice the room."""
    prefix = prefixes.place(Content("venv", "cuda10.0", "cpu", "d" * 64), None)
    ensure(prefix, lambda _: fill(prefix.folder))
    (prefix.folder / "bin/python").unlink()
    seen: list[list[Path]] = []

    def make(_: Making) -> None:
        seen.append(list(prefix.folder.parent.iterdir()))
        fill(prefix.folder)

    ensure(prefix, make)
    assert seen == [[]]


def test_the_folder_above_is_made_too(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "e"

    def make(making: Making) -> None:
        making.claim()
        (folder / "bin").mkdir()
        (folder / "bin/python").touch(mode=0o755)

    ensure(prefix_at(folder), make)
    assert prefixes.is_complete(prefix_at(folder))


def test_two_at_once_wait_for_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = prefix_at(tmp_path / "e")
    said: queue.Queue[str] = queue.Queue()
    monkeypatch.setattr(ui, "say", said.put)

    def make(_: Making) -> None:
        fill(prefix.folder)

    with locking.held(prefix.lock, None):
        waiting = threading.Thread(target=ensure, args=(prefix, make))
        waiting.start()
        assert said.get(timeout=60) == "waiting for another gpuenv that makes cuda10.0-cpu"
    waiting.join(60)
    assert prefixes.is_complete(prefix)


def test_a_program_that_fills_it_reads_nothing_and_sees_no_other_pip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = prefix_at(tmp_path / "e")
    script = "import os, sys; print(sys.stdin.read(), os.environ.get('PIP_TARGET'), os.environ['A'])"
    (tmp_path / "typed").write_text("typed")
    own = os.dup(0)
    with (tmp_path / "typed").open() as typed:
        os.dup2(typed.fileno(), 0)
        try:
            Making(prefix).run([sys.executable, "-c", script], {"PIP_TARGET": "/elsewhere", "A": "b"})
        finally:
            os.dup2(own, 0)
            os.close(own)
    assert prefix.log.read_text() == " None b\n"


def test_each_failure_is_explained_by_its_own_output(tmp_path: Path) -> None:
    prefix = prefix_at(tmp_path / "e")
    making = Making(prefix)
    making.run([sys.executable, "-c", "print('before')"])
    said: list[str] = []

    def explain(text: str) -> HostError:
        said.append(text)
        return HostError("explained", "why", "next")

    script = "import sys; sys.stdout.buffer.write(b'\\xff odd\\n'); sys.exit(1)"
    with pytest.raises(HostError, match="explained"):
        making.run([sys.executable, "-c", script], explain=explain)
    assert said == ["\ufffd odd\n"]
    with pytest.raises(BuildError, match=r"the environment could not be made \(import") as caught:
        making.run([sys.executable, "-I", "-c", script])
    assert "odd" in caught.value.why
    assert str(prefix.log) in caught.value.next_step


def test_while_it_is_made_a_record_says_where_the_older_one_stands(tmp_path: Path) -> None:
    prefix = prefix_at(tmp_path / "e", "d2")
    ensure(prefix_at(tmp_path / "e"), lambda _: fill(prefix.folder))
    seen: list[str] = []

    def make(_: Making) -> None:
        seen.append(prefix.record.read_text())
        assert digest_of(Path(json.loads(seen[0])["aside"])) == "d1"
        fill(prefix.folder)

    ensure(prefix, make)
    record = re.fullmatch(r'\{"folder": "(.*)", "aside": "(.*)"\}\n', seen[0])
    assert record
    assert record[1] == str(prefix.folder)
    assert re.fullmatch(re.escape(str(tmp_path)) + r"/\.e\.gpuenv-old-[0-9a-f]{8}", record[2])


def test_what_a_record_names_and_has_no_mark_is_not_removed(tmp_path: Path) -> None:
    prefix = prefix_at(tmp_path / "e")
    ensure(prefix, lambda _: fill(prefix.folder))
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").touch()
    prefix.record.write_text(json.dumps({"folder": str(prefix.folder), "aside": str(tmp_path / "thesis")}))
    assert ensure(prefix, lambda _: pytest.fail("it was made")) == prefix.folder
    assert (tmp_path / "thesis" / "chapter1.txt").exists()
    assert not prefix.record.exists()
