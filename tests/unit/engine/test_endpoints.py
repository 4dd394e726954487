from __future__ import annotations

import hashlib
import json
import socket
from pathlib import Path

import pytest

from fakes.engine import PODMAN, serving
from gpuenv.engine.endpoints import (
    DENIED,
    Endpoint,
    Pong,
    UnreachableError,
    client_proxies,
    docker_endpoints,
    ping,
    podman_endpoints,
)


def urls(environ: dict[str, str], home: Path) -> list[str]:
    return [endpoint.url for endpoint in docker_endpoints(environ, home)]


def make_context(home: Path, name: str, host: str, *, tls: bool = False) -> None:
    key = hashlib.sha256(name.encode()).hexdigest()
    meta = home / ".docker" / "contexts" / "meta" / key / "meta.json"
    meta.parent.mkdir(parents=True)
    meta.write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host}}}))
    (home / ".docker" / "config.json").write_text(json.dumps({"currentContext": name}))
    if tls:
        (home / ".docker" / "contexts" / "tls" / key / "docker").mkdir(parents=True)


def test_the_usual_places_are_asked_in_the_clients_order(tmp_path: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": "/run/user/7"}
    assert urls(environ, tmp_path) == [
        "unix:///var/run/docker.sock",
        "unix:///run/user/7/docker.sock",
        f"unix://{tmp_path}/.docker/run/docker.sock",
    ]


def test_docker_host_comes_before_the_context(tmp_path: Path) -> None:
    make_context(tmp_path, "far", "tcp://far:2376")
    first = next(docker_endpoints({"DOCKER_HOST": "unix:///x.sock"}, tmp_path))
    assert (first.url, first.undo) == ("unix:///x.sock", "unset DOCKER_HOST")
    assert "tcp://far:2376" not in urls({"DOCKER_HOST": "unix:///x.sock"}, tmp_path)


def test_the_current_context_is_read_with_its_certificates(tmp_path: Path) -> None:
    make_context(tmp_path, "far", "tcp://far:2376", tls=True)
    first = next(docker_endpoints({}, tmp_path))
    assert (first.url, first.undo) == ("tcp://far:2376", "docker context use default")
    assert first.tls_dir is not None
    assert first.tls_dir.is_dir()


def test_docker_context_names_another_context(tmp_path: Path) -> None:
    make_context(tmp_path, "near", "unix:///near.sock")
    make_context(tmp_path, "far", "tcp://far:2375")
    first = next(docker_endpoints({"DOCKER_CONTEXT": "near"}, tmp_path))
    assert (first.url, first.undo) == ("unix:///near.sock", "unset DOCKER_CONTEXT")


@pytest.mark.parametrize("content", ["", "{}", '{"currentContext": "default"}'])
def test_a_configuration_without_a_context_means_the_usual_places(tmp_path: Path, content: str) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text(content)
    assert urls({}, tmp_path)[0] == "unix:///var/run/docker.sock"
    assert urls({"DOCKER_CONTEXT": "default", "DOCKER_CONFIG": f"{tmp_path}/none"}, tmp_path)[0].startswith("unix://")


@pytest.mark.parametrize(
    ("content", "context", "undo"),
    [
        ("{}", "gone", "unset DOCKER_CONTEXT"),
        ('{"currentContext": "gone"}', "", "docker context use default"),
        ('{"currentContext": ["gone"]}', "", "docker context use default"),
    ],
)
def test_a_context_that_is_gone_is_an_engine_that_does_not_answer(
    tmp_path: Path, content: str, context: str, undo: str
) -> None:
    config = tmp_path / ".docker" / "config.json"
    config.parent.mkdir()
    config.write_text(content)
    first = next(docker_endpoints({"DOCKER_CONTEXT": context}, tmp_path))
    assert first.undo == undo
    with pytest.raises(UnreachableError, match=r"there is no context .*gone.* in "):
        ping(first)


@pytest.mark.parametrize("content", ["{", "[]", "null", "\0"])
def test_a_configuration_that_docker_cannot_read_is_told_as_such(tmp_path: Path, content: str) -> None:
    config = tmp_path / "config.json"
    config.write_text(content)
    first = next(docker_endpoints({"DOCKER_CONFIG": str(tmp_path)}, tmp_path))
    assert first.undo == f"correct {config}"
    with pytest.raises(UnreachableError, match=rf"{config} cannot be read \("):
        ping(first)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"Endpoints": []}', '{"Endpoints": {"docker": {}}}'])
def test_a_broken_context_is_an_engine_that_does_not_answer(tmp_path: Path, content: str) -> None:
    make_context(tmp_path, "far", "tcp://far:2376")
    next(tmp_path.glob(".docker/contexts/meta/*/meta.json")).write_text(content)
    first = next(docker_endpoints({}, tmp_path))
    assert (first.origin, first.undo) == ("context 'far'", "docker context use default")
    with pytest.raises(UnreachableError, match="cannot be read"):
        ping(first)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"DOCKER_HOST": "tcp://h:2376", "DOCKER_CERT_PATH": "/c"}, "/c"),
        ({"DOCKER_HOST": "tcp://h:2376", "DOCKER_TLS_VERIFY": "1"}, "HOME/.docker"),
        ({"DOCKER_HOST": "tcp://h:2375"}, None),
        ({"DOCKER_HOST": "unix:///x", "DOCKER_TLS_VERIFY": "1"}, None),
    ],
)
def test_certificates_belong_to_tcp_only(tmp_path: Path, environ: dict[str, str], expected: str | None) -> None:
    found = next(docker_endpoints(environ, tmp_path)).tls_dir
    assert (str(found).replace(str(tmp_path), "HOME") if found else None) == expected


