"""What of the host a shell sees."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from gpuenv.core.errors import UsageError
from gpuenv.net import certificates
from gpuenv.shell import workspace


def test_the_work_folder_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "with spaces, 딥러닝: and a colon"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(folder)
    assert workspace.check_work(None) == folder
    assert workspace.check_work("") == folder
    assert workspace.check_work("../link") == folder


def test_a_missing_work_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist") as caught:
        workspace.check_work(str(tmp_path / "a b"))
    assert caught.value.next_step == f"mkdir -p '{tmp_path}/a b'"


def test_a_file_is_no_work_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="not a folder"):
        workspace.check_work(str(tmp_path / "file"))
    with pytest.raises(UsageError, match="cannot be used"):
        workspace.check_work(str(tmp_path / "file" / "below"))


def test_a_loop_of_links(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(UsageError, match="cannot be used"):
        workspace.check_work(str(tmp_path / "a"))


def test_a_work_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may write everything, so the system's answer is made up here; tests/e2e asks as somebody else.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UsageError, match="cannot be written") as caught:
        workspace.check_work(str(tmp_path))
    assert f"user {tmp_path.stat().st_uid}" in caught.value.why


def test_the_variables_of_a_shell() -> None:
    host = {"https_proxy": "http://proxy:3128", "NO_PROXY": "campus", "HTTP_PROXY": "", "TERM": "vt100", "SECRET": "x"}
    assert workspace.environment(host, "kim", has_bundle=False, tty=False) == {
        "HOME": "/home/user",
        "USER": "kim",
        "LOGNAME": "kim",
        "CUDA_CACHE_PATH": "/home/user/.nv/ComputeCache",
        "https_proxy": "http://proxy:3128",
        "NO_PROXY": "campus",
    }
    values = workspace.environment(host, "kim", has_bundle=True, tty=True)
    assert values["TERM"] == "vt100"
    assert {values[name] for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")} == {
        "/etc/gpuenv/ca-bundle.crt"
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("http://localhost:3128", ["https_proxy"]),
        ("http://user:pw@127.0.0.1:3128/", ["https_proxy"]),
        ("[::1]:3128", ["https_proxy"]),
        ("http://proxy.localhost.example:3128", []),
    ],
)
def test_proxies_on_this_machine(value: str, expected: list[str]) -> None:
    assert workspace.local_proxies({"https_proxy": value, "no_proxy": "localhost"}) == expected


def test_the_bundle_is_mounted_where_the_link_leads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real.pem").touch()
    (tmp_path / "link.pem").symlink_to("real.pem")
    monkeypatch.setattr(certificates, "find_bundle", lambda: tmp_path / "link.pem")
    (mount,) = workspace.ca_mounts()
    assert (mount.source, mount.read_only) == (str(tmp_path / "real.pem"), True)
    monkeypatch.setattr(certificates, "find_bundle", lambda: None)
    assert workspace.ca_mounts() == ()


def test_a_caller_whom_the_image_does_not_know_gets_a_name() -> None:
    content = workspace.names_archive(1234, 4_000_000, "kim")
    assert content is not None
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        files = {entry.name: archive.extractfile(entry) for entry in archive}
        passwd, group = (file.read().decode() for file in files.values() if file)
    assert list(files) == ["etc/passwd", "etc/group"]
    assert "kim:x:1234:4000000::/home/user:/bin/bash\n" in passwd
    assert "kim:x:4000000:\n" in group
    assert workspace.names_archive(1000, 1000, "kim") is None


def test_the_name_of_nobody() -> None:
    assert workspace.user_name(0) == "root"
    assert workspace.user_name(3_999_999_999) == "user3999999999"
