"""Values of a log in commands: one word each, or no command."""

from __future__ import annotations

import shlex

import pytest

from gpuenv.explain import quoting


@pytest.mark.parametrize(
    ("value", "is_name"),
    [
        ("1.15.0", True), ("10.0-cudnn7-devel-ubuntu18.04", True), ("a_b+c", True), ("_x", True),
        ("", False), ("-x", False), (".x", False), ("a b", False), ("a;b", False), ("a\n", False), ("\u00e9", False),
        ("a/b", False), ("a:b", False), ("$x", False), ("a%b", False),
    ],
)  # fmt: skip
def test_most_groups_are_names(value: str, is_name: bool) -> None:
    for system in ("debian", "windows", "macos"):
        assert quoting.fill("see x=={tag} now", {"tag": value}, system) == (f"see x=={value} now" if is_name else None)


@pytest.mark.parametrize("value", ["/a b/c", "/a/$(x)", "/it's", "/\ud55c", "x", "https://e/?a=b&c=$(d)"])
def test_paths_and_addresses_are_quoted_where_a_shell_is_that_of_posix(value: str) -> None:
    name = "url" if ":" in value else "path"
    command = quoting.fill(f"ls {{{name}}}; id", {name: value}, "debian")
    assert command is not None
    assert shlex.split(command, posix=True) == ["ls", f"{value};", "id"]
    assert quoting.fill(f"ls {{{name}}}", {name: value}, "windows") == ("ls x" if value == "x" else None)


@pytest.mark.parametrize(
    ("name", "value"),
    [("path", "-rf"), ("path", ""), ("path", "/a\nb"), ("path", "/a\x1bb"), ("path", "/a\u202eb"), ("path", "/a\x9bb"),
     ("url", "ftp://e"), ("url", "https://e/\u202e"), ("url", "-o https://e"), ("url", "https://e b")],
)  # fmt: skip
def test_what_is_neither_gives_no_command(name: str, value: str) -> None:
    assert quoting.fill(f"x {{{name}}}", {name: value}, "debian") is None


def test_only_values_of_the_command_count_and_braces_are_kept() -> None:
    assert quoting.fill("docker --format '{{{{.x}}}}' {n}", {"n": "1", "other": ";"}, "debian") == (
        "docker --format '{{.x}}' 1"
    )
