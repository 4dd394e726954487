"""Who and where this target is: Python, user, installed distributions. Imports none of them."""

import json
import os
import platform
import sys

import distributions
from common import emit


def _libc():
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):
        return None


def _added():
    """``{name: version}`` of what a layer of the user's own brought, as it says; None if there is none."""
    try:
        with open(os.path.join(sys.prefix, "gpuenv-added.json")) as stream:
            return json.load(stream)
    except OSError:
        return None


def _world_writable():
    """Installed folders and files that anybody could change (at most 20 are named)."""
    found = []
    for folder in distributions.site_folders():
        for place, _, names in os.walk(folder):
            for path in [place, *(os.path.join(place, name) for name in names)]:
                status = os.lstat(path)
                if status.st_mode & 0o002 and not os.path.islink(path):
                    found.append(path)
    return found[:20]


def run():
    """The facts, as one dictionary."""
    everything = distributions.installed()
    return {
        "python": platform.python_version(),
        "executable": sys.executable,
        "prefix": sys.prefix,
        "machine": platform.machine(),
        "libc": _libc(),
        "uid": os.getuid(),
        "gid": os.getgid(),
        "home": os.path.expanduser("~"),
        "installed": [[one.name, one.version] for one in everything],
        "added": _added(),
        "site_folders": distributions.site_folders(),
        "world_writable": _world_writable(),
        "ld_library_path": os.environ.get("LD_LIBRARY_PATH"),
        # Set, and empty, where a simulated driver's devices are hidden from what would compute on them.
        "cuda_visible_devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }


if __name__ == "__main__":
    emit(run())
