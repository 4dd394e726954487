"""Requests to the engine, and what it may answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from fakes.engine import FakeEngine, serving
from gpuenv.core.errors import EngineError
from gpuenv.engine.model import RefusedError


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeEngine]:
    with serving(tmp_path) as engine:
        yield engine


def test_a_request_and_its_answer(fake: FakeEngine) -> None:
    fake.answers["POST /echo"] = lambda rest, body: (HTTPStatus.OK, {"rest": rest, "body": json.loads(body)})
    answer = fake.engine.call("POST", "/echo", {"a": "é"}, {"name": "x y"})
    assert answer == {"rest": "?name=x+y", "body": {"a": "é"}}


def test_a_refusal_has_the_engines_words(fake: FakeEngine) -> None:
    with pytest.raises(RefusedError, match="no such thing: GET /x") as caught:
        fake.engine.call("GET", "/x")
    assert caught.value.status == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize(
    ("status", "expected"), [(HTTPStatus.NO_CONTENT, True), (HTTPStatus.NOT_FOUND, False), (HTTPStatus.CONFLICT, True)]
)
def test_removing(fake: FakeEngine, status: HTTPStatus, expected: bool) -> None:
    fake.answers["DELETE /containers/x?force=1"] = lambda *_: (status, None)
    assert fake.engine.remove_container("x") is expected


def test_a_removal_that_fails_is_told(fake: FakeEngine) -> None:
    fake.answers["DELETE"] = lambda *_: (HTTPStatus.INTERNAL_SERVER_ERROR, {"message": "device busy"})
    with pytest.raises(RefusedError, match="device busy"):
        fake.engine.remove_container("x")


def test_whether_it_is_there(fake: FakeEngine) -> None:
    fake.answers["GET /_ping"] = lambda *_: (HTTPStatus.OK, None)
    api = fake.engine
    assert api.is_alive()
    fake.path.unlink()
    assert not api.is_alive()
    with pytest.raises(EngineError, match="stopped answering"):
        api.call("GET", "/x")
