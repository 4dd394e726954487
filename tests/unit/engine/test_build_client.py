from __future__ import annotations

import os
from pathlib import Path

import pytest

from gpuenv.core import paths
from gpuenv.core.errors import EngineError
from gpuenv.engine import build_client
from gpuenv.engine.model import Engine


def make_client(folder: Path, version: str, *, buildx: bool = False, speaks: bool = True) -> Path:
    folder.mkdir(parents=True)
    program = folder / "docker"
    program.write_text(
        f"""#!/bin/sh
case "$1" in
--version) echo '{version}' ;;
buildx) exit {0 if buildx else 1} ;;
version) echo 20.10; exit {0 if speaks else 1} ;;
esac
"""
    )
    program.chmod(0o755)
    return program


def search(*programs: Path) -> dict[str, str]:
    return {"PATH": os.pathsep.join([*(str(program.parent) for program in programs), "/usr/bin", "/bin"])}


def find(*programs: Path) -> str:
    folders = os.pathsep.join(str(program.parent) for program in programs)
    return build_client.find_client({"PATH": folders}, usual=())


OLD = "Docker version 20.10.24+dfsg1, build 297e128"
NEW = "Docker version 28.2.2, build e6534b4"


@pytest.mark.parametrize(
    ("output", "version"),
    [(OLD, (20, 10, 24)), (NEW, (28, 2, 2)), ("podman version 4.3.1", ()), ("", ()), ("Docker version x", ())],
)
def test_the_version_is_read(output: str, version: tuple[int, ...]) -> None:
    assert build_client.parse_version(output) == version


def test_a_new_client_without_the_plugin_is_passed_over_for_an_old_one(tmp_path: Path) -> None:
    new = make_client(tmp_path / "new", NEW)
    old = make_client(tmp_path / "old", OLD)
    assert find(new, old) == str(old)


def test_the_plugin_makes_a_new_client_fit(tmp_path: Path) -> None:
    new = make_client(tmp_path / "new", NEW, buildx=True)
    assert find(new) == str(new)


def test_podmans_disguise_is_no_docker_client(tmp_path: Path) -> None:
    disguise = make_client(tmp_path / "podman", "podman version 4.3.1", buildx=True)
    with pytest.raises(EngineError, match="is not Docker's client"):
        find(disguise)


def test_a_client_that_the_engine_does_not_understand_is_passed_over(tmp_path: Path) -> None:
    old = make_client(tmp_path / "old", OLD, speaks=False)
    new = make_client(tmp_path / "new", NEW, buildx=True)
    assert find(old, new) == str(new)


def test_without_a_fit_client_every_refusal_and_the_remedy_are_told(tmp_path: Path) -> None:
    new = make_client(tmp_path / "new", NEW)
    with pytest.raises(EngineError) as caught:
        find(new)
    assert f"{new} (version 28) has no buildx plugin" in caught.value.why
    assert "buildx" in caught.value.next_step


def test_no_client_at_all_is_told(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="there is no `docker` program"):
        build_client.find_client({"PATH": str(tmp_path)}, usual=())


def test_one_file_behind_two_names_is_asked_once(tmp_path: Path) -> None:
    real = make_client(tmp_path / "real", OLD)
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "docker").symlink_to(real)
    assert build_client.client_paths(f"{tmp_path}/link:{tmp_path}/real", usual=(str(real),)) == [
        str(tmp_path / "link" / "docker")
    ]


def test_the_environment_leads_to_this_engine_only() -> None:
    environ = {"PATH": "/bin", "DOCKER_CONTEXT": "far", "DOCKER_HOST": "tcp://far", "DOCKER_TLS_VERIFY": "1"}
    found = build_client.docker_environment(environ, "unix:///x", None)
    records = found.pop("BUILDX_CONFIG")
    assert found == {"PATH": "/bin", "DOCKER_HOST": "unix:///x", "DOCKER_BUILDKIT": "1", "BUILDX_BUILDER": "default"}
    # The home folder may be read-only; what the user chose stays.
    assert records == str(paths.state_dir() / "buildx")
    chosen = build_client.docker_environment({"BUILDX_CONFIG": "/mine"}, "unix:///x", None)
    assert chosen["BUILDX_CONFIG"] == "/mine"


def test_what_the_user_told_the_client_for_other_images_stays_out() -> None:
    environ = {"DOCKER_API_VERSION": "1.24", "DOCKER_DEFAULT_PLATFORM": "linux/arm64"}
    found = build_client.docker_environment(environ, "unix:///x", None)
    assert not environ.keys() & found.keys()
    same = build_client.docker_environment({"DOCKER_DEFAULT_PLATFORM": "linux/amd64"}, "unix:///x", None)
    assert same["DOCKER_DEFAULT_PLATFORM"] == "linux/amd64"


def test_certificates_go_along() -> None:
    found = build_client.docker_environment({}, "tcp://h:2376", Path("/certificates"))
    assert (found["DOCKER_TLS_VERIFY"], found["DOCKER_CERT_PATH"]) == ("1", "/certificates")


@pytest.mark.parametrize(
    ("url", "is_root", "is_own"),
    [
        ("unix:///run/user/7/podman/podman.sock", False, True),
        ("unix:///run/podman/podman.sock", True, True),
        ("unix:///run/podman/podman.sock", False, False),
    ],
)
def test_podman_builds_where_its_service_runs(url: str, is_root: bool, is_own: bool) -> None:
    environ = {"XDG_RUNTIME_DIR": "/run/user/7", "CONTAINER_HOST": "unix:///another"}
    prefix, environment = build_client.podman_prefix(url, environ, is_root=is_root)
    assert prefix == (["podman", "build"] if is_own else ["podman", "--url", url, "build"])
    # What is run by another program (`podman exec`, by the harness) goes there, too.
    assert environment.get("CONTAINER_HOST") == (None if is_own else url)
    assert environment["BUILDAH_FORMAT"] == "docker"


def test_podman_needs_its_own_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="no `podman` program"):
        Engine("podman", "unix:///elsewhere", "a test").build_prefix()


def test_the_engine_gives_prefix_and_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    client = make_client(tmp_path / "bin", OLD)
    monkeypatch.setenv("PATH", search(client)["PATH"])
    prefix, environment = Engine("docker", f"unix://{tmp_path}/s", "a test").build_prefix()
    assert prefix == [str(client), "build"]
    assert environment["DOCKER_BUILDKIT"] == "1"
