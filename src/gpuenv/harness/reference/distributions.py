"""What is installed, read from the metadata on disk: no pip, no pkg_resources, which may be what is broken."""

import csv
import os
import re
import sys
import sysconfig
from email.parser import HeaderParser


def site_folders():
    """The folders that hold installed distributions, in the order of ``sys.path``."""
    found = []
    for folder in [*sys.path, sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]:
        if os.path.basename(folder) in ("site-packages", "dist-packages") and os.path.isdir(folder):
            path = os.path.realpath(folder)
            if path not in found:
                found.append(path)
    return found


def own_prefix():
    """The folder of this environment; None where Python is the machine's own, whose folder has much else."""
    prefix = os.path.realpath(sys.prefix)
    marks = (os.path.join(prefix, name) for name in ("pyvenv.cfg", "conda-meta"))
    return prefix if any(map(os.path.exists, marks)) else None


def canonical(name):
    """The name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


#: Shipped by accident beside the packages, and not meant to be imported (matplotlib's say so).
NOT_FOR_IMPORT = ("docs", "test", "tests")


class Distribution:
    """One installed distribution: ``name`` (canonical), ``version``, the ``folder`` it is in."""

    def __init__(self, folder, info):
        self.folder = folder
        self.info = os.path.join(folder, info)
        metadata = "METADATA" if info.endswith(".dist-info") else "PKG-INFO"
        path = os.path.join(self.info, metadata) if os.path.isdir(self.info) else self.info
        with open(path, encoding="utf-8", errors="replace") as stream:
            headers = HeaderParser().parse(stream, headersonly=True)
        self.name = canonical(headers["Name"])
        self.version = headers["Version"]

    def read_lines(self, name):
        """The lines of one metadata file, or none."""
        path = os.path.join(self.info, name)
        if not os.path.isfile(path):
            return []
        with open(path, encoding="utf-8", errors="replace", newline="") as stream:
            return stream.read().splitlines()

    def record(self):
        """The rows ``(path relative to folder, "sha256=..." or "", size or "")`` of RECORD."""
        return [tuple(row[:3]) for row in csv.reader(self.read_lines("RECORD")) if len(row) >= 3]

    def modules(self):
        """What of it can be imported by a top-level name; for a namespace, the packages one level below."""
        tops = [line.strip() for line in self.read_lines("top_level.txt") if line.strip()]
        if not tops:
            tops = self._tops_of_record()
        modules = []
        for top in tops:
            if os.path.isdir(os.path.join(self.folder, top)) and not self._is_package(top):
                inner = sorted(os.listdir(os.path.join(self.folder, top)))
                modules += [top + "." + name for name in inner if self._owns(top, name)]
            elif self._exists(top) or self._was_installed(top):
                modules.append(top.replace("/", "."))
        return sorted({name for name in modules if name.split(".")[-1] not in NOT_FOR_IMPORT})

    def _owns(self, top, name):
        prefix = top + "/" + name + "/__init__.py"
        return any(row[0] == prefix for row in self.record())

    def _is_package(self, top):
        return any(name.split(".")[0] == "__init__" for name in os.listdir(os.path.join(self.folder, top)))

    def _was_installed(self, top):
        """Whether it is one of the installed files; without them it has to be missed, and not left out."""
        return any(row[0] in (top + "/__init__.py", top + ".py") for row in self.record())

    def _exists(self, top):
        if os.path.isdir(os.path.join(self.folder, top)):
            return True
        leaf = os.path.basename(top)
        parent = os.path.join(self.folder, os.path.dirname(top))
        return any(name.split(".")[0] == leaf and name.endswith((".py", ".so")) for name in os.listdir(parent))

    def _tops_of_record(self):
        tops = set()
        for path, _, _ in self.record():
            first = path.split("/")[0]
            is_module = "/" not in path and path.endswith((".py", ".so"))
            name = first.split(".")[0] if is_module else first
            if name.isidentifier() and (is_module or path.endswith(".py")):
                tops.add(name)
        return sorted(tops)


def installed():
    """All distributions, sorted by name."""
    found = []
    for folder in site_folders():
        names = [name for name in os.listdir(folder) if name.endswith((".dist-info", ".egg-info"))]
        found += [Distribution(folder, name) for name in names]
    return sorted(found, key=lambda distribution: distribution.name)
