from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from gpuenv.base_image import apt_sources, root_system
from gpuenv.base_image.root_system import System
from gpuenv.core import mounts

SYSTEM = System("bookworm", "3.6", Path("/t/my python.tar"), Path("/t"))


@pytest.mark.parametrize(
    ("line", "is_taken"),
    [
        ("deb http://mirror.example/debian bookworm main", True),
        (
            "deb [signed-by=/usr/share/keyrings/x.gpg arch=amd64] https://mirror.example bookworm main contrib",
            True,
        ),
        ("deb http://mirror.example/security bookworm-security main # comment", True),
        ("deb http://mirror.example/security buster/updates main", False),
        ("deb-src http://mirror.example/debian bookworm main", False),
        ("# deb http://mirror.example/debian bookworm main", False),
        ("deb https://vendor.example/docker bookworm stable", False),
        ("deb https://vendor.example/apt vendor-bookworm main", False),
        ("deb http://mirror.example/debian bookworm-backports main", False),
        ("", False),
    ],
)
def test_only_lines_of_the_release_are_taken(line: str, *, is_taken: bool) -> None:
    assert bool(apt_sources.pick_lines(line, "bookworm")) is is_taken


def test_a_line_keeps_its_options_and_loses_its_comment() -> None:
    line = "  deb [signed-by=/k.gpg] http://m.example bookworm main # ours\n"
    assert apt_sources.pick_lines(line, "bookworm") == "deb [signed-by=/k.gpg] http://m.example bookworm main\n"


STANZA = """Types: deb
# why
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----
"""


def test_a_stanza_of_the_release_is_taken_with_its_key() -> None:
    picked = apt_sources.pick_stanzas(STANZA, "bookworm")
    assert "END PGP PUBLIC KEY BLOCK" in picked
    assert "# why" not in picked


@pytest.mark.parametrize(
    "change",
    [
        ("Types: deb", "Types: deb-src"),
        ("Types: deb", "Types: deb\nEnabled: no"),
        ("bookworm bookworm-updates", "trixie"),
        ("Components: main", "Components: stable"),
    ],
)
def test_other_stanzas_are_left_out(change: tuple[str, str]) -> None:
    other = STANZA.replace(*change)
    assert apt_sources.pick_stanzas(other, "bookworm") == ""
    both = apt_sources.pick_stanzas(f"{other}\n{STANZA}", "bookworm")
    assert both == apt_sources.pick_stanzas(STANZA, "bookworm")


def test_both_styles_are_found_in_the_hosts_folder(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("deb http://m.example bookworm main\n")
    (tmp_path / "sources.list.d/debian.sources").write_text(STANZA)
    (tmp_path / "sources.list.d/vendor.list").write_text("deb http://v.example stable main\n")
    (tmp_path / "sources.list.d/off.sources.disabled").write_text(STANZA)
    lines, stanzas = apt_sources.pick_sources(tmp_path, "bookworm")
    assert lines == "deb http://m.example bookworm main\n"
    assert stanzas.count("Types:") == 1


def test_a_host_without_sources_has_none(tmp_path: Path) -> None:
    assert apt_sources.pick_sources(tmp_path, "bookworm") == []


DUMP = """Acquire "";
Acquire::http "";
Acquire::http::Proxy "http://user:word@proxy.example:3128";
Acquire::https::CaInfo "/etc/ssl/own.pem";
Acquire::https::Verify-Peer "false";
Acquire::AllowInsecureRepositories "1";
Acquire::Check-Valid-Until "false";
Acquire::Retries "3";
APT::Get::AllowUnauthenticated "1";
Dir::Etc "etc/apt";
"""


def test_the_way_to_mirrors_goes_along_and_nothing_that_weakens() -> None:
    assert apt_sources.transport_options(DUMP).splitlines() == [
        'Acquire::http::Proxy "http://user:word@proxy.example:3128";',
        'Acquire::https::CaInfo "/etc/ssl/own.pem";',
        'Acquire::Retries "3";',
    ]


@pytest.mark.parametrize(
    ("fields", "suite"),
    [
        ({"VERSION_CODENAME": "bookworm"}, "bookworm"),
        ({"VERSION_CODENAME": "wilma", "UBUNTU_CODENAME": "noble"}, "noble"),
        ({"ID": "debian"}, None),
    ],
)
def test_the_release_of_a_derivative_is_ubuntus(fields: dict[str, str], suite: str | None) -> None:
    assert apt_sources.suite_of(fields) == suite


def mmdebstrap_argv() -> list[str]:
    mirrors = [Path("/t/sources-0")]
    return root_system.mmdebstrap_argv(SYSTEM, ["zlib1g", "libssl3", "zlib1g"], mirrors, Path("/t/o"), Path("/t/s.tar"))


def test_the_system_is_made_of_the_hosts_release_and_sources() -> None:
    argv = mmdebstrap_argv()
    assert argv[-3:] == ["bookworm", "/t/s.tar", "/t/sources-0"]
    assert "--include=libssl3,zlib1g" in argv
    assert "--aptopt=/t/o" in argv


def test_nothing_of_the_hosts_settings_stays_in_the_system() -> None:
    last_hook = [part for part in mmdebstrap_argv() if part.startswith("--customize-hook=")][-1]
    for trace in ("etc/apt/sources.list", "etc/apt/apt.conf.d/99mmdebstrap", "etc/apt/auth.conf.d", "etc/resolv.conf"):
        assert f'"$1"/{trace}' in last_hook


def test_a_path_with_a_space_is_one_path() -> None:
    assert any("tar-in '/t/my python.tar' /" in part for part in mmdebstrap_argv())


def test_credentials_are_read_where_they_are() -> None:
    options = root_system.apt_options(DUMP, Path("/etc/apt"))
    assert 'Dir::Etc::netrc "/etc/apt/auth.conf";' in options
    assert "Verify-Peer" not in options


def test_what_root_mounts_for_a_system_ends_with_it_killed_or_not(tmp_path: Path) -> None:
    namespace = root_system.own_mounts()
    if not namespace:
        pytest.skip("only root makes mounts, where the kernel lets it")
    program = 'mount -t tmpfs none "$0" && touch "$0/mounted" && ls "$0" && kill -9 $$'
    done = subprocess.run([*namespace, "sh", "-c", program, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert done.stdout == "mounted\n"
    assert list(tmp_path.iterdir()) == []
    assert not mounts.find_below(tmp_path)
