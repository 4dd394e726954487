"""A conda channel made on this machine: packages with the names, builds and dependencies of the real ones.

Python is a local CPython, packed so that it runs wherever it is installed; the CUDA libraries are those of the package
index. What a real channel says beyond that (hundreds of packages) nobody asks for here.
"""

from __future__ import annotations

import hashlib
import io
import json
import stat
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from elftools.elf.elffile import ELFFile

from gpuenv.base_image import python_tree
from gpuenv.base_image.relocate import files
from gpuenv.conda import lock
from gpuenv.host.pythons import LocalPython
from gpuenv.variants.model import Variant
from tiny.loopback import Handler, serving

SUBDIR = "linux-64"
#: Where the packed Python believes that it is; every installation replaces it by its own folder (conda's own way).
PLACEHOLDER = "/" + "/".join(["gpuenv-placeholder"] * 6)
#: elf(5): the two kinds of search path; the older one is conda's, and also serves what a library needs in turn.
_DT_RPATH, _DT_RUNPATH = 15, 29


@dataclass(frozen=True)
class Package:
    """What a channel tells of one package."""

    name: str
    version: str
    build: str
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    build_number: int = 0
    subdir: str = SUBDIR
    timestamp: int = 1_500_000_000_000
    license: str = "see the real package"
    noarch: str | None = field(default=None)

    @property
    def file_name(self) -> str:
        """The name of its archive."""
        return f"{self.name}-{self.version}-{self.build}.tar.bz2"

    def record(self) -> dict[str, Any]:
        """Its entry in repodata.json, without the sums."""
        return {key: value for key, value in asdict(self).items() if value is not None}


class Channel:
    """A folder that is a channel. ``add`` packs, ``write`` makes what is packed known."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records: dict[str, dict[str, dict[str, Any]]] = {SUBDIR: {}, "noarch": {}}
        for subdir in self.records:
            (folder / subdir).mkdir(parents=True, exist_ok=True)

    def add(self, package: Package, tree: Path | None = None, placeholder: str | None = None) -> Path:
        """Pack every file below ``tree`` (none without it); texts that hold ``placeholder`` get the real prefix."""
        path = self.folder / package.subdir / package.file_name
        pack(path, package, tree, placeholder)
        content = path.read_bytes()
        sums = {name: hashlib.new(name, content).hexdigest() for name in ("sha256", "md5")}
        self.records[package.subdir][path.name] = {**package.record(), **sums, "size": len(content)}
        return path

    def write(self) -> None:
        """Write repodata.json of each subdir."""
        for subdir, packages in self.records.items():
            data = {"info": {"subdir": subdir}, "packages": packages, "packages.conda": {}, "repodata_version": 1}
            (self.folder / subdir / "repodata.json").write_text(json.dumps(data), encoding="utf-8")

    def write_lock(self, variant: Variant) -> None:
        """Write the lock of a variant that is made of what is packed here, of two alike the later one.

        CUDA's packages are for `gpu` alone.
        """
        keys = ("name", "version", "build", "build_number", "sha256", "md5", "size", "depends")
        packages = {
            record["name"]: lock.Package(
                channel="simulated",
                file=f"{subdir}/{file}",
                flavors=("gpu",) if record["name"] in ("cudatoolkit", "cudnn") else ("gpu", "cpu"),
                noarch=record.get("noarch"),
                **{key: record[key] for key in keys},
            )
            for subdir, records in self.records.items()
            for file, record in records.items()
        }
        lock.path_of(variant).write_text(lock.render(variant, packages.values(), stand_in=True), encoding="utf-8")


def pack(archive: Path, package: Package, tree: Path | None, placeholder: str | None) -> None:
    """One package in the older of conda's two formats, which needs nothing but tar and bzip2."""
    members = sorted(_members(tree)) if tree else []
    entries = [_entry(tree, path, placeholder) for path in members] if tree else []
    with tarfile.open(archive, "w:bz2", compresslevel=1) as tar:
        _add_text(tar, "info/index.json", json.dumps(package.record()))
        _add_text(tar, "info/paths.json", json.dumps({"paths": entries, "paths_version": 1}))
        _add_text(tar, "info/files", "".join(f"{entry['_path']}\n" for entry in entries))
        for path in members:
            tar.add(path, str(path.relative_to(tree)) if tree else path.name, recursive=False)


def _members(tree: Path) -> Iterable[Path]:
    return [path for path in tree.rglob("*") if path.is_symlink() or path.is_file()]


def _entry(tree: Path, path: Path, placeholder: str | None) -> dict[str, Any]:
    name = str(path.relative_to(tree))
    if path.is_symlink():
        return {"_path": name, "path_type": "softlink", "sha256": hashlib.sha256(b"").hexdigest(), "size_in_bytes": 0}
    content = path.read_bytes()
    entry: dict[str, Any] = {
        "_path": name,
        "path_type": "hardlink",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_in_bytes": len(content),
    }
    if placeholder and placeholder.encode() in content and b"\0" not in content:
        entry.update(prefix_placeholder=placeholder, file_mode="text")
    return entry


