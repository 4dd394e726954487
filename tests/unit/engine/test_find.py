from __future__ import annotations

from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import pytest

from fakes.engine import PODMAN, serving
from gpuenv.core import ui
from gpuenv.core.errors import EngineError
from gpuenv.core.settings import Settings
from gpuenv.engine import command as engine_command
from gpuenv.engine import find as engine
from gpuenv.engine import private
from gpuenv.engine.endpoints import Endpoint
from gpuenv.engine.model import Engine
from gpuenv.engine.private_daemon import Daemon

PRIVATE = Daemon(1, 2, "unix:///run/private.sock", "bridge", "1.41")


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Where engines are looked for; nothing real is reached, and a private engine cannot be started."""
    known = SimpleNamespace(docker=[], podman=[])
    monkeypatch.setattr(engine, "docker_endpoints", lambda: iter(known.docker))
    monkeypatch.setattr(engine, "podman_endpoints", lambda: iter(known.podman))
    monkeypatch.setattr(private, "running", lambda: None)
    monkeypatch.setattr(private, "obstacle", lambda: "a private engine needs root")
    return known


@pytest.fixture
def can_start(monkeypatch: pytest.MonkeyPatch, places: SimpleNamespace) -> list[str]:
    """A machine on which a private engine can be started; returns what was done."""
    done: list[str] = []

    def install() -> bool:
        done.append("install")
        return False

    def start() -> Daemon:
        done.append("start")
        return PRIVATE

    monkeypatch.setattr(private, "obstacle", lambda: None)
    monkeypatch.setattr(private, "install", install)
    monkeypatch.setattr(private, "start", start)
    return done


def test_auto_takes_a_docker_daemon_that_answers_without_a_word(
    places: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(tmp_path) as fake:
        places.docker = [Endpoint(f"unix://{tmp_path}/none", "nothing"), Endpoint(fake.url, "its usual socket")]
        found = engine.find_engine(None)
    assert found is not None
    assert (found.kind, found.url, found.api_version, found.network) == ("docker", fake.url, "1.41", "bridge")
    assert capsys.readouterr().err == ""


def test_an_engine_that_the_user_named_and_that_is_gone_is_told(
    places: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(tmp_path) as fake:
        gone = Endpoint(f"unix://{tmp_path}/gone", "DOCKER_HOST", undo="unset DOCKER_HOST")
        places.docker = [gone, Endpoint(fake.url, "its usual socket")]
        assert engine.find_engine("auto") is not None
    assert "DOCKER_HOST names an engine that does not answer" in capsys.readouterr().err


@pytest.mark.parametrize("is_private", [False, True])
def test_a_podman_that_the_user_named_and_that_is_gone_is_told_where_another_engine_is_used(
    places: SimpleNamespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    is_private: bool,
) -> None:
    usual = Endpoint(f"unix://{tmp_path}/usual", "Podman's socket")
    places.podman = [Endpoint(f"unix://{tmp_path}/gone", "CONTAINER_HOST", undo="unset CONTAINER_HOST"), usual]
    with serving(tmp_path) as fake:
        if is_private:
            monkeypatch.setattr(private, "running", lambda: PRIVATE)
        else:
            places.docker = [Endpoint(fake.url, "its usual socket")]
        found = engine.find_engine(None)
        refused, taken = islice(engine.candidates(), 2)
    assert found == taken
    assert isinstance(refused, engine.Refused)
    assert refused.endpoint.undo == "unset CONTAINER_HOST"
    said = capsys.readouterr().err
    assert said.count("CONTAINER_HOST names an engine that does not answer") == 1
    assert "usual" not in said


def test_auto_prefers_the_private_engine_that_runs_to_podman(
    places: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(private, "running", lambda: PRIVATE)
    with serving(tmp_path, PODMAN) as fake:
        places.podman = [Endpoint(fake.url, "Podman's socket")]
        found = engine.find_engine(None)
    assert found is not None
    assert found.kind == "private"
    assert "no Docker daemon answers" in capsys.readouterr().err


def test_auto_takes_podman_and_says_why(
    places: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(tmp_path, PODMAN) as fake:
        places.docker = [Endpoint(f"unix://{tmp_path}/none", "its usual socket")]
        places.podman = [Endpoint(fake.url, "Podman's socket")]
        found = engine.find_engine(None)
    assert found is not None
    assert found.kind == "podman"
    said = capsys.readouterr().err
    assert f"{tmp_path}/none is not there" in said
    assert "using Podman" in said


def test_the_reason_is_given_once_in_an_engines_life(
    places: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said() -> str:
        engine.find_engine(None)
        return capsys.readouterr().err

    for _ in range(2):
        places.docker = []
        with serving(tmp_path, PODMAN) as fake:
            places.podman = [Endpoint(fake.url, "Podman's socket")]
            assert "no Docker daemon answers" in said()
            assert said() == said() == f"gpuenv: using Podman at {fake.url} (Podman's socket)\n"
            # Another reason is news.
            places.docker = [Endpoint(f"unix://{tmp_path}/none", "its usual socket")]
            assert "none is not there" in said()
        fake.path.unlink()


def test_auto_starts_a_private_engine_where_there_is_none(
    can_start: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = engine.find_engine(None)
    assert found is not None
    assert (found.kind, found.url) == ("private", PRIVATE.url)
    assert can_start == ["install", "start"]
    assert "using the private engine" in capsys.readouterr().err


def test_a_daemon_that_the_installation_started_is_taken(
    can_start: list[str], places: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path) as fake:

        def install() -> bool:
            places.docker = [Endpoint(fake.url, "its usual socket")]
            return True

        monkeypatch.setattr(private, "install", install)
        found = engine.find_engine(None)
    assert found is not None
    assert found.kind == "docker"
    assert can_start == []


def test_installing_can_be_forbidden(
    can_start: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GPUENV_INSTALL_ENGINE", "0")
    assert engine.find_engine(None) is None
    assert can_start == []
    assert "GPUENV_INSTALL_ENGINE=0 forbids" in capsys.readouterr().err


def test_on_a_terminal_a_no_is_respected(
    can_start: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ui, "confirm", lambda question: False)
    assert engine.find_engine(None) is None
    assert can_start == []
    assert "declined" in capsys.readouterr().err


def test_a_private_engine_that_does_not_start_leads_to_the_venv(
    can_start: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> Daemon:
        raise EngineError("the private Docker daemon ended", "no rights", "see the log")

    monkeypatch.setattr(private, "start", fail)
    assert engine.find_engine(None) is None
    said = capsys.readouterr().err
    assert "no rights" in said
    assert "an environment of this machine" in said


def test_without_any_engine_it_is_a_venv_and_all_reasons_are_told(
    places: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    places.docker = [Endpoint("unix:///d.sock", "x")]
    places.podman = [Endpoint("unix:///p.sock", "x")]
    assert engine.find_engine("auto") is None
    said = capsys.readouterr().err
    for part in (
        "/d.sock is not there",
        "/p.sock is not there",
        "needs root",
        "an environment of this machine",
        "DOCKER_HOST",
    ):
        assert part in said


def test_a_denied_socket_comes_with_the_ways_out(
    places: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("gpuenv.engine.endpoints._UnixConnection.connect", refuse)
    places.docker = [Endpoint("unix:///d.sock", "x")]
    assert engine.find_engine(None) is None
    said = capsys.readouterr().err
    assert "permission denied on /d.sock" in said
    assert "group docker" in said
    assert "rootless" in said


def test_venv_is_taken_without_looking(places: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    assert engine.find_engine("venv") is None
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("request_", "other"), [("docker", "Podman"), ("podman", "Docker")])
def test_an_engine_that_was_asked_for_is_not_replaced(
    places: SimpleNamespace, tmp_path: Path, request_: str, other: str
) -> None:
    from fakes.engine import DOCKER

    with serving(tmp_path, PODMAN if other == "Podman" else DOCKER) as fake:
        places.docker = places.podman = [Endpoint(fake.url, "x")]
        with pytest.raises(EngineError) as caught:
            engine.find_engine(request_)
    assert f"ENGINE={request_}" in caught.value.what
    assert f"is {other}" in caught.value.why
    assert ("DOCKER_HOST" in caught.value.next_step) == (request_ == "docker")
    assert ("start Podman's service" in caught.value.next_step) == (request_ == "podman")
    assert ("CONTAINER_HOST" in caught.value.next_step) == (request_ == "podman")


def test_a_private_engine_that_was_asked_for_says_what_is_missing(places: SimpleNamespace) -> None:
    with pytest.raises(EngineError, match="needs root"):
        engine.find_engine("private")


def test_the_client_speaks_the_version_of_the_ping_and_asks_for_no_other(tmp_path: Path) -> None:
    with serving(tmp_path) as fake:
        with Engine("docker", fake.url, "a test", "1.41").sdk() as client:
            assert client.api.api_version == "1.41"
        assert fake.asked == []


def test_the_engine_command_prints_one_line_for_the_shell(
    places: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(tmp_path) as fake:
        info = {"ServerVersion": "20.10.24", "Driver": "overlay2", "DockerRootDir": "/data"}
        fake.answers["GET /info"] = lambda _rest, _body: (200, info)
        places.docker = [Endpoint(fake.url, "its usual socket")]
        assert engine_command.run(Settings(verb="engine")) == 0
    said = capsys.readouterr()
    assert said.out == f"export DOCKER_HOST={fake.url}\n"
    for part in ("20.10.24", "overlay2", "/data", "its usual socket"):
        assert part in said.err


def test_the_engine_command_fails_without_an_engine(places: SimpleNamespace) -> None:
    with pytest.raises(EngineError, match="no container engine"):
        engine_command.run(Settings(verb="engine"))
