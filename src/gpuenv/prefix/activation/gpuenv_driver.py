"""Loads a stand-in for NVIDIA's libcuda.so.1 before TensorFlow, on a machine that has no driver.

TensorFlow 1.12 for the GPU cannot be imported without that library. Its `.pth` file imports this module whenever
this environment's Python starts; nothing is done until somebody imports TensorFlow. Any Python since 3.6 reads it.
"""

import os
import sys

DRIVER = "libcuda.so.1"
FOLDER = os.path.join(sys.prefix, "lib", "gpuenv-driver")


def stand_in():
    """The path of the stand-in if this machine needs it, else None."""
    import ctypes

    try:
        ctypes.CDLL(DRIVER, mode=ctypes.RTLD_GLOBAL)
    except OSError:
        return os.path.join(FOLDER, DRIVER)
    return None


def load():
    """Load the driver's library, or the stand-in: whoever asks the loader for that name then gets it."""
    import ctypes

    path = stand_in()
    if path is not None:
        ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)


class _BeforeTensorFlow:
    """Sees every import, and lets all of them through."""

    def find_spec(self, name, path=None, target=None):  # noqa: ARG002 - as Python calls it
        if name.partition(".")[0] in ("tensorflow", "tensorflow_core"):
            sys.meta_path.remove(self)
            load()


sys.meta_path.insert(0, _BeforeTensorFlow())
