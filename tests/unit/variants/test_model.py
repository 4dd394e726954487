from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from gpuenv.core import paths
from gpuenv.core.errors import DataError, UsageError
from gpuenv.variants import model as variants
from gpuenv.variants.cuda_lock import load_cuda_lock, of_index

SOURCE = """
[[component.source]]
url = "https://example.invalid/a.tar.gz"
sha256 = "{digest}"
origin = "{origin}"
unpack = "tar"
"""
WHEEL = """
[[component.source]]
wheel = "x_gpu-1.0.post2-cp36-cp36m-linux_x86_64.whl"
sha256 = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
origin = "index"
unpack = "zip"
"""
SONAME = "libcudart.so.10.0"
COMPONENT = """
[[component]]
name = "cuda-toolkit"
version = "10.0.130"
sonames = ["libcudart.so.10.0"]
"""


@pytest.fixture
def envs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the real variants that a test may spoil."""
    copy = tmp_path / "envs"
    shutil.copytree(paths.project_root() / "envs", copy)
    monkeypatch.setenv("GPUENV_ENVS_DIR", str(copy))
    return copy


def spoil(path: Path, pattern: str, replacement: str) -> None:
    text = path.read_text()
    spoiled = re.sub(pattern, replacement, text, count=1, flags=re.MULTILINE)
    assert spoiled != text, "the pattern must hit"
    path.write_text(spoiled)


def test_the_real_variants_load_and_hold_together() -> None:
    for variant in variants.load_all():
        assert variant.tensorflow.distribution("gpu") != variant.tensorflow.distribution("cpu")
        assert variant.python.startswith(variant.python_minor + ".")
        assert variant.base.pinned.endswith(variant.base.digest)
        assert variant.disk.needed_gb("gpu") > variant.disk.needed_gb("cpu")


def test_the_real_cuda_locks_name_two_independent_origins_each() -> None:
    for variant in variants.load_all():
        lock = load_cuda_lock(variant.cuda_lock_path)
        assert lock.label == "complete"
        for component in lock.components:
            assert len({source.origin for source in component.sources}) >= 2


def test_without_a_name_the_default_is_taken() -> None:
    assert variants.find_variant(None).is_default


@pytest.mark.parametrize(
    ("pattern", "replacement", "key", "expected"),
    [
        (r'^name = "cuda9.0"', 'name = "cuda9.1"', "name", "the name of the folder"),
        (r"^python = .*", 'python = "3.6"', "python", "a full version"),
        (r"^python = .*", "python = 3.6", "python", "expected a string"),
        (r"^python = .*\n", "", "python", "missing"),
        (r"^default = .*", 'default = "no"', "default", "true or false"),
        (r"^summary", 'colour = "red"\nsummary', "colour", "not known"),
        (r"^digest = .*", 'digest = "sha256:123"', "base.digest", "64 hexadecimal digits"),
        (r"^digest = .*", 'digest = "latest"', "base.digest", "64 hexadecimal digits"),
        (r'^image = ".*"', 'image = "python"', "base.image", "with a tag"),
        (r"^cudnn = .*", 'cudnn = "7.0.4"', "cuda.cudnn", "cudnn_floor"),
        (r"^compute_capability = .*", 'compute_capability = ["7.0"]', "cuda.compute_capability", "lowest, highest"),
        (r"^compute_capability = .*", 'compute_capability = ["7.5", "3.5"]', "cuda.compute_capability", "lowest"),
        (r"^gpu_gb = .*", "gpu_gb = -1", "disk.gpu_gb", "positive"),
        (r"^gpu_gb = .*", "gpu_gb = true", "disk.gpu_gb", "positive"),
        (r"^\[tensorflow\]", "[tensorflow]\nnightly = true", "tensorflow.nightly", "not known"),
    ],
)
def test_a_bad_variant_is_refused_by_file_and_key(
    envs: Path, pattern: str, replacement: str, key: str, expected: str
) -> None:
    path = envs / "cuda9.0" / "variant.toml"
    spoil(path, pattern, replacement)
    with pytest.raises(DataError) as caught:
        variants.load_variant(path.parent)
    assert str(path) in caught.value.what
    assert caught.value.why.startswith(f"{key}: ")
    assert expected in caught.value.why


def test_a_file_that_is_not_toml_is_refused(envs: Path) -> None:
    path = envs / "cuda9.0" / "variant.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="cannot be read as TOML"):
        variants.load_variant(path.parent)


@pytest.mark.parametrize("value", ["true", "false"])
def test_exactly_one_variant_is_the_default(envs: Path, value: str) -> None:
    for path in envs.glob("*/variant.toml"):
        path.write_text(re.sub(r"^default = .*", f"default = {value}", path.read_text(), flags=re.MULTILINE))
    with pytest.raises(DataError, match="default variants"):
        variants.find_variant(None)


def test_an_unknown_variant_lists_the_known_and_suggests_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        variants.find_variant("cuda9")
    assert "cuda9.0, cuda10.0" in caught.value.why
    assert "VARIANT=cuda9.0" in caught.value.next_step


def test_a_variant_cannot_be_reached_through_a_path() -> None:
    with pytest.raises(UsageError, match=r"there is no variant '\.\./envs/cuda9\.0'"):
        variants.find_variant("../envs/cuda9.0")


def write_cuda_lock(folder: Path, text: str) -> Path:
    path = folder / "cuda.lock.toml"
    path.write_text(text)
    return path


def two_sources(first: str = "nvidia", second: str = "julia") -> str:
    return SOURCE.format(digest="a" * 64, origin=first) + SOURCE.format(digest="b" * 64, origin=second)


def test_a_cuda_lock_loads(tmp_path: Path) -> None:
    lock = load_cuda_lock(write_cuda_lock(tmp_path, COMPONENT + two_sources()))
    assert [source.origin for source in lock.components[0].sources] == ["nvidia", "julia"]
    assert not lock.from_index


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (COMPONENT + two_sources("nvidia", "nvidia"), "component[0].source"),
        (COMPONENT + two_sources().replace("a" * 64, "A" * 64), "component[0].source[0].sha256"),
        (COMPONENT + two_sources().replace("a" * 64, "a" * 63), "component[0].source[0].sha256"),
        (COMPONENT + two_sources().replace('unpack = "tar"', 'unpack = "rar"'), "component[0].source[0].unpack"),
        (COMPONENT + two_sources().replace("https://", "ftp://"), "component[0].source[0].url"),
        (COMPONENT.replace('"libcudart.so.10.0"', '"cudart"') + two_sources(), "component[0].sonames"),
        (COMPONENT.replace('"libcudart.so.10.0"', "") + two_sources(), "component[0].sonames"),
        (COMPONENT + two_sources() + WHEEL.replace('"zip"', '"tar"'), "component[0].source[2].unpack"),
        (COMPONENT + two_sources() + WHEEL + 'url = "https://x.invalid/a"', "component[0].source[2].url"),
        (COMPONENT + two_sources() + WHEEL.replace("wheel", "#"), "component[0].source[2].url"),
        (COMPONENT + two_sources() + WHEEL.replace(".whl", ".zip"), "component[0].source[2].wheel"),
        (COMPONENT + two_sources() + WHEEL.replace("x_gpu", "../x_gpu"), "component[0].source[2].wheel"),
        (COMPONENT + two_sources() + WHEEL + 'sonames = ["libz.so.1"]', "component[0].source[2].sonames"),
        (COMPONENT + two_sources() + WHEEL + f"sonames = {[SONAME] * 2}", "component[0].source[2].sonames"),
        (COMPONENT + two_sources() + f"sonames = {[SONAME]}", "component[0].source[1].sonames"),
        (COMPONENT, "component[0].source"),
        (
            COMPONENT.replace('"libcudart.so.10.0"', '"libcudart.so.10.0", "libcublas.so.10.0"')
            + two_sources()
            + WHEEL
            + 'sonames = ["libcudart.so.10.0"]',
            "component[0].sonames: no wheel has libcublas.so.10.0",
        ),
        ("", "component"),
        ("component = []", "component"),
        ("color = 1\n" + COMPONENT + two_sources(), "color"),
    ],
)
def test_a_bad_cuda_lock_is_refused_by_file_and_key(tmp_path: Path, text: str, key: str) -> None:
    path = write_cuda_lock(tmp_path, text)
    with pytest.raises(DataError) as caught:
        load_cuda_lock(path)
    assert str(path) in caught.value.what
    assert caught.value.why.startswith(key)


def test_a_lock_of_files_of_this_machine_may_have_one_origin(tmp_path: Path) -> None:
    text = COMPONENT + SOURCE.format(digest="a" * 64, origin="own").replace("https://", "file:///")
    lock = load_cuda_lock(write_cuda_lock(tmp_path, text))
    assert (lock.label, lock.has_index) == ("complete", False)


def test_a_wheel_may_have_some_of_the_libraries(tmp_path: Path) -> None:
    names = '"libcudart.so.10.0", "libcufft.so.10.0", "libcupti.so.10.0"'
    component = COMPONENT.replace('"libcudart.so.10.0"', names)
    text = component + two_sources() + WHEEL + 'sonames = ["libcudart.so.10.0"]\n'
    lock = load_cuda_lock(write_cuda_lock(tmp_path, text))
    (part,) = lock.parts
    assert [source.origin for source in part.sources] == ["nvidia", "julia"]
    index = of_index(lock)
    (part,) = index.parts
    assert (part.sonames, part.sources[0].wheel) == (
        ("libcudart.so.10.0",),
        "x_gpu-1.0.post2-cp36-cp36m-linux_x86_64.whl",
    )
    assert (index.stand_ins, index.left_out) == (("libcufft.so.10.0",), ("libcupti.so.10.0",))
    assert index.sonames == ("libcudart.so.10.0", "libcufft.so.10.0")
