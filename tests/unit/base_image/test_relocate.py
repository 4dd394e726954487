from __future__ import annotations

import struct
from pathlib import Path

import pytest

from gpuenv.base_image import python_tree, relocate
from gpuenv.core.errors import HostError
from gpuenv.host.pythons import LocalPython

OLD, NEW = "/opt/versions/3.6.15", "/usr/local"


def make_installation(prefix: Path) -> LocalPython:
    """An installed Python, with everything besides that must not come along."""
    library = prefix / "lib/python3.6"
    for path, content in {
        "bin/python3.6": "binary",
        "bin/pip": f"#!{prefix}/bin/python3.6",
        "bin/other-program": "x",
        "lib/libpython3.6m.so.1.0": "binary",
        "lib/libpython3.6m.a": "static",
        "lib/python3.6/os.py": "x = 1",
        "lib/python3.6/_sysconfigdata.py": f"prefix = '{prefix}'\n",
        "lib/python3.6/__pycache__/os.pyc": f"{prefix}",
        "lib/python3.6/test/test_os.py": "x",
        "lib/python3.6/unittest/test/x.py": "x",
        "lib/python3.6/lib-dynload/_tkinter.cpython-36m.so": "x",
        "lib/python3.6/config/libpython3.6m.a": "static",
        "lib/python3.6/site-packages/numpy/core.py": f"{prefix}",
        "include/python3.6m/Python.h": "x",
        "share/man/python.1": "x",
    }.items():
        (prefix / path).parent.mkdir(parents=True, exist_ok=True)
        (prefix / path).write_text(content)
    (library / "email").mkdir()
    (library / "email/site-packages").write_text("a name that means nothing here")
    return LocalPython(prefix / "bin/python3.6", "3.6.15", prefix)


def test_a_copy_has_the_interpreter_and_nothing_besides(tmp_path: Path) -> None:
    python = make_installation(tmp_path / "installed")
    python_tree.copy(python, "3.6", tmp_path / "target")
    new = tmp_path / "target/usr/local"
    files = {str(path.relative_to(new)) for path in relocate.files(new)}
    assert files == {
        "bin/python3.6",
        "lib/libpython3.6m.so.1.0",
        "lib/python3.6/os.py",
        "lib/python3.6/_sysconfigdata.py",
        "lib/python3.6/email/site-packages",
        "include/python3.6m/Python.h",
    }
    assert (new / "lib/python3.6/site-packages").is_dir()
    assert (new / "bin/python").readlink() == (new / "bin/python3").readlink() == Path("python3.6")


def test_a_copy_names_the_new_place_only(tmp_path: Path) -> None:
    python = make_installation(tmp_path / "installed")
    python_tree.copy(python, "3.6", tmp_path / "target")
    new = tmp_path / "target/usr/local"
    assert (new / "lib/python3.6/_sysconfigdata.py").read_text() == "prefix = '/usr/local'\n"
    assert relocate.find_leftovers(new, str(python.prefix).encode()) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#!/opt/versions/3.6.15/bin/python", "#!/usr/local/bin/python"),
        ("-L/opt/versions/3.6.15/lib:/opt/versions/3.6.15", "-L/usr/local/lib:/usr/local"),
        ("/opt/versions/3.6.15-other/lib", "/opt/versions/3.6.15-other/lib"),
        ("/opt/versions/3.6.150", "/opt/versions/3.6.150"),
        ("nothing", "nothing"),
    ],
)
def test_only_whole_paths_are_rewritten(text: str, expected: str) -> None:
    assert relocate.rewrite(text.encode(), OLD.encode(), NEW.encode()).decode() == expected


def test_a_leftover_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Makefile").write_text(f"prefix={OLD}")
    monkeypatch.setattr(relocate, "rewrite", lambda content, *_: content)
    with pytest.raises(HostError, match="Makefile"):
        relocate.relocate(tmp_path, OLD, NEW)