def test_podmans_own_socket_comes_first() -> None:
    found = [endpoint.url for endpoint in podman_endpoints({"XDG_RUNTIME_DIR": "/run/user/7"})]
    assert found == ["unix:///run/user/7/podman/podman.sock", "unix:///run/podman/podman.sock"]
    first = next(podman_endpoints({"XDG_RUNTIME_DIR": "/run/user/7", "CONTAINER_HOST": "unix:///x.sock"}))
    assert (first.url, first.undo) == ("unix:///x.sock", "unset CONTAINER_HOST")


@pytest.mark.parametrize("name", ["XDG_RUNTIME_DIR", "DOCKER_HOST"])
def test_a_socket_where_anybody_could_put_one_is_asked_only_if_it_was_named(tmp_path: Path, name: str) -> None:
    """Those of other users are in tests/attacks."""
    with serving(tmp_path) as fake:
        fake.path.rename(tmp_path / "docker.sock")
        tmp_path.chmod(0o777)
        path = tmp_path / "docker.sock"
        environ = {name: f"unix://{path}" if name == "DOCKER_HOST" else str(tmp_path)}
        found = next(one for one in docker_endpoints(environ, tmp_path / "home") if one.url == f"unix://{path}")
        if name == "DOCKER_HOST":
            assert ping(found).api_version == "1.41"
        else:
            with pytest.raises(UnreachableError, match=rf"{path} is not asked: .*\(DOCKER_HOST=unix://{path} asks it"):
                ping(found)
            assert fake.asked == []


def test_a_socket_in_a_closed_folder_of_ones_own_is_asked(tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    (runtime / "podman").mkdir(parents=True)
    with serving(runtime / "podman", PODMAN) as fake:
        fake.path.rename(runtime / "podman" / "podman.sock")
        assert ping(next(podman_endpoints({"XDG_RUNTIME_DIR": str(runtime)}))).is_podman


def test_an_engine_that_answers_is_known(tmp_path: Path) -> None:
    with serving(tmp_path) as fake:
        assert ping(Endpoint(fake.url, "a test")) == Pong("1.41", is_podman=False)


def test_podman_is_told_by_its_header(tmp_path: Path) -> None:
    with serving(tmp_path, PODMAN) as fake:
        assert ping(Endpoint(fake.url, "a test")).is_podman


def test_a_server_that_is_no_engine_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path, {}) as fake, pytest.raises(UnreachableError, match="not as an engine does"):
        ping(Endpoint(fake.url, "a test"))


def test_an_engine_in_trouble_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path) as fake:
        fake.answers["GET /_ping"] = lambda *_: (500, None)
        with pytest.raises(UnreachableError, match="500"):
            ping(Endpoint(fake.url, "a test"))


def test_a_missing_socket_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="is not there"):
        ping(Endpoint(f"unix://{tmp_path}/none", "a test"))


def test_a_socket_without_a_listener_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        with pytest.raises(UnreachableError, match="nothing listens"):
            ping(Endpoint(f"unix://{tmp_path}/s", "a test"))


def test_a_silent_engine_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gpuenv.engine import endpoints

    real = endpoints.connection_to
    monkeypatch.setattr(endpoints, "connection_to", lambda endpoint: real(endpoint, 0.05))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        with pytest.raises(UnreachableError, match="did not answer within"):
            ping(Endpoint(f"unix://{tmp_path}/s", "a test"))


def test_permission_denied_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("gpuenv.engine.endpoints._UnixConnection.connect", refuse)
    with pytest.raises(UnreachableError, match="permission denied on /s") as caught:
        ping(Endpoint("unix:///s", "a test"))
    assert caught.value.kind == DENIED


@pytest.mark.parametrize(
    "url", ["ssh://me@far", "npipe:////./pipe/docker", "nonsense", "tcp://", "tcp://lab:port", "tcp://[::1"]
)
def test_addresses_that_cannot_serve_say_why(url: str) -> None:
    with pytest.raises(UnreachableError, match=r"cannot mount|expected unix"):
        ping(Endpoint(url, "a test"))


def test_broken_certificates_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(UnreachableError, match=r"certificates in .* cannot be used"):
        ping(Endpoint("tcp://localhost:1", "a test", tmp_path))


def test_the_proxies_of_containers_are_the_clients(tmp_path: Path) -> None:
    """As Docker's client reads them: those of one engine instead of all, in both spellings."""
    environ = {"DOCKER_CONFIG": str(tmp_path)}
    assert client_proxies("unix:///x", environ) == {}
    proxies = {
        "default": {"httpProxy": "http://p:1", "noProxy": "", "allProxy": "socks5://p:2"},
        "tcp://far": {"ftpProxy": "f", "httpsProxy": "s"},
    }
    (tmp_path / "config.json").write_text(json.dumps({"proxies": proxies}))
    assert client_proxies("unix:///x", environ) == {
        **dict.fromkeys(("http_proxy", "HTTP_PROXY"), "http://p:1"),
        **dict.fromkeys(("all_proxy", "ALL_PROXY"), "socks5://p:2"),
    }
    assert client_proxies("tcp://far", environ).keys() == {"ftp_proxy", "FTP_PROXY", "https_proxy", "HTTPS_PROXY"}
    (tmp_path / "config.json").write_text('{"auths": {}}')
    assert client_proxies("unix:///x", {"HOME": str(tmp_path)}) == {}


@pytest.mark.parametrize("proxies", ["x", ["x"], {"default": "x"}, {"default": {"httpProxy": 1}}])
def test_proxies_that_docker_would_not_write_are_not_used_and_named_once(
    proxies: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"proxies": proxies}))
    for _ in range(2):
        assert client_proxies("unix:///x", {"DOCKER_CONFIG": str(tmp_path)}) == {}
    assert capsys.readouterr().err.count(f"warning: `proxies` in {config} are not used") == 1
