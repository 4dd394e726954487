from __future__ import annotations

from pathlib import Path

import pytest
from testinfra.backend import BACKENDS, parse_hostspec

from gpuenv.core.errors import UsageError
from gpuenv.harness.targets import hosts
from gpuenv.harness.targets.hosts import Address, parse_hosts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ssh://lab1", Address("ssh://lab1", "")),
        ("ssh://me@lab1:2222/", Address("ssh://me@lab1:2222", "")),
        ("ssh://[::1]:22", Address("ssh://[::1]:22", "")),
        ("ssh://lab1?prefix=/opt/gpuenv/", Address("ssh://lab1", "/opt/gpuenv")),
        ("ssh://lab1?timeout=5&prefix=/a&sudo=true", Address("ssh://lab1?timeout=5&sudo=true", "/a")),
        ("kubectl://pod?namespace=a&container=b", Address("kubectl://pod?namespace=a&container=b", "")),
        ("ansible://labs?ansible_inventory=a,b,", Address("ansible://labs?ansible_inventory=a,b,", "")),
        ("ansible://", Address("ansible://", "")),
        ("local://", Address("local://", "")),
        ("local://?prefix=/opt/x", Address("local://", "/opt/x")),
        ("docker://name", Address("docker://name", "")),
        ("chroot:///srv/system", Address("chroot:///srv/system", "")),
    ],
)
def test_entries(text: str, expected: Address) -> None:
    assert parse_hosts(text) == (expected,)


@pytest.mark.parametrize("kind", sorted(BACKENDS))
def test_every_connection_of_testinfra_is_taken(kind: str) -> None:
    assert parse_hosts(f"{kind}:///srv" if kind == "chroot" else f"{kind}://name")


def test_several_entries_in_any_white_space() -> None:
    found = parse_hosts(" ssh://a\n ssh://a?prefix=/x\tssh://b ")
    assert [(one.uri, one.prefix) for one in found] == [("ssh://a", ""), ("ssh://a", "/x"), ("ssh://b", "")]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", "names no host"),
        ("  ", "names no host"),
        ("ssh://a ssh://b ssh://a", "ssh://a is named twice"),
        # The same one in another spelling.
        ("ssh://a ssh://a/", "ssh://a/ is named twice"),
        ("lab1", "did you mean ssh://lab1?"),
        ("me:secret@lab1", "did you mean ssh://me:***@lab1?"),
        ("http://me:secret@lab1", "KIND one of ansible, chroot"),
        ("ssh:lab1", "expected KIND://NAME"),
        ("ssh://", "the name is missing"),
        ("ssh://me:secret@", "the name is missing"),
        ("ssh://[::1", "the address of IPv6 stands in brackets"),
        ("ssh://lab1/opt/gpuenv", "only settings may follow"),
        ("ssh://me:sec/ret@lab1", "only settings may follow"),
        ("ssh://me:sec#ret@lab1", "only settings may follow"),
        ("chroot://srv", "named by its absolute path"),
        ("ssh://lab1?prefix=opt/x", "prefix=opt/x is no absolute path"),
        ("ssh://lab1?prefix=", "prefix= is no absolute path"),
        ("ssh://lab1?port=2222", "there is no setting port"),
        ("ssh://lab1?sudo=yes", "sudo=yes is neither true nor false"),
    ],
)
def test_what_cannot_be_used_is_said_in_three_lines_without_passwords(text: str, shown: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_hosts(text)
    message = str(caught.value)
    assert shown in message
    assert len(message.splitlines()) == 3
    assert "ret@" not in message
    assert "me:sec" not in message


def test_relative_files_are_those_of_this_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isolated: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (first, second) = parse_hosts("ssh://a?ssh_config=my/config ssh://b?ssh_identity_file=~/key")
    assert first.uri == f"ssh://a?ssh_config={tmp_path}/my/config"
    assert second.uri == f"ssh://b?ssh_identity_file={isolated}/key"


def test_a_file_with_odd_characters_arrives() -> None:
    uri = parse_hosts("ssh://a?ssh_config=/my%20files/%26c+d")[0].uri
    assert parse_hostspec(uri)[1]["ssh_config"] == "/my files/&c d"


def test_testinfra_reads_every_setting_that_is_taken() -> None:
    for name in (*hosts.FLAGS, *hosts.VALUES):
        assert name in parse_hostspec(f"ssh://a?{name}=true")[1], name
