"""What is ours, and what is not."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from fakes.engine import serving
from gpuenv import clean
from gpuenv.core import locking, mounts, paths, processes, ui
from gpuenv.core.errors import EngineError, HostError, UsageError
from gpuenv.core.settings import Settings
from gpuenv.engine import private, private_daemon, reaper
from gpuenv.engine.model import Engine

OURS = {"gpuenv.project": "gpuenv", "gpuenv.owner": "1:1"}


def test_only_our_names_of_an_image_are_removed() -> None:
    tags = [
        "gpuenv:5000/course:1",
        "gpuenv:v-cpu",
        "course:2019",
        "localhost/gpuenv:v-cpu",
        "registry.example:5000/gpuenv:1",
        "gpuenv-base:1",
    ]
    assert clean.own_names(tags, "sha256:1") == ["gpuenv:v-cpu", "localhost/gpuenv:v-cpu", "gpuenv-base:1"]
    assert clean.own_names(["course:2019"], "sha256:1") == []
    assert clean.own_names([], "sha256:1") == ["sha256:1"]


@pytest.fixture
def marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that carries our mark."""
    monkeypatch.setenv("GPUENV_CACHE_DIR", str(tmp_path / "gpuenv"))
    return paths.cache_dir()


def test_only_what_is_known_is_removed(marked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (marked / "context" / "deep").mkdir(parents=True)
    (marked / "tmp-gpuenv-1-2-3-build-x").mkdir()
    (marked / "pythons.json").touch()
    (marked / "thesis.tex").touch()
    removed = clean.remove_known(marked, clean.CACHED)
    assert sorted(Path(line).name for line in removed) == ["context", "pythons.json", "tmp-gpuenv-1-2-3-build-x"]
    assert sorted(path.name for path in marked.iterdir()) == ["checkouts", "thesis.tex"]
    assert f"{marked} stays: it holds what gpuenv did not make (thesis.tex)" in capsys.readouterr().err


def test_a_folder_that_is_empty_then_goes_too(marked: Path) -> None:
    (marked / "logs").mkdir()
    clean.remove_known(marked, clean.KEPT)
    assert not marked.exists()


def test_nothing_is_removed_where_our_mark_is_not(tmp_path: Path) -> None:
    (tmp_path / "checkouts" / "mine").mkdir(parents=True)
    (tmp_path / "logs").mkdir()
    assert clean.remove_known(tmp_path, clean.KEPT) == []
    assert (tmp_path / "logs").exists()


def test_a_folder_that_is_a_link_stays(marked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (marked / "logs").mkdir()
    link = marked.parent / "link"
    link.symlink_to(marked)
    assert clean.remove_known(link, clean.KEPT) == []
    assert (marked / "logs").exists()
    assert f"{link} stays" in capsys.readouterr().err


def test_what_is_left_of_a_folder_of_others_is_still_known_as_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPUENV_CACHE_DIR", str(tmp_path / "c"))
    (paths.cache_dir() / "thesis.tex").touch()
    clean.remove_known(tmp_path / "c", clean.CACHED)
    assert paths.is_marked(tmp_path / "c")
    assert (paths.cache_dir() / "thesis.tex").exists()


def test_a_link_is_removed_and_not_followed(tmp_path: Path, marked: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").touch()
    (marked / "sources").symlink_to(tmp_path / "elsewhere")
    clean.remove_known(marked, clean.CACHED)
    assert (tmp_path / "elsewhere" / "file").exists()
    assert not marked.exists()


def test_what_has_something_mounted_stays(
    marked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("engine", "logs"):
        (marked / name).mkdir()
    monkeypatch.setattr(mounts, "find_below", lambda path: [path] if path.name == "engine" else [])
    assert clean.remove_known(marked, clean.KEPT) == [str(marked / "logs")]
    assert "something is mounted" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["base.lock", "images/gpuenv-v-cpu.lock", "engine/lock", "sources/abc/lock"])
def test_nothing_is_removed_while_another_is_at_work(tmp_path: Path, name: str) -> None:
    clean.refuse_busy(tmp_path)
    with (
        locking.held(tmp_path / name, "waiting"),
        pytest.raises(
            HostError, match=rf"^nothing was removed\n  cause: another gpuenv is at work \({Path(name).name}\)\n"
        ),
    ):
        clean.refuse_busy(tmp_path)
    clean.refuse_busy(tmp_path)


def test_every_place_that_the_code_uses_is_known() -> None:
    """Whatever a module keeps in the state or the cache folder has to be in the lists of `clean`."""
    found: dict[str, set[str]] = {"state_dir": set(), "cache_dir": set()}
    for path in Path(clean.__file__).parent.rglob("*.py"):
        text = path.read_text()
        assert not re.search(r'paths\.(state_dir|cache_dir)\(\) / (?!f?")', text), (
            f"{path}: a constant would hide it here"
        )
        for name, place in re.findall(r'paths\.(state_dir|cache_dir)\(\) / "([^"]+)"', text):
            found[name].add(place)
    assert found["state_dir"]
    assert found["state_dir"] <= set(clean.KEPT)
    assert found["cache_dir"]
    assert found["cache_dir"] <= set(clean.CACHED)


def test_a_no_is_a_no(monkeypatch: pytest.MonkeyPatch) -> None:
    (paths.cache_dir() / "sources").mkdir()
    monkeypatch.setattr(ui, "confirm", lambda _: False)
    with pytest.raises(UsageError, match=r"^nothing was removed\n  cause: the answer was no\n"):
        clean.run(Settings(engine="venv"))
    assert (paths.cache_dir() / "sources").exists()


def shared_by_another_checkout(tmp_path: Path) -> Path:
    """A download in a cache folder that another checkout uses, too."""
    download = paths.cache_dir() / "sources" / "archive"
    download.mkdir(parents=True)
    (tmp_path / "other" / "envs").mkdir(parents=True)
    for root in (tmp_path / "other", tmp_path / "removed-since"):
        with pytest.MonkeyPatch.context() as there:
            there.setattr(paths, "project_root", lambda root=root: root)
            paths.cache_dir()
    return download


def test_without_a_terminal_what_others_use_needs_a_yes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    download = shared_by_another_checkout(tmp_path)
    monkeypatch.setattr(ui, "is_interactive", lambda: False)
    with pytest.raises(UsageError, match="nothing was removed") as caught:
        clean.run(Settings(engine="venv"))
    assert f"used by {tmp_path / 'other'}, too" in caught.value.why
    assert "YES=1" in caught.value.next_step
    assert download.exists()
    assert clean.run(Settings(engine="venv", yes=True)) == 0
    assert not download.exists()
    assert "no terminal" not in capsys.readouterr().err


def test_on_a_terminal_the_question_names_who_else_uses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared_by_another_checkout(tmp_path)
    monkeypatch.setattr(ui, "is_interactive", lambda: True)
    asked: list[str] = []
    monkeypatch.setattr(ui, "confirm", lambda deed: asked.insert(0, deed))
    with pytest.raises(UsageError, match="nothing was removed"):
        clean.run(Settings(engine="venv"))
    assert asked[0].endswith(f"private engine (the downloads and environments are used by {tmp_path / 'other'}, too)")


def test_a_question_without_anybody_else_has_no_reason_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(ui, "confirm", lambda deed: asked.insert(0, deed))
    with pytest.raises(UsageError, match="nothing was removed"):
        clean.run(Settings(engine="venv"))
    assert asked[0].endswith("downloads and private engine")


def test_what_is_in_a_private_engine_that_does_not_run_is_not_known() -> None:
    assert clean.shared_with() == []
    private_daemon.folders().data.mkdir(parents=True)
    assert "does not run" in clean.shared_with()[0]


def test_without_any_engine_the_folders_are_cleaned(capsys: pytest.CaptureFixture[str]) -> None:
    cache, state = paths.cache_dir(), paths.state_dir()
    (cache / "sources").mkdir()
    (state / "logs").mkdir()
    assert clean.run(Settings(engine="venv")) == 0
    assert not cache.exists()
    assert not state.exists()
    said = capsys.readouterr().err
    assert "no terminal to ask on, so this goes ahead: remove gpuenv's" in said
    assert f"removed {cache / 'sources'}" in said


def test_nothing_is_removed_from_an_engine_under_an_open_shell() -> None:
    clean.refuse_open(["1:1", f"{os.getpid()}:1", "no number"])
    with pytest.raises(HostError, match="nothing was removed"):
        clean.refuse_open([f"{os.getpid()}:{processes.start_time(os.getpid())}"])


def test_of_an_engine_only_ours_is_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = f"gpuenv-keras-{os.getuid()}"
    with serving(tmp_path) as fake:
        # What a filter asks for is the engine's to leave out.
        containers = [{"Id": id_, "Names": [name], "Labels": OURS} for id_, name in (("1", "/left"), ("2", "/ended"))]
        fake.answers["GET /containers/json"] = lambda *_: (200, containers)
        fake.answers["DELETE /containers/2"] = lambda *_: (404, {"message": "it ended by itself"})
        images = [{"Id": "sha256:1", "RepoTags": ["gpuenv:v-cpu", "course:2019"]}, {"Id": "sha256:2", "RepoTags": None}]
        fake.answers["GET /images/json"] = lambda *_: (200, images)
        volumes = {"Volumes": [{"Name": own, "Labels": OURS}, {"Name": "gpuenv-keras-1", "Labels": OURS}]}
        fake.answers["GET /volumes"] = lambda *_: (200, volumes)
        fake.answers["DELETE /images/sha256%3A2"] = lambda *_: (409, {"message": "it is in use"})
        fake.answers["DELETE /volumes/"] = lambda *_: (404, {"message": "it is gone"})
        fake.answers["DELETE /"] = lambda *_: (200, [])
        assert clean.clean_engine(fake.engine) == ["container left", "image gpuenv:v-cpu"]
        deleted = [request for request in fake.asked if request.startswith("DELETE")]
        asked = [unquote(request) for request in fake.asked if request.startswith("GET")]
    project, owner, host = "gpuenv.project=gpuenv", "gpuenv.owner", f"gpuenv.host={reaper.host_id()}"
    assert [re.findall(r'"(gpuenv[^"]+)"', request) for request in asked] == [
        # Also those of clocks that nobody is on any more.
        ["gpuenv.owner", "gpuenv.host"],
        [project, owner, host],
        [project],
        [project],
    ]
    # Those that have ended, too.
    assert "all=" in asked[0]
    assert deleted == [
        "DELETE /containers/1?force=1&v=1",
        "DELETE /containers/2?force=1&v=1",
        "DELETE /images/gpuenv%3Av-cpu",
        "DELETE /images/sha256%3A2",
        f"DELETE /volumes/{own}",
    ]
    said = capsys.readouterr().err
    assert "image sha256:2 stays: it is in use" in said
    assert "volume gpuenv-keras-1 stays" in said
    assert "the build cache of" in said


def test_a_volume_of_ours_is_listed_as_removed(tmp_path: Path) -> None:
    own = f"gpuenv-keras-{os.getuid()}"
    with serving(tmp_path) as fake:
        fake.answers["GET /containers/json"] = fake.answers["GET /images/json"] = lambda *_: (200, [])
        fake.answers["GET /volumes"] = lambda *_: (200, {"Volumes": [{"Name": own, "Labels": OURS}]})
        fake.answers["DELETE /"] = lambda *_: (204, None)
        assert clean.clean_engine(fake.engine) == [f"volume {own}"]


def test_an_engine_without_anything_of_ours_is_not_spoken_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(tmp_path) as fake:
        fake.answers["GET /containers/json"] = fake.answers["GET /images/json"] = lambda *_: (200, [])
        fake.answers["GET /volumes"] = lambda *_: (200, {"Volumes": None})
        assert clean.clean_engine(fake.engine) == []
    assert capsys.readouterr().err == ""


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the private engine's record was still there, each time that the engine was stopped."""
    seen: list[bool] = []

    def stop() -> bool:
        seen.append(private_daemon.folders().record.exists())
        return seen[-1]

    monkeypatch.setattr(private, "stop", stop)
    return seen


@pytest.mark.parametrize("has_record", [True, False])
def test_the_private_engine_is_stopped_before_its_folder_goes(
    has_record: bool, stopped: list[bool], capsys: pytest.CaptureFixture[str]
) -> None:
    record = private_daemon.folders().record
    record.parent.mkdir(parents=True)
    if has_record:
        record.touch()
    assert clean.run(Settings(engine="venv", yes=True)) == 0
    assert stopped == ([True] if has_record else [])
    said = capsys.readouterr().err
    assert ("removed the private engine\n" in said) is has_record
    assert f"removed {record.parent}\n" in said
    assert "nothing to remove" not in said
    assert not record.parent.exists()


def test_where_there_is_nothing_it_is_said(stopped: list[bool], capsys: pytest.CaptureFixture[str]) -> None:
    assert clean.run(Settings(engine="venv", yes=True)) == 0
    assert capsys.readouterr().err == "gpuenv: there was nothing to remove\n"
    assert stopped == []


def test_all_engines_that_answer_are_cleaned_and_the_private_one_goes_as_a_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    docker, podman = (Engine(kind, f"unix:///run/{kind}.sock", "it answers") for kind in ("docker", "podman"))
    private_one = Engine("docker", private_daemon.folders().url, "it answers")
    engines: dict[str, Engine | None] = {"docker": docker, "podman": podman}

    def find(kind: str | None) -> Engine | None:
        if engines[str(kind)] is None:
            raise EngineError("none", "why", "next")
        return engines[str(kind)]

    monkeypatch.setattr(clean, "find_engine", find)
    monkeypatch.setattr(clean, "clean_engine", lambda engine: [f"image of {engine.url}"])
    for request, expected in (
        (None, [docker, podman]), ("auto", [docker, podman]), ("docker", [docker]), ("podman", [podman]), ("venv", []),
    ):  # fmt: skip
        assert list(clean._running_engines(request)) == expected
    engines["docker"] = None
    assert list(clean._running_engines(None)) == [podman]
    engines["docker"] = private_one
    assert list(clean._running_engines(None)) == [podman]
    (paths.cache_dir() / "sources").mkdir()
    engines["docker"] = docker
    assert clean.run(Settings(engine="podman", yes=True)) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"gpuenv: removed image of {podman.url}"
    assert len(said) == 2


def test_everybody_who_shares_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared_by_another_checkout(tmp_path)
    monkeypatch.setattr(private, "running", lambda: private_daemon.Daemon(1, 1, "unix:///run/x.sock"))
    monkeypatch.setattr(clean, "foreign_in", lambda _: ["container x"])
    assert [re.findall("other|container x", line) for line in clean.shared_with()] == [["other"], ["container x"]]


@pytest.mark.parametrize("foreign", [["container x", "volume y"], []])
def test_what_is_in_a_private_engine_that_runs_is_asked(foreign: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = private_daemon.Daemon(1, 1, "unix:///run/x.sock")
    monkeypatch.setattr(private, "running", lambda: daemon)
    monkeypatch.setattr(clean, "foreign_in", lambda engine: foreign if engine == daemon.engine else pytest.fail("who?"))
    assert clean.shared_with() == (
        ["the private engine holds what gpuenv did not make: container x, volume y"] if foreign else []
    )


def test_what_somebody_put_into_the_private_engine_is_named(tmp_path: Path) -> None:
    with serving(tmp_path) as fake:
        boxes = [{"Names": ["/ours"], "Labels": OURS}, {"Names": ["/theirs"], "Labels": None}]
        fake.answers["GET /containers/json"] = lambda *_: (200, boxes)
        images = [{"RepoTags": ["gpuenv:v-cpu", "course:2019"]}, {"RepoTags": ["<none>:<none>"]}]
        fake.answers["GET /images/json"] = lambda *_: (200, images)
        fake.answers["GET /volumes"] = lambda *_: (
            200,
            {"Volumes": [{"Name": "data", "Labels": None}, {"Name": "gpuenv-keras-0", "Labels": OURS}]},
        )
        assert clean.foreign_in(fake.engine) == ["container theirs", "image course:2019", "volume data"]


def test_what_somebody_put_beside_ours_is_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is called like something of ours may be that person's, too."""
    monkeypatch.setenv("GPUENV_STATE_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("GPUENV_CACHE_DIR", str(tmp_path / "data"))
    for name in ("images", "sources", ".snapshot", "tmp-gpuenv-0-1-2-x"):
        (paths.state_dir() / name).mkdir()
    assert clean.shared_with() == []
    (tmp_path / "data" / "tmp-mine").mkdir()
    assert clean.shared_with() == [f"{tmp_path / 'data'} holds what gpuenv did not make: tmp-mine"]
