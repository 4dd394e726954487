"""Asks whether addresses answer, all at the same time, with the host's own proxies and certificates.

Offline, with no connection within FIRST_SIGN_S, the rest counts as unreachable; else waits up to ANSWERS_S.
"""

from __future__ import annotations

import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gpuenv.net import redact
from gpuenv.net.deadline import Asked
from gpuenv.net.pip_settings import with_scheme

if TYPE_CHECKING:
    import requests

#: To resolve a name and be connected, for the first one of all.
FIRST_SIGN_S = 0.6
#: For all answers, once there is a network.
ANSWERS_S = 5.0
#: When those that are silent are asked anew: the system's own resolver repeats a question after 5 s only.
AGAIN_S = (0.25, FIRST_SIGN_S, 2.0)


@dataclass(frozen=True)
class Question:
    """An address, what it is, and how it is reached. ``verify``: a CA bundle, or True for the usual one."""

    kind: str
    name: str
    url: str
    verify: str | bool
    proxies: tuple[tuple[str, str], ...] = ()
    #: That its server answers is not enough.
    has_to_be_there: bool = False
    #: Its certificate is judged by whoever goes there later: an engine has authorities of its own.
    trusts_anybody: bool = False
    #: What is wrong with the page there, if anything: it is asked for as an index is. None: its head is enough.
    read_page: Callable[[requests.Response], str | None] | None = None


@dataclass(frozen=True)
class Answer:
    """What one address answered: ``problem`` is None if it did. ``date`` is its clock's (seconds since 1970)."""

    kind: str
    name: str
    problem: str | None = None
    is_silent: bool = False
    is_untrusted: bool = False
    #: The proxy that did not answer, or not as it should.
    proxy: str = ""
    date: float | None = None


def ask_all(asked: Sequence[Question], first_sign_s: float = FIRST_SIGN_S) -> dict[str, Answer]:
    """The answer to each question, by its URL. Takes ``first_sign_s`` without a network, ANSWERS_S at most with one."""
    asking: Asked[str, Answer] = Asked()
    is_alive = threading.Event()
    urls = {one.url for one in asked}
    answers: dict[str, Answer | Exception] = {}

    def ask_in_turn(one: Question, turn: threading.Lock) -> Answer:
        with turn:
            return ask(one, is_alive)

    for until_s in (*AGAIN_S, ANSWERS_S):
        # Name servers drop some of many questions at a time: those to one host are asked one after the other.
        turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        for one in (one for one in asked if one.url not in answers):
            asking.ask(one.url, partial(ask_in_turn, one, turns[urlsplit(one.url).netloc]))
        answers = asking.wait(urls, until_s)
        if answers.keys() >= urls or (until_s >= first_sign_s and not is_alive.is_set()):
            break
    return {one.url: _told(one, answers.get(one.url)) for one in asked}


def _told(question: Question, answer: Answer | Exception | None) -> Answer:
    if isinstance(answer, Answer):
        return answer
    text = describe(answer) if answer else "no answer in time"
    return Answer(question.kind, question.name, text, is_silent=answer is None)


def ask(question: Question, is_alive: threading.Event) -> Answer:
    """Ask one address; any answer of a server counts, unless the thing itself has to be there."""
    import requests

    from gpuenv.net import download

    proxies = dict(question.proxies) or requests.utils.get_environ_proxies(question.url)
    proxy = with_scheme(requests.utils.select_proxy(question.url, proxies) or "")
    try:
        _connect(proxy or question.url)
        is_alive.set()
        access: dict[str, Any] = {"verify": question.verify, "proxies": proxies}
        if question.read_page:
            limits = (download.PAGE_LIMIT_BYTES, ANSWERS_S, ANSWERS_S)
            response = download.get_whole(question.url, download.PAGE, *limits, **access)
        else:
            response = requests.head(question.url, timeout=ANSWERS_S, allow_redirects=True, **access)
    except requests.RequestException as error:
        is_untrusted = isinstance(error, requests.exceptions.SSLError)
        if is_untrusted and question.trusts_anybody:
            return Answer(question.kind, question.name)
        text = f"{download.describe(error)}{_through(proxy)}"
        return Answer(question.kind, question.name, text, is_untrusted=is_untrusted, proxy=redact.address(proxy))
    except (OSError, ValueError) as error:
        text = f"no connection{_through(proxy)} ({describe(error)})"
        return Answer(question.kind, question.name, text, proxy=redact.address(proxy))
    status = response.status_code
    # Some servers only know GET.
    is_refused = status >= (400 if question.has_to_be_there else 500) and status not in (405, 501)
    problem = f"HTTP status {status}" if is_refused else question.read_page and question.read_page(response)
    return Answer(question.kind, question.name, problem, date=parse_date(response.headers.get("Date", "")))


def _through(proxy: str) -> str:
    """Who did not answer is the proxy, whose password is nobody's business."""
    return f" through the proxy {redact.address(proxy)}" if proxy else ""


def describe(error: Exception) -> str:
    """What the system says, without its numbers."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _connect(url: str) -> None:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    socket.create_connection((parts.hostname or "", port), timeout=ANSWERS_S).close()


def parse_date(text: str) -> float | None:
    """The time in a ``Date`` header, in seconds since 1970."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        return None
