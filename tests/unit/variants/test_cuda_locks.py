from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from gpuenv.variants import model as variants
from gpuenv.variants.cuda_lock import load_cuda_lock, of_index
from gpuenv.variants.model import Variant

ALL = variants.load_all()
EVERY_VARIANT = pytest.mark.parametrize("variant", ALL, ids=[variant.name for variant in ALL])


@EVERY_VARIANT
def test_lock_is_genuine_and_has_two_independent_origins(variant: Variant) -> None:
    lock = load_cuda_lock(variant.cuda_lock_path)
    assert lock.label == "complete"
    for component in lock.components:
        assert {source.origin for source in component.sources} == {"nvidia", "julia", "index"}
        hosts = {urlsplit(source.url or "").hostname for source in component.sources}
        assert len(hosts) == len(component.sources)


@EVERY_VARIANT
def test_all_but_what_is_on_no_index_can_come_from_there(variant: Variant) -> None:
    lock = load_cuda_lock(variant.cuda_lock_path)
    index = of_index(lock)
    version = variant.cuda.version
    assert (lock.stand_ins, lock.left_out) == ((), ())
    assert index.stand_ins == (f"libcufft.so.{version}", f"libcusolver.so.{version}")
    assert index.left_out == (f"libcupti.so.{version}",)
    assert {*index.sonames, *index.left_out} == {*lock.sonames}
    assert index.digest != lock.digest
    assert all(part.sources[0].size for part in index.parts)


@EVERY_VARIANT
def test_versions_are_those_of_the_variant(variant: Variant) -> None:
    by_name = {part.name: part for part in load_cuda_lock(variant.cuda_lock_path).components}
    assert by_name["cuda-toolkit"].version.startswith(variant.cuda.version + ".")
    assert by_name["cudnn"].version == variant.cuda.cudnn
    major = variant.cuda.cudnn.split(".")[0]
    assert by_name["cudnn"].sonames == (f"libcudnn.so.{major}",)
    assert all(soname.endswith(f".so.{variant.cuda.version}") for soname in by_name["cuda-toolkit"].sonames)


def test_no_archive_is_named_twice() -> None:
    every = [
        source
        for variant in ALL
        for component in load_cuda_lock(variant.cuda_lock_path).components
        for source in component.sources
    ]
    assert len({source.sha256 for source in every}) == len(every)
    assert len({source.url or source.wheel for source in every}) == len(every)
    assert all(source.wheel or urlsplit(source.url or "").scheme == "https" for source in every)
