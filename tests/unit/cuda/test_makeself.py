from __future__ import annotations

import io

import pytest

from gpuenv.cuda import makeself
from tiny import runfile


def names_in(content: bytes) -> list[list[str]]:
    return [[member.name for member in tar] for tar in makeself.tars(io.BytesIO(content))]


@pytest.mark.parametrize("script", [runfile.OLD_SCRIPT, runfile.NEW_SCRIPT])
@pytest.mark.parametrize("packing", ["gz", "bz2", "xz", ""])
def test_the_files_behind_the_script_are_found(script: str, packing: runfile.Packing) -> None:
    content = runfile.makeself(runfile.tar_of({"a": b"1", "b": bytes(20_000)}, packing), script)
    assert names_in(content + b"what is appended") == [["a", "b"]]


def test_of_several_tars_each_is_found() -> None:
    first, second = runfile.tar_of({"a": b"1"}), runfile.tar_of({"b": b"2"}, "xz")
    content = runfile.makeself(first + second)
    both = f'filesizes="{len(first)} {len(second)}"'.encode()
    assert names_in(content.replace(f'filesizes="{len(first + second)}"'.encode(), both)) == [["a"], ["b"]]


def test_one_file_of_a_tar_is_read_from_front_to_back() -> None:
    content = runfile.makeself(runfile.tar_of({"a": bytes(300_000)}))
    for tar in makeself.tars(io.BytesIO(content)):
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            assert file.read() == bytes(300_000)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "does not begin as a script"),
        (b"PK\x03\x04", "does not begin as a script"),
        (b"#!/bin/sh\necho\n", "does not tell where"),
        (b"#!/bin/sh\n" + b"x" * (makeself.SCRIPT_LIMIT_BYTES + 9), "does not tell where"),
        (b"#!/bin/sh\n" + b"x\n" * makeself.SCRIPT_LIMIT_BYTES, "does not tell where"),
        (b'#!/bin/sh\nskip="2"\nfilesizes="9"\n', "goes on after them"),
        (b'#!/bin/sh\nskip="99"\nfilesizes="9"\n', "does not tell where"),
    ],
)
def test_what_is_no_such_script_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        names_in(content)
