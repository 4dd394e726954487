"""Addresses that are asked: what counts as an answer, and how long one is waited for."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from gpuenv.net import questions as doctor_ask
from gpuenv.net.questions import Answer, Question

DATE = "Tue, 14 Nov 2023 22:13:20 GMT"


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers with the status that the path names; the date is an old one."""

    def do_HEAD(self) -> None:
        self.send_response_only(int(self.path.strip("/")))
        self.send_header("Date", DATE)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.mark.parametrize(
    ("kind", "status", "problem"),
    [
        ("index", 200, None),
        ("registry", 401, None),
        ("registry", 503, "HTTP status 503"),
        ("archive", 404, "HTTP status 404"),
        ("archive", 405, None),
    ],
)
def test_an_address_that_answers(server: str, kind: str, status: int, problem: str | None) -> None:
    asked = Question(kind, "here", f"{server}/{status}", verify=True, has_to_be_there=kind == "archive")
    assert doctor_ask.ask_all([asked])[asked.url] == Answer(kind, "here", problem, date=1_700_000_000.0)


def test_a_closed_port_is_told_at_once() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        asked = Question("index", "here", f"http://127.0.0.1:{reserved.getsockname()[1]}/", verify=True)
        found = doctor_ask.ask_all([asked])[asked.url]
    assert found.problem is not None
    assert "refused" in found.problem
    assert not found.is_silent


@pytest.mark.parametrize("is_alive", [True, False])
def test_only_where_there_is_a_network_an_answer_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, *, is_alive: bool
) -> None:
    def ask(question: Question, alive: threading.Event) -> Answer:
        if is_alive:
            alive.set()
        # Later than the first sign, however late this thread began.
        time.sleep(0.5 if is_alive else 30)
        return Answer(question.kind, "late")

    monkeypatch.setattr(doctor_ask, "AGAIN_S", (0.05, 0.1))
    monkeypatch.setattr(doctor_ask, "ask", ask)
    monkeypatch.setattr(doctor_ask, "ANSWERS_S", 15.0)
    began = time.monotonic()
    asked = [Question("index", "here", "http://here", verify=True)]
    assert doctor_ask.ask_all(asked, 0.1)["http://here"].is_silent is not is_alive
    assert time.monotonic() - began < 15
    if not is_alive:
        # What decides, and is not only advice, has more patience.
        monkeypatch.setattr(doctor_ask, "ANSWERS_S", 0.3)
        began = time.monotonic()
        assert doctor_ask.ask_all(asked, 0.3)["http://here"].is_silent
        assert time.monotonic() - began >= 0.3


def test_a_question_that_was_lost_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ask(question: Question, _: threading.Event) -> Answer:
        asked.append(question.url)
        if len(asked) == 1:
            time.sleep(30)
        return Answer(question.kind, "second")

    monkeypatch.setattr(doctor_ask, "FIRST_SIGN_S", 15.0)
    monkeypatch.setattr(doctor_ask, "ask", ask)
    found = doctor_ask.ask_all([Question("index", "here", "http://here", verify=True)])
    assert found["http://here"].problem is None


def test_a_proxy_without_a_scheme_is_one_of_http(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.removeprefix("http://"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setattr(_Handler, "do_HEAD", lambda self: (self.send_response_only(200), self.end_headers()))
    asked = Question("index", "index.invalid", "http://index.invalid/simple/", verify=True)
    assert doctor_ask.ask_all([asked])[asked.url].problem is None


def test_the_proxy_that_does_not_answer_is_named_and_its_password_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://me:secret@127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    asked = Question("index", "index.invalid", "http://index.invalid/simple/", verify=True)
    problem = doctor_ask.ask_all([asked])[asked.url].problem
    assert problem == "no connection through the proxy http://127.0.0.1:9 (Connection refused)"


@pytest.mark.parametrize("text", ["", "yesterday"])
def test_a_date_that_is_none(text: str) -> None:
    assert doctor_ask.parse_date(text) is None


@pytest.mark.parametrize("trusts_anybody", [True, False])
def test_an_engine_has_authorities_of_its_own(monkeypatch: pytest.MonkeyPatch, *, trusts_anybody: bool) -> None:
    def distrust(*_: Any, **__: Any) -> None:
        raise requests.exceptions.SSLError("self-signed certificate")

    monkeypatch.setattr(requests, "head", distrust)
    monkeypatch.setattr(doctor_ask, "_connect", lambda _: None)
    asked = Question("registry", "here", "https://here/v2/", verify=True, trusts_anybody=trusts_anybody)
    assert (doctor_ask.ask_all([asked])[asked.url].problem is None) is trusts_anybody
