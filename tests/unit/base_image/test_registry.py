from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest
import requests

from fakes.doctor import write_script
from fakes.engine import serving
from gpuenv.base_image import registry
from gpuenv.core.errors import EngineError, SourceError
from gpuenv.engine.model import Engine
from gpuenv.net import questions
from gpuenv.variants.model import BaseImage

BASE = BaseImage("python:3.6-slim", "sha256:" + "a" * 64)


@contextmanager
def answering(status: int) -> Iterator[str]:
    """A registry on loopback that answers everything with ``status``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("status", [200, 401, 404])
def test_a_registry_that_answers_is_reachable_whatever_it_says(status: int) -> None:
    with answering(status) as url:
        assert registry.probe(url) is None


def test_a_closed_port_is_unreachable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        reason = registry.probe(f"http://127.0.0.1:{unused.getsockname()[1]}")
    assert reason is not None
    assert "refused" in reason


def test_a_silent_registry_costs_no_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "AGAIN_S", ())
    monkeypatch.setattr(questions, "ANSWERS_S", 0.1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        reason = registry.probe(f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert reason is not None
    assert "no answer in time" in reason


@pytest.mark.parametrize(
    ("reference", "url", "name"),
    [
        ("python:3.6-slim", registry.DEFAULT_REGISTRY, "python"),
        ("team/python:3.6", registry.DEFAULT_REGISTRY, "team/python"),
        ("images.example.org/python:3.6", "https://images.example.org", "images.example.org/python"),
        ("localhost:5000/python:3.6", "https://localhost:5000", "localhost:5000/python"),
        ("localhost/python:3.6", "https://localhost", "localhost/python"),
    ],
)
def test_the_registry_of_a_name_is_found_by_the_engines_rule(reference: str, url: str, name: str) -> None:
    assert registry.split_name(reference) == (url, name)


@pytest.mark.parametrize(
    "message",
    [
        "Get https://registry-1.docker.io/v2/: dial tcp: lookup registry-1.docker.io: no such host",
        "net/http: request canceled (Client.Timeout exceeded while awaiting headers)",
        "dial tcp 192.0.2.1:443: connect: connection refused",
        "x509: certificate signed by unknown authority",
        "proxyconnect tcp: dial tcp: lookup proxy: no such host",
        "received unexpected HTTP status: 503 Service Unavailable",
    ],
)
def test_a_way_that_fails_is_no_refusal(message: str) -> None:
    assert isinstance(registry.pull_error(BASE, message), registry.RegistryUnreachableError)


@pytest.mark.parametrize(
    "message",
    [
        "manifest for python@sha256:aaaa not found: manifest unknown: manifest unknown",
        "pull access denied for python, repository does not exist or may require 'docker login'",
        "unauthorized: incorrect username or password",
        "toomanyrequests: You have reached your pull rate limit",
        "no space left on device",
    ],
)
def test_an_answer_that_says_no_is_an_error(message: str) -> None:
    error = registry.pull_error(BASE, message)
    assert isinstance(error, SourceError)
    assert message in error.why
    assert BASE.pinned in error.what


def test_an_image_is_known_by_its_digest(tmp_path: Path) -> None:
    with serving(tmp_path) as fake:
        assert not registry.has_pinned(fake.engine, BASE)
        fake.answers[f"GET /images/python%40{quote(BASE.digest)}/json"] = lambda _rest, _body: (200, {"Id": "x"})
        assert registry.has_pinned(fake.engine, BASE)


def test_an_engine_in_trouble_is_not_taken_for_a_missing_image(tmp_path: Path) -> None:
    with serving(tmp_path) as fake:
        fake.answers["GET /images/"] = lambda _rest, _body: (500, {"message": "layer store is broken"})
        with pytest.raises(EngineError, match="layer store is broken"):
            registry.has_pinned(fake.engine, BASE)


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"RegistryConfig": {"Mirrors": ["https://m/"]}}, True),
        ({"HttpsProxy": "http://p:3128"}, True),
        ({"RegistryConfig": {"Mirrors": []}, "HttpProxy": ""}, False),
        ({"RegistryConfig": None}, False),
        ({}, False),
    ],
)
def test_an_engine_with_a_way_of_its_own_is_known(info: dict[str, object], *, expected: bool) -> None:
    assert registry.has_detour(Engine("docker", "unix:///x", "a test"), info) is expected
    assert registry.has_detour(Engine("docker", "tcp://far:2376", "a test"), info)


def test_a_certificate_that_this_python_does_not_know_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_settings: object) -> None:
        raise requests.exceptions.SSLError("self-signed certificate in certificate chain")

    monkeypatch.setattr(questions, "_connect", lambda _url: None)
    monkeypatch.setattr(requests, "head", refuse)
    assert registry.probe("https://registry.invalid") is None


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ('{"credsStore": "desktop.exe"}', "docker-credential-desktop.exe not installed"),
        ('{"credHelpers": {"https://index.docker.io/v1/": "gone"}}', "docker-credential-gone not installed"),
        ('{"credsStore": "sad"}', "exited with"),
        ('{"credsStore": "garbage"}', "Expecting value"),
        ('{"credHelpers": ["gone"]}', "no attribute"),
        ('{"auths": {}}', ""),
    ],
)
def test_a_helper_for_logins_that_fails_does_not_keep_a_public_image_away(
    settings: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text(settings)
    write_script(tmp_path / "docker-credential-sad", "echo locked; exit 1")
    write_script(tmp_path / "docker-credential-garbage", "echo locked")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with serving(tmp_path) as fake:
        fake.answers["POST /images/create"] = lambda *_: (200, {"status": "Pull complete"})
        registry.pull(fake.engine, BASE)
    said = capsys.readouterr().err
    assert ("pulling without a login" in said) is bool(why)
    assert why in said
    assert "UserWarning" not in said


@pytest.mark.parametrize(
    "settings",
    [
        *("[]", '{"auths": ["x"]}', '{"auths": {"x": "y"}}', '{"auths": {"x": {"auth": "!"}}}'),
        *('{"HttpHeaders": "x"}', '{"HttpHeaders": {"x": 1}}', '{"proxies": "x"}', '{"proxies": {"default": "x"}}'),
    ],
)
def test_settings_that_dockers_library_cannot_read_are_named(
    settings: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text(settings)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with (
        serving(tmp_path) as fake,
        pytest.raises(EngineError, match="Docker's settings in") as caught,
    ):
        registry.pull(fake.engine, BASE)
    assert str(tmp_path / "config.json") in caught.value.what