def _add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(text.encode())
    tar.addfile(info, io.BytesIO(text.encode()))


def python_package(channel: Channel, python: LocalPython, minor: str, depends: Iterable[str] = ()) -> Path:
    """A local CPython as conda-forge's package of that name; pip, setuptools and wheel are packages of their own."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        python_tree.copy(python, minor, tree)
        prefix = tree / python_tree.NEW_PREFIX.lstrip("/")
        for path in files(prefix):
            content = path.read_bytes()
            if b"\0" not in content and python_tree.NEW_PREFIX.encode() in content:
                path.write_bytes(content.replace(python_tree.NEW_PREFIX.encode(), PLACEHOLDER.encode()))
            path.chmod(path.stat().st_mode | stat.S_IWUSR)
        _let_it_find_its_library(python, prefix / "bin" / f"python{minor}")
        package = Package("python", python.version, "hb7a2778_0_cpython", tuple(depends))
        return channel.add(package, prefix, PLACEHOLDER)


def _let_it_find_its_library(python: LocalPython, program: Path) -> None:
    """Give the program conda's own RPATH, in the place of the RUNPATH that it was linked with.

    Only the first bytes of that string are written over: its end may be the end of another string, too.
    """
    original = python.executable.resolve().read_bytes()
    with python.executable.open("rb") as stream:
        section: Any = ELFFile(stream).get_section_by_name(".dynamic")
        found = [tag for tag in section.iter_tags() if tag.entry.d_tag in ("DT_RPATH", "DT_RUNPATH")]
        if not found:
            return  # its libpython is where the loader looks anyway, or inside of it
        tag = found[0]
    old = (tag.rpath if tag.entry.d_tag == "DT_RPATH" else tag.runpath).encode()
    new = b"$ORIGIN/../lib\0"
    assert len(old) >= len(new), f"{python.executable}: the RUNPATH is too short to be replaced"
    assert original.count(old + b"\0") == 1
    content = original.replace(old + b"\0", new + old[len(new) :] + b"\0")
    entry = struct.Struct("<qQ")
    before, after = (entry.pack(kind, tag.entry.d_val) for kind in (_DT_RUNPATH, _DT_RPATH))
    program.write_bytes(content.replace(before, after))
    program.chmod(0o755)


def cuda_packages(channel: Channel, libraries: Mapping[str, Path], toolkit: Package, cudnn: Package) -> None:
    """The CUDA libraries (SONAME -> file) as two packages."""
    for package, is_own in ((toolkit, False), (cudnn, True)):
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "lib"
            target.mkdir()
            for soname, path in libraries.items():
                if soname.startswith("libcudnn") == is_own:
                    (target / soname).write_bytes(path.read_bytes())
                    (target / soname).chmod(0o755)
            channel.add(package, Path(folder))


def wheel_package(channel: Channel, wheel: Path, minor: str) -> None:
    """A wheel of pip, setuptools or wheel, unpacked as conda packs it."""
    name, version = wheel.name.split("-")[:2]
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "lib" / f"python{minor}" / "site-packages"
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
        channel.add(Package(name, version, f"py{minor.replace('.', '')}_0", (f"python {minor}.*",)), Path(folder))


class Served:
    """A channel on the loopback address. Tests read ``requests``, and set ``damaged``, ``cut`` or ``gone`` to how the
    name of a package begins: something else is sent in its place, the connection ends in the middle of it, or it is
    listed and not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.requests: list[str] = []
        self.damaged = ""
        self.cut = ""
        self.gone = ""

    def answer(self, name: str) -> tuple[bytes, int] | None:
        """The content that is sent for a path, and the length that is announced; None for what is not there."""
        self.requests.append(name)
        path = self.folder / name
        if not path.is_file() or (self.gone and path.name.startswith(self.gone)):
            return None
        content = path.read_bytes()
        length = len(content)
        if self.damaged and path.name.startswith(self.damaged):
            content = content[:-1] + bytes([content[-1] ^ 1])
        if self.cut and path.name.startswith(self.cut):
            content = content[: length // 2]
        return content, length


@contextmanager
def serve(folder: Path, certificate: tuple[Path, Path] | None = None) -> Iterator[Served]:
    """Serve the channel in ``folder``; with a ``certificate`` (and its key) over TLS."""
    channel = Served(folder)

    class Answers(Handler):
        def answer(self) -> None:
            found = channel.answer(unquote(self.path).lstrip("/"))
            if found is None:
                self.send_error(404)
                return
            content, length = found
            self.send_response(200)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(content)
            self.close_connection = len(content) < length

    with serving(Answers, certificate) as channel.url:
        yield channel
