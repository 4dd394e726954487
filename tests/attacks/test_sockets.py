"""An engine of somebody else is not taken for one's own: a build would give it the credentials of pip."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import pytest

from fakes.engine import DOCKER, PODMAN, FakeEngine, serving
from tiny.people import Person

#: Where each engine's socket lies below the folder of the user's run-time files.
_PLACES = {"docker": "docker.sock", "podman": "podman/podman.sock"}


@contextmanager
def listening(runtime: Path, kind: str, owner: int, mode: int = 0o755) -> Iterator[FakeEngine]:
    """An engine whose socket, with the folders to it, belongs to ``owner``, and is open to everybody."""
    place = runtime / _PLACES[kind]
    place.parent.mkdir(parents=True)
    with serving(place.parent, PODMAN if kind == "podman" else DOCKER) as fake:
        fake.answers["GET /info"] = lambda _rest, _body: (HTTPStatus.OK, {"ServerVersion": "1"})
        fake.path.rename(place)
        for path in {place, place.parent, runtime}:
            os.chown(path, owner, owner)
            path.chmod(0o777 if path == place else mode)
        yield fake


def ask(user: Person, kind: str, **settings: str) -> tuple[int, str]:
    done = user.gpuenv("engine", "--engine", kind, **settings)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("kind", _PLACES)
@pytest.mark.parametrize("name", ["victim", "root"])
def test_a_strangers_socket_is_not_asked(
    ground: Path, stranger: Person, kind: str, name: str, request: pytest.FixtureRequest
) -> None:
    """XDG_RUNTIME_DIR leads elsewhere, as after `su` without a new environment."""
    user: Person = request.getfixturevalue(name)
    runtime = ground / "run"
    with listening(runtime, kind, stranger.uid) as fake:
        code, said = ask(user, kind, XDG_RUNTIME_DIR=str(runtime))
        assert fake.asked == []
        assert code == 5
        assert f"is of user {stranger.uid}" in said
        variable = "CONTAINER_HOST" if kind == "podman" else "DOCKER_HOST"
        assert f"{variable}=unix://{runtime}/{_PLACES[kind]} asks it nevertheless" in said


@pytest.mark.parametrize("kind", _PLACES)
def test_ones_own_is_not_asked_where_anybody_could_put_another(ground: Path, victim: Person, kind: str) -> None:
    with listening(ground / "run", kind, victim.uid, mode=0o777) as fake:
        code, said = ask(victim, kind, XDG_RUNTIME_DIR=str(ground / "run"))
        assert (fake.asked, code) == ([], 5)
        assert "may write to" in said


@pytest.mark.parametrize("kind", _PLACES)
def test_ones_own_roots_and_what_was_named_are_used(ground: Path, stranger: Person, victim: Person, kind: str) -> None:
    for number, owner in enumerate((victim.uid, 0)):
        with listening(ground / f"run{number}", kind, owner):
            code, said = ask(victim, kind, XDG_RUNTIME_DIR=str(ground / f"run{number}"))
            assert code == 0, said
    with listening(ground / "theirs", kind, stranger.uid):
        variable = "CONTAINER_HOST" if kind == "podman" else "DOCKER_HOST"
        code, said = ask(victim, kind, **{variable: f"unix://{ground}/theirs/{_PLACES[kind]}"})
        assert code == 0, said
