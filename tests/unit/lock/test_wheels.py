"""Which file of a package a platform takes."""

from __future__ import annotations

import pytest

from gpuenv.core.errors import DataError
from gpuenv.lock.wheels import LINUX, WINDOWS, Choice, Platform, parse_pylock, wheel_tags

PYTHON = "3.6.15"
A, B, C, D = (letter * 64 for letter in "abcd")


def package(name: str, wheels: dict[str, str], sdist: tuple[str, str] | None = None) -> str:
    """One package of a pylock, as the resolver writes it."""
    entry = '{{ url = "http://index.invalid/{}", size = 5, hashes = {{ sha256 = "{}" }} }}'
    text = f'[[packages]]\nname = "{name}"\nversion = "1.0"\n'
    if sdist:
        text += f"sdist = {entry.format(*sdist)}\n"
    return text + f"wheels = [{', '.join(entry.format(*item) for item in wheels.items())}]\n"


def choose(text: str, platform: Platform) -> Choice:
    header = 'lock-version = "1.0"\ncreated-by = "uv"\n'
    (choice,) = parse_pylock(header + text, PYTHON, platform).values()
    return choice


WHEELS = {
    "x-1.0-cp36-cp36m-manylinux1_x86_64.whl": A,
    "x-1.0-cp36-cp36m-manylinux_2_17_x86_64.manylinux2014_x86_64.whl": B,
    "x-1.0-cp36-cp36m-win_amd64.whl": C,
    "x-1.0-cp37-cp37m-manylinux1_x86_64.whl": D,
    "x-1.0-cp36-cp36m-manylinux1_i686.whl": D,
    "x-1.0-cp36-cp36m-manylinux_2_28_x86_64.whl": D,
    "x-1.0-cp36-cp36m-win32.whl": D,
}


def test_linux_takes_every_wheel_that_fits_and_names_the_best() -> None:
    choice = choose(package("x", WHEELS, ("x-1.0.tar.gz", D)), LINUX)
    assert choice == Choice(
        "1.0", "x-1.0-cp36-cp36m-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", 5, frozenset({A, B})
    )


def test_windows_takes_its_own_wheel() -> None:
    assert choose(package("x", WHEELS), WINDOWS) == Choice("1.0", "x-1.0-cp36-cp36m-win_amd64.whl", 5, frozenset({C}))


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("x-1.0-cp36-abi3-win_amd64.whl", True),
        ("x-1.0-cp34-abi3-win_amd64.whl", True),
        ("x-1.0-py2.py3-none-any.whl", True),
        ("x-1.0-py3-none-win_amd64.whl", True),
        ("x-1.0-cp37-abi3-win_amd64.whl", False),
        ("x-1.0-py37-none-any.whl", False),
        ("x-1.0-py2-none-any.whl", False),
    ],
)
def test_abi3_and_pure_wheels(name: str, fits: bool) -> None:
    choice = choose(package("x", {name: A}, ("x-1.0.tar.gz", D)), WINDOWS)
    assert (choice.file == name) is fits


def test_a_source_is_taken_only_without_a_wheel() -> None:
    choice = choose(package("x", {"x-1.0-cp37-cp37m-win_amd64.whl": A}, ("x-1.0.tar.gz", B)), WINDOWS)
    assert choice == Choice("1.0", "x-1.0.tar.gz", 5, frozenset({B}))


def test_no_file_at_all_names_the_package_and_the_platform() -> None:
    with pytest.raises(DataError, match=r"x 1.0 has no file for Python 3.6.15 on win32"):
        choose(package("x", {"x-1.0-cp37-cp37m-win_amd64.whl": A}), WINDOWS)


def test_a_file_without_a_digest_is_refused() -> None:
    text = package("x", {"x-1.0-py3-none-any.whl": A}).replace("sha256", "md5")
    with pytest.raises(DataError, match="without a sha256"):
        choose(text, LINUX)


@pytest.mark.parametrize(
    ("python", "tag"),
    [("3.7.9", "cp37-cp37m"), ("3.8.1", "cp38-cp38"), ("3.9.1", "cp39-cp39")],
)
def test_up_to_3_7_the_abi_carries_an_m(python: str, tag: str) -> None:
    tags = [str(one) for one in wheel_tags(python, WINDOWS)]
    assert tags[0] == f"{tag}-win_amd64"
    others = {one.split("-")[1] for one in tags if one.startswith(tag.split("-", maxsplit=1)[0] + "-")} - {
        "abi3",
        "none",
    }
    assert others == {tag.split("-")[1]}


def test_a_pure_wheel_of_the_very_interpreter_fits() -> None:
    assert choose(package("x", {"x-1.0-cp36-none-any.whl": A}), WINDOWS).file == "x-1.0-cp36-none-any.whl"


def test_only_a_source_says_where_it_comes_from() -> None:
    assert choose(package("x", WHEELS), WINDOWS).url == ""
    assert choose(package("x", {}, ("x-1.0.tar.gz", B)), WINDOWS).url == "http://index.invalid/x-1.0.tar.gz"
    of_a_folder = package("x", {}, ("x-1.0.tar.gz", B)).replace('url = "http://index.invalid/', 'path = "/packages/')
    assert choose(of_a_folder, WINDOWS).url == "/packages/x-1.0.tar.gz"


def test_a_size_that_the_index_does_not_tell_is_0() -> None:
    assert choose(package("x", WHEELS).replace("size = 5, ", ""), WINDOWS).size == 0
