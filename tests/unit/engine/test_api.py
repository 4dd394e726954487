"""Requests to the engine, and what it may answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs

import pytest

import gpuenv
from fakes.engine import FakeEngine, serving
from gpuenv.core.errors import EngineError
from gpuenv.engine.model import Engine, RefusedError


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


def test_what_the_sdk_raises_leaves_as_an_error_in_three_parts(fake: FakeEngine) -> None:
    fake.answers["GET /images/json"] = lambda *_: (HTTPStatus.INTERNAL_SERVER_ERROR, {"message": "disk is broken"})
    with pytest.raises(RefusedError) as caught, fake.engine.sdk() as client:
        client.images.list()
    assert (caught.value.status, caught.value.why) == (HTTPStatus.INTERNAL_SERVER_ERROR, "disk is broken")
    gone = Engine("docker", "tcp://127.0.0.1:1", "a test", "1.41")
    with pytest.raises(EngineError, match="stopped answering") as lost, gone.sdk() as client:
        client.images.list()
    assert "make engine" in lost.value.next_step
    with pytest.raises(EngineError, match="cannot be used"), Engine("docker", fake.url, "a test", "1.1").sdk():
        pytest.fail("it is too old")


def test_the_sdk_is_used_only_where_its_errors_are_translated() -> None:
    """Only so can none of them reach a person as something unforeseen."""
    root = Path(gpuenv.__file__).parent
    importing = re.compile(r"^ *(import|from) docker\b", re.MULTILINE)
    assert [path.name for path in root.rglob("*.py") if importing.search(path.read_text())] == ["model.py"]


def test_what_bears_labels_is_listed(fake: FakeEngine) -> None:
    fake.answers["GET /containers/json?"] = lambda rest, _body: (HTTPStatus.OK, [{"Id": rest}])
    fake.answers["GET /volumes?"] = lambda *_: (HTTPStatus.OK, {"Volumes": None})
    (found,) = fake.engine.listed("containers", "a=b")
    assert parse_qs(found["Id"]) == {"filters": ['{"label": ["a=b"]}'], "all": ["1"]}
    assert fake.engine.listed("volumes") == []
