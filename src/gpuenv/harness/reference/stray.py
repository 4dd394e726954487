"""Files of this environment that no installed distribution brought, and that are not there for a known reason.

    stray.py '{"own": {"activate.d/gpuenv.sh": SHA256, ...}, "places": [FOLDER or FILE, ...]}'

``own``: ends of paths of files that are known if they have this content. ``places``: what else is looked at; known
are the files there that the system's own packages brought.
"""

import glob
import hashlib
import importlib.util
import json
import os
import re
import sys

import distributions
from common import emit

#: Below the environment's folder, and why it is there.
REASONS = (
    # What `python -m venv` makes.
    r"bin/(activate(\.c?sh|\.fish)?|Activate\.ps1|python[\d.]*)",
    # Python's own.
    r"lib/python[\d.]+/site-packages/README(\.txt)?",
    # TensorFlow's way to CUDA without a container: links to its folder, which the group linkage follows.
    r"lib/python[\d.]+/site-packages/tensorflow(_core)?/lib[^/]*\.so\.[\d.]+ -> \.\./\.\./\.\./(cuda-[\d.]+/)?lib[^/]*",
)
#: Where the distribution of a host keeps its own sitecustomize (Ubuntu's crash reporter).
OF_THE_SYSTEM = ("/usr/lib/python3", "/etc/python3")


def files_below(place):
    """The files in a folder, and links whatever they lead to; ``place`` itself if it is no folder."""
    if os.path.lexists(place) and not os.path.isdir(place):
        yield place
    for folder, names, files in os.walk(place):
        links = [name for name in names if os.path.islink(os.path.join(folder, name))]
        for name in files + links:
            yield os.path.join(folder, name)


def of_packages(prefix):
    """The files that pip installed, by their RECORDs, and conda, by its own lists."""
    found = set()
    for one in distributions.installed():
        found.update(os.path.normpath(os.path.join(one.folder, row[0])) for row in one.record())
    for path in glob.glob(os.path.join(prefix, "conda-meta", "*.json")):
        with open(path, encoding="utf-8") as stream:
            found.update(os.path.join(prefix, name) for name in json.load(stream).get("files", ()))
    return found


def of_the_system():
    """The files of Debian's packages."""
    found = set()
    for path in glob.glob("/var/lib/dpkg/info/*.list"):
        with open(path, encoding="utf-8", errors="replace") as stream:
            found.update(stream.read().splitlines())
    return found


def source_of(path):
    """The source that bytecode was compiled from; any other file is its own."""
    found = re.match(r"(.*)/__pycache__/([^/]+?)\.[\w-]+(\.opt-\d)?\.pyc$", path)
    return "%s/%s.py" % (found.group(1), found.group(2)) if found else path


def is_own(path, own):
    """Whether it is one of ours, as we write it."""
    for end, digest in own.items():
        if path.endswith("/" + end):
            with open(path, "rb") as stream:
                return hashlib.sha256(stream.read()).hexdigest() == digest
    return False


def has_reason(name, path):
    """Whether it is there for one of the reasons."""
    link = " -> " + os.readlink(path) if os.path.islink(path) else ""
    return any(re.fullmatch(reason, text) for reason in REASONS for text in (name, name + link))


def describe(path):
    """The file, and what it does at every start of Python."""
    if not path.endswith(".pth"):
        return path
    with open(path, encoding="utf-8", errors="replace") as stream:
        return "%s (read at every start of Python: %s)" % (path, stream.readline().strip()[:100])


def at_every_start(known):
    """The modules that Python imports by itself if they are there, and that no package brought."""
    found = (importlib.util.find_spec(name) for name in ("sitecustomize", "usercustomize"))
    paths = [str(spec.origin or list(spec.submodule_search_locations)) for spec in found if spec is not None]
    strays = [path for path in paths if path not in known and not path.startswith(OF_THE_SYSTEM)]
    return [path + " (imported at every start of Python)" for path in strays]


def run(own, places):
    """The stray files, and how many files of the environment there are."""
    prefix = os.path.realpath(sys.prefix)
    is_venv = os.path.exists(os.path.join(prefix, "pyvenv.cfg"))
    inner = ("bin", "etc", "share") if is_venv else ("etc/conda",)
    folders = [*distributions.site_folders(), *(os.path.join(prefix, name) for name in inner)]
    known = of_packages(prefix)
    files = {path for folder in folders for path in files_below(folder)}

    def belongs(path):
        return path in known or has_reason(os.path.relpath(path, prefix), path) or is_own(path, own)

    strays = [describe(path) for path in sorted(files) if not (belongs(path) or belongs(source_of(path)))]
    system = of_the_system() if places else ()
    strays += [path for place in places for path in files_below(place) if path not in system]
    return {"strays": strays + at_every_start(known), "files": len(files)}


if __name__ == "__main__":
    emit(run(**json.loads(sys.argv[1])))
