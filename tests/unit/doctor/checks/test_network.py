"""Each check of `gpuenv.doctor.checks.network` is seen giving every severity that it has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fakes.doctor import (
    NETWORK,
    NO_ENGINE,
    NOW,
    OFFLINE,
    Case,
    assert_says,
    assert_seen,
    judge,
    machine,
    make_pythons,
    running,
)
from gpuenv.core.errors import HostError, UsageError
from gpuenv.doctor.checks import network as checks
from gpuenv.doctor.facts import (
    Clock,
    Network,
)
from gpuenv.net.questions import Answer

DAY_S = 86400


def answer(kind: str, **changes: Any) -> Network:
    changed = tuple(replace(one, **changes) if one.kind == kind else one for one in NETWORK.answers)
    obstacles = {"cuda9.0": "no source of CUDA"} if kind == "archive" else {}
    return replace(NETWORK, answers=changed, archive_obstacles=obstacles)


def proxied(**values: str) -> Network:
    return replace(NETWORK, proxies=tuple(values.items()))


def dated(days: float) -> Network:
    return replace(NETWORK, answers=tuple(replace(one, date=NOW + days * DAY_S) for one in NETWORK.answers))


BAD_BUNDLE = HostError("the CA bundle", "/x is missing", "unset SSL_CERT_FILE")
CHANNEL_LOST = replace(NETWORK, answers=(*NETWORK.answers, Answer("channel", "conda-forge", "no connection")))
FROM_INDEX = replace(OFFLINE, index_obstacles=dict.fromkeys(OFFLINE.archive_obstacles))
NO_FOLDER = Answer("index-folder", "/nope", "there is no such folder")


#: Check, severity, a part of the message, a part of the remedy, and what is changed of the good machine.
CASES: list[Case] = [
    Case("proxy", "ok", "none set", "", []),
    Case(
        "proxy",
        "ok",
        "https_proxy=http://proxy:3128",
        "",
        [proxied(https_proxy="http://proxy:3128")],
    ),
    Case(
        "proxy",
        "warning",
        "this machine itself",
        "own address",
        [proxied(https_proxy="localhost:3128")],
    ),
    Case(
        "proxy",
        "warning",
        "spelling differ",
        "unset",
        [proxied(http_proxy="http://a", HTTP_PROXY="http://b")],
    ),
    Case("proxy", "ok", "no_proxy=.example", "", [proxied(no_proxy=".example,10.0.0.0/8")]),
    Case("proxy", "error", "is no address", "export https_proxy=http", [proxied(https_proxy="http://[::1")]),
    Case("proxy", "error", "is no address", "export https_proxy=http", [proxied(https_proxy="http://proxy:port")]),
    Case("ca-bundle", "ok", "ca-certificates.crt (the system)", "", []),
    Case("ca-bundle", "warning", "has none", "apt-get install ca-certificates", [replace(NETWORK, bundle=None)]),
    Case(
        "ca-bundle",
        "warning",
        "SSL_CERT_FILE=/nope.pem is missing",
        "unset SSL_CERT_FILE",
        [replace(NETWORK, missing_bundles=(("SSL_CERT_FILE", "/nope.pem"),))],
    ),
    Case(
        "ca-bundle",
        "error",
        "is missing",
        "SSL_CERT_FILE",
        [replace(NETWORK, bundle_problem=BAD_BUNDLE)],
    ),
    Case("pip-settings", "ok", "readable", "", []),
    Case(
        "pip-settings",
        "error",
        "not an ini file",
        "config debug",
        [replace(NETWORK, pip_problem=UsageError("pip", "not an ini file", "correct it"))],
    ),
    Case("index", "ok", "index.example answers", "", []),
    Case(
        "index", "unknown", "in time", "PIP_INDEX_URL", [answer("index", problem="no answer in time", is_silent=True)]
    ),
    Case(
        "index",
        "warning",
        "/nope: there is no such folder",
        "unset PIP_INDEX_URL",
        [replace(NETWORK, answers=(*NETWORK.answers, NO_FOLDER))],
    ),
    Case("index", "unknown", "no address", "PIP_INDEX_URL", [replace(NETWORK, answers=())]),
    Case("index", "warning", "no connection", "https_proxy", [OFFLINE]),
    Case(
        "index",
        "warning",
        "is not trusted",
        "update-ca-trust",
        [answer("index", problem="the certificate", is_untrusted=True), machine(system="fedora")],
    ),
    Case("registry", "ok", "registry.example answers", "", []),
    Case(
        "registry",
        "unknown",
        "in time",
        "BASE=local",
        [answer("registry", problem="no answer in time", is_silent=True)],
    ),
    Case("registry", "ok", "way of its own", "", [OFFLINE, running(has_detour=True)]),
    Case("registry", "warning", "no connection", "BASE=local", [OFFLINE]),
    Case("archives", "ok", "every one", "", []),
    Case("archives", "ok", "the package index serves instead", "", [FROM_INDEX]),
    Case("archives", "unknown", "in time", "SOURCES_DIR", [answer("archive", problem="no answer", is_silent=True)]),
    Case("archives", "warning", "gpu images cannot be built", "SOURCES_DIR", [OFFLINE]),
    Case(
        "archives",
        "warning",
        "gpu images cannot be built",
        "SOURCES_DIR",
        [replace(FROM_INDEX, index_obstacles={**FROM_INDEX.index_obstacles, "cuda9.0": "it is missing"})],
    ),
    Case(
        "archives",
        "warning",
        "archive.example is not trusted",
        "update-ca-certificates",
        [answer("archive", is_untrusted=True)],
    ),
    Case("channels", "ok", "answers", "", []),
    Case("channels", "ok", "conda-forge cannot be reached (no connection), and is not needed", "", [CHANNEL_LOST]),
    Case(
        "channels",
        "warning",
        "conda-forge cannot be reached",
        "CHANNELS=",
        [CHANNEL_LOST, NO_ENGINE, make_pythons(is_found=False)],
    ),
    Case("mirror", "ok", "mirror.example answers", "", []),
    Case("mirror", "ok", "not needed", "", [replace(NETWORK, answers=())]),
    Case("mirror", "unknown", "in time", "apt-get update", [answer("apt", problem="no answer", is_silent=True)]),
    Case("mirror", "warning", "no connection", "apt-get update", [OFFLINE]),
    Case("clock", "ok", "2023-11-14, as", "", []),
    Case("clock", "ok", "nothing else answered", "", [OFFLINE]),
    Case("clock", "error", "3 days after", "timedatectl", [dated(-3)]),
    Case("clock", "error", "400 days before", "w32tm", [dated(400), machine(system="windows")]),
    Case("clock", "error", "files of this project are 10 days newer", "set-ntp", [Clock(NOW, NOW + 10 * DAY_S)]),
]


@pytest.mark.parametrize(Case._fields, CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_check_says_what_it_sees(name: str, severity: str, message: str, remedy: str, changes: list[object]) -> None:
    assert_says(Case(name, severity, message, remedy, changes))


def test_every_check_is_seen_to_pass_and_to_fail() -> None:
    assert_seen(checks, CASES)


def test_one_server_with_a_wrong_clock_does_not_decide() -> None:
    odd = Answer("archive", "odd.example", date=NOW + 300 * DAY_S)
    assert judge("clock", replace(NETWORK, answers=(*NETWORK.answers, odd)))[0].severity == "ok"
