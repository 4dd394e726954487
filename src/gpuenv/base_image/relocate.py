"""Rewrites a copied tree so that nothing in it leads back to where it was installed.

Text files are rewritten. Binaries are not: linkers let one string be the end of another one, and in
``libpython`` the version ``3.6.15`` is the end of the prefix ``.../versions/3.6.15``, so that
shortening the one destroys the other. What a loader would follow, a RUNPATH, is taken out instead.
"""

from __future__ import annotations

import re
import struct
from io import BytesIO
from pathlib import Path

from gpuenv.core.errors import HostError
from gpuenv.host import elf

#: elf(5): the entries of a 64-bit dynamic section, and the tags of a search path.
_ENTRY = struct.Struct("<qQ")
_DT_RPATH, _DT_RUNPATH = 15, 29


def relocate(tree: Path, old_prefix: str, new_prefix: str) -> None:
    """Rewrite a prefix in texts below ``tree``, and drop it from binaries' search paths. HostError if one keeps it."""
    if old_prefix == new_prefix:
        return
    old, new = old_prefix.encode(), new_prefix.encode()
    for path in files(tree):
        content = path.read_bytes()
        is_binary = content.startswith(elf.MAGIC)
        changed = without_search_path(content, old) if is_binary else rewrite(content, old, new)
        if changed != content:
            path.write_bytes(changed)
    leftovers = find_leftovers(tree, old)
    if leftovers:
        raise HostError(
            f"the Python in {old_prefix} cannot be moved",
            f"{len(leftovers)} files keep that path, first {leftovers[0].relative_to(tree)}",
            "use another Python of this version, or set BASE=registry",
        )


def rewrite(content: bytes, old: bytes, new: bytes) -> bytes:
    """``content`` with ``old`` replaced where it is whole: ``/opt/python`` is not in ``/opt/python3``."""
    return _whole(old).sub(lambda _: new, content)


def find_leftovers(tree: Path, old: bytes) -> list[Path]:
    """The files that still name ``old``: texts at all, binaries in their search path."""
    pattern = _whole(old)
    found = []
    for path in files(tree):
        content = path.read_bytes()
        is_binary = content.startswith(elf.MAGIC)
        if without_search_path(content, old) != content if is_binary else pattern.search(content):
            found.append(path)
    return found


def _whole(prefix: bytes) -> re.Pattern[bytes]:
    return re.compile(re.escape(prefix) + rb"(?![\w.-])")


def without_search_path(content: bytes, old: bytes) -> bytes:
    """A binary without the RPATH and RUNPATH entries that name ``old``; the entries behind move up."""
    from elftools.elf.dynamic import DynamicSection
    from elftools.elf.elffile import ELFFile

    section = ELFFile(BytesIO(content)).get_section_by_name(".dynamic")
    if not isinstance(section, DynamicSection):
        return content
    kinds = {"DT_RPATH": "rpath", "DT_RUNPATH": "runpath"}
    search_paths = [getattr(tag, kinds[tag.entry.d_tag]) for tag in section.iter_tags() if tag.entry.d_tag in kinds]
    if not any(_whole(old).search(path.encode()) for path in search_paths):
        return content
    start, size = section["sh_offset"], section["sh_size"]
    entries = _ENTRY.iter_unpack(content[start : start + size])
    left = b"".join(_ENTRY.pack(*entry) for entry in entries if entry[0] not in (_DT_RPATH, _DT_RUNPATH))
    return content[:start] + left.ljust(size, b"\0") + content[start + size :]


def files(tree: Path) -> list[Path]:
    """Every regular file below ``tree``."""
    return [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()]
