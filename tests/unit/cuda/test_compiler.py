"""Without a compiler of this machine's, the pinned one is taken; here a script is in its place, in a wheel like it."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from pathlib import Path

import pytest
from msgspec import structs

from gpuenv.core.errors import HostError, SourceError
from gpuenv.cuda import compiler, sources
from gpuenv.cuda.files import cached_path

SCRIPT = """#!/bin/sh
case "$*" in *bad.c*) echo "bad.c: error" >&2; exit 1;; esac
echo "$ZIG_GLOBAL_CACHE_DIR $*" > said
"""


@pytest.fixture
def without_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_own: None) -> None:
    path = tmp_path / "ziglang.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ziglang/zig", SCRIPT)
    content = path.read_bytes()
    source = structs.replace(compiler.ZIG, sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    monkeypatch.setattr(compiler, "ZIG", source)
    cached_path(source).parent.mkdir(parents=True)
    path.rename(cached_path(source))


@pytest.mark.usefixtures("wheel")
def test_the_pinned_one_compiles_for_the_oldest_system(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compiler.check()
    assert capsys.readouterr().err == ""
    assert compiler.compile_all([["-o", "x.so", "x.c"]], tmp_path) == ""
    caches, said = (tmp_path / "said").read_text().split(" ", 1)
    assert said == "cc -target x86_64-linux-gnu.2.17 -o x.so x.c\n"
    # It and what it keeps go again.
    assert not Path(caches).parent.exists()
    assert compiler.compile_all([["bad.c"], ["x.c"]], tmp_path) == "bad.c: error"


@pytest.mark.usefixtures("without_own")
def test_where_none_can_be_had_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise SourceError("the index does not answer", "no route", "try again")

    monkeypatch.setattr(sources, "open_source", refuse)
    with pytest.raises(HostError, match="no C compiler") as caught:
        compiler.check()
    assert "no route" in caught.value.why
    assert caught.value.next_step.startswith("apt-get install gcc")