def elf_with_runpath(path: bytes) -> bytes:
    """The smallest 64-bit file with a dynamic section: NEEDED, RUNPATH, FLAGS, and the end."""
    strings = b"\0" + path + b"\0libc.so.6\0"
    names = b"\0.dynamic\0.dynstr\0.shstrtab\0"
    dynamic = b"".join(struct.pack("<qQ", *entry) for entry in ((1, strings.index(b"libc")), (29, 1), (30, 8), (0, 0)))
    header_size, section_size = 64, 64
    starts = [header_size, header_size + len(dynamic), header_size + len(dynamic) + len(strings)]
    table = starts[2] + len(names)
    header = struct.pack(
        "<4sBBBB8xHHIQQQIHHHHHH",
        *(b"\x7fELF", 2, 1, 1, 0, 3, 62, 1, 0, 0, table, 0, header_size, 0, 0, section_size, 4, 3),
    )

    def section(name: bytes, kind: int, place: tuple[int, int], link: int = 0, entry: int = 0) -> bytes:
        return struct.pack("<IIQQQQIIQQ", names.index(name), kind, 0, 0, *place, link, 0, 1, entry)

    sections = [
        bytes(section_size),
        section(b".dynamic", 6, (starts[0], len(dynamic)), 2, 16),
        section(b".dynstr", 3, (starts[1], len(strings))),
        section(b".shstrtab", 3, (starts[2], len(names))),
    ]
    return header + dynamic + strings + names + b"".join(sections)


def test_a_search_path_that_leads_back_is_taken_out_of_a_binary(tmp_path: Path) -> None:
    binary = tmp_path / "libx.so"
    original = elf_with_runpath(OLD.encode() + b"/lib")
    binary.write_bytes(original)
    assert relocate.find_leftovers(tmp_path, OLD.encode()) == [binary]
    relocate.relocate(tmp_path, OLD, NEW)
    assert relocate.find_leftovers(tmp_path, OLD.encode()) == []
    changed = binary.read_bytes()
    assert len(changed) == len(original)
    tags = [tag for tag, _ in struct.iter_unpack("<qQ", changed[64:128])]
    assert tags == [1, 30, 0, 0]


def test_strings_of_a_binary_stay_as_they_are(tmp_path: Path) -> None:
    """The linker lets the version be the end of the prefix: shortening one would destroy the other."""
    content = elf_with_runpath(b"$ORIGIN/../lib") + OLD.encode() + b"\0"
    (tmp_path / "libx.so").write_bytes(content)
    relocate.relocate(tmp_path, OLD, NEW)
    assert (tmp_path / "libx.so").read_bytes() == content


def test_ldd_is_read() -> None:
    output = """/x/a.so:
\tlinux-vdso.so.1 (0x00007ffd)
\tlibssl.so.3 => /lib/x86_64-linux-gnu/libssl.so.3 (0x00007f)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f)
/x/b.so:
\tlibgone.so.1 => not found
"""
    assert python_tree.parse_ldd(output) == {"/lib/x86_64-linux-gnu/libssl.so.3", "not found"}


@pytest.mark.parametrize(
    ("output", "owner"),
    [
        ("libssl3:amd64: /usr/lib/x86_64-linux-gnu/libssl.so.3\n", "libssl3"),
        ("base-files: /usr/lib/os-release\n", "base-files"),
        ("diversion by dash from: /bin/sh\ndash: /bin/sh\n", "dash"),
        ("libc6:amd64, libc6:i386: /x\n", "libc6"),
        ("", None),
    ],
)
def test_the_owner_of_a_file_is_read(output: str, owner: str | None) -> None:
    assert python_tree.parse_owner(output) == owner


def test_a_file_is_asked_for_by_both_names_of_a_merged_folder() -> None:
    found = python_tree.package_names(Path("/lib/nowhere/libx.so.1"))
    assert {"/lib/nowhere/libx.so.1", "/usr/lib/nowhere/libx.so.1"} <= set(found)
