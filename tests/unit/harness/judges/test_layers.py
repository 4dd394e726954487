"""Searching layers: the two ways (saved by the engine, or where they lie) find the same."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpuenv.core.errors import CheckError
from gpuenv.harness.judges import isolation as judge_isolation
from gpuenv.harness.judges import layers

CERTIFICATE = b"-----BEGIN CERTIFICATE-----\n" + b"A" * 64 + b"\n-----END CERTIFICATE-----\n"
CASES = [
    ({"opt/readme": b"nothing"}, []),
    ({"etc/pip.conf": b"[global]\n"}, ["/etc/pip.conf is in a layer"]),
    ({"home/user/.netrc": b"machine x password y"}, ["/home/user/.netrc is in a layer"]),
    ({"run/secrets/ca": b"x"}, ["/run/secrets/ca is in a layer"]),
    # What a secret mount leaves behind: an empty file that says nothing.
    ({"run/secrets/ca": b""}, []),
    ({"opt/company.crt": CERTIFICATE}, ["/opt/company.crt holds a certificate"]),
    ({"opt/x/certifi/cacert.pem": CERTIFICATE}, []),
    # A program that knows how a certificate begins, such as ssl.py.
    ({"opt/ssl.py": b'PEM_HEADER = "-----BEGIN CERTIFICATE-----"\n'}, []),
    ({"opt/direct_url.json": b'{"url": "file:///home/me/clone/x.whl"}'}, ["contains '/home/me/clone'"]),
    ({"opt/big": b"/home/me/clone" + bytes(layers.MAX_SEARCHED_BYTES)}, []),
]


def tar_of(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def chunks_of(data: bytes) -> Iterator[bytes]:
    yield from (data[start : start + 700] for start in range(0, len(data), 700))


@pytest.mark.parametrize(("files", "problems"), CASES)
@pytest.mark.parametrize("layout", ["0123/layer.tar", "blobs/sha256/0123"])
def test_saved_images(files: dict[str, bytes], problems: list[str], layout: str) -> None:
    saved = tar_of({"manifest.json": b"[]", "blobs/sha256/4567": b'{"a json": "document"}', layout: tar_of(files)})
    searched, found = layers.search(layers.files_in_saved(chunks_of(saved)), ["/home/me/clone", ""])
    assert searched == len(files)
    assert len(found) == len(problems)
    assert all(want in have for want, have in zip(problems, found))


@pytest.mark.parametrize(("files", "problems"), CASES)
def test_layers_where_they_lie(files: dict[str, bytes], problems: list[str], tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    searched, found = layers.search(layers.files_in_folders([tmp_path]), ["/home/me/clone", ""])
    assert searched == len(files)
    assert len(found) == len(problems)
    assert all(want in have for want, have in zip(problems, found))


def test_folders_of_the_engine(tmp_path: Path) -> None:
    names = [tmp_path / name for name in "abc"]
    for folder in names:
        folder.mkdir()
    data = {"UpperDir": str(names[0]), "LowerDir": f"{names[1]}:{names[2]}"}
    assert layers.layer_folders({"GraphDriver": {"Data": data}}) == tuple(names)
    assert layers.layer_folders({"GraphDriver": {"Data": {**data, "UpperDir": str(tmp_path / "gone")}}}) == ()
    assert layers.layer_folders({"GraphDriver": {"Data": None}}) == ()
    assert layers.layer_folders({}) == ()


def test_a_search_that_saw_nothing_is_no_success() -> None:
    judge_isolation.judge_layers(100, [])
    with pytest.raises(CheckError, match="only 99 files"):
        judge_isolation.judge_layers(99, [])
    with pytest.raises(CheckError, match="1 things"):
        judge_isolation.judge_layers(1000, ["/x holds a certificate"])


GOOD_STATUS = {
    "Uid": "1000\t1000\t1000\t1000",
    "NoNewPrivs": "1",
    **dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd"), "0000000000000000"),
}


def test_status_is_parsed() -> None:
    text = "Name:\ta:b:c\nUid:\t1\t1\t1\t1\nodd\n"
    assert judge_isolation.parse_status(text) == {"Name": "a:b:c", "Uid": "1\t1\t1\t1"}


def test_user_and_capabilities() -> None:
    judge_isolation.judge_user(GOOD_STATUS, 1000)
    judge_isolation.judge_capabilities(GOOD_STATUS)
    for uids in ("0 0 0 0", "1000 0 1000 1000", "1001 1001 1001 1001"):
        with pytest.raises(CheckError, match=f"the process runs as user {uids}, not as 1000"):
            judge_isolation.judge_user({**GOOD_STATUS, "Uid": uids}, 1000)
    with pytest.raises(CheckError, match="as user unknown, not as 1000"):
        judge_isolation.judge_user({}, 1000)
    # Where the caller is root, too.
    with pytest.raises(CheckError, match="as user 0 0 0 0, not as 0"):
        judge_isolation.judge_user({"Uid": "0 0 0 0"}, 0)
    for change in ({"CapBnd": "00000000a80425fb"}, {"CapEff": "0000000000000001"}, {"NoNewPrivs": "0"}):
        with pytest.raises(CheckError, match="capabilities"):
            judge_isolation.judge_capabilities({**GOOD_STATUS, **change})
    with pytest.raises(CheckError, match=r"capabilities \{'CapInh': '\?'"):
        judge_isolation.judge_capabilities({"NoNewPrivs": "1"})


@pytest.mark.parametrize("user", ["", "0", "root", "0:0", "root:root"])
def test_an_image_of_root_is_caught(user: str) -> None:
    judge_isolation.judge_image_user("1000:1000")
    with pytest.raises(
        CheckError,
        match=f"the image's user is '{user or 'root (none is set)'}'".replace("(", r"\(").replace(")", r"\)"),
    ):
        judge_isolation.judge_image_user(user)


def test_network_owner_history_and_modes() -> None:
    judge_isolation.judge_network(["lo"])
    judge_isolation.judge_owner((1, 2), (1, 2))
    judge_isolation.judge_history(["RUN x"], ["PATH=/bin"], ["http://proxy:3128", ""])
    judge_isolation.judge_world_writable([])
    with pytest.raises(CheckError, match="eth0"):
        judge_isolation.judge_network(["eth0", "lo"])
    with pytest.raises(CheckError, match="0:0"):
        judge_isolation.judge_owner((0, 0), (1, 2))
    with pytest.raises(CheckError, match="proxy"):
        judge_isolation.judge_history(["ARG http://proxy:3128"], [], ["http://proxy:3128"])
    with pytest.raises(CheckError, match="HTTPS_PROXY"):
        judge_isolation.judge_history(["RUN x"], ["HTTPS_PROXY=http://other"], ["/home/me"])
    with pytest.raises(CheckError, match="anybody"):
        judge_isolation.judge_world_writable(["/opt/x"])


def test_what_is_just_small_enough_is_searched(tmp_path: Path) -> None:
    for size, number in ((layers.MAX_SEARCHED_BYTES, 1), (layers.MAX_SEARCHED_BYTES + 1, 0)):
        content = b"/home/me/clone".ljust(size, b"x")
        (tmp_path / "file").write_bytes(content)
        assert len(layers.search(layers.files_in_folders([tmp_path]), ["/home/me/clone"])[1]) == number
        saved = tar_of({"0/layer.tar": tar_of({"./etc/file": content})})
        found = layers.search(layers.files_in_saved(chunks_of(saved)), ["/home/me/clone"])
        assert found == (1, ["/etc/file contains '/home/me/clone'"] * number)


def test_only_layers_of_a_saved_image_are_searched() -> None:
    saved = tar_of({"other.tar": tar_of({"etc/pip.conf": b"x"}), "0/layer.tar": tar_of({"a": b"", "b": b""})})
    assert layers.search(layers.files_in_saved(chunks_of(saved)), []) == (2, [])


def test_a_saved_image_that_is_cut_off_is_no_success() -> None:
    saved = tar_of({"0/layer.tar": tar_of({"a": b"x" * 5000})})[:3000]
    with pytest.raises(tarfile.ReadError, match="unexpected end of data"):
        layers.search(layers.files_in_saved(chunks_of(saved)), [])


def test_folders_that_may_be_read_and_entered_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda _, mode: mode == os.R_OK | os.X_OK)
    assert layers.layer_folders({"GraphDriver": {"Data": {"UpperDir": str(tmp_path)}}}) == (tmp_path,)


def test_an_engine_that_names_some_folders_only(tmp_path: Path) -> None:
    assert layers.layer_folders({"GraphDriver": {"Data": {"UpperDir": str(tmp_path)}}}) == (tmp_path,)
    assert layers.layer_folders({"GraphDriver": {"Data": {"LowerDir": str(tmp_path)}}}) == (tmp_path,)
