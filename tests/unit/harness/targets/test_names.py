"""What is a name for a client of a connection; tests/attacks/test_addresses.py has those that are none."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from testinfra.backend import BACKENDS

from gpuenv.harness.targets import names


@pytest.mark.parametrize(
    ("kind", "place", "parts"),
    [
        ("ssh", "me:a@lab1:22", {"name": "lab1", "user": "me", "port": "22", "password": "a"}),
        ("winrm", "[::1]", {"name": "::1", "user": None, "port": None, "password": None}),
        ("docker", "me@box", {"name": "box", "user": "me"}),
        ("kubectl", "me@pod", {"name": "me@pod", "user": None}),
        ("local", "", {"name": "", "user": None}),
    ],
)
def test_parts_are_those_that_testinfra_uses(kind: str, place: str, parts: dict[str, str | None]) -> None:
    assert names.parts_of(kind, place) == parts


def test_the_parts_of_a_connection() -> None:
    spec = SimpleNamespace(name="lab1", user="me", port=22, password="x")
    found = names.parts_in(SimpleNamespace(host=spec, sudo_user="root", name="other"))
    assert (found["name"], found["user"], found["port"], found["sudo_user"]) == ("lab1", "me", 22, "root")
    assert names.parts_in(SimpleNamespace(host="lab1", name="box", user=None))["name"] == "box"
    assert "password" not in found


@pytest.mark.parametrize("kind", sorted(BACKENDS))
def test_every_kind_refuses_an_option(kind: str) -> None:
    refused = names.refusal(kind, {"name": "-x"})
    # These two name no machine: this one, and a folder that begins with a slash.
    assert refused == (None if kind in ("local", "chroot") else "name '-x': it begins with a dash, as options do")
    assert names.refusal(kind, {"name": "/srv" if kind == "chroot" else "name-1", "port": None, "user": ""}) is None


@pytest.mark.parametrize(
    ("key", "value", "is_one"),
    [
        ("port", "65535", True), ("port", "22a", False), ("port", "-1", False), ("port", "123456", False),
        ("user", "me@realm", True), ("user", "D\\me", True), ("user", "a b", False), ("user", "a;b", False),
        ("context", "kind-x", True), ("context", "$(x)", False), ("context", "\u00e9", False),
        ("kubeconfig", "/a/.b/c", True), ("kubeconfig", "/a b", False), ("kubeconfig", "a", False),
    ],
)  # fmt: skip
def test_settings(key: str, value: str, is_one: bool) -> None:
    assert (names.refusal("kubectl", {"name": "pod", key: value}) is None) is is_one
