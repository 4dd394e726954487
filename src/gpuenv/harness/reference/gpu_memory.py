"""GPU memory with ``allow_growth``: TensorFlow takes what it needs, and more when it needs more.

Without that setting TensorFlow 1 takes nearly all memory of every GPU at its first session; environments promise that
the setting works, as course code sets it. The driver itself is asked what is free, because what ``nvidia-smi`` tells of
single processes is empty inside a container.
"""

import ctypes

import tensorflow as tf
import tensorflow_quiet
from common import emit

#: What the second step needs at once, in bytes: one float32 array.
LARGE_BYTES = 256 * 2**20


class Driver:
    """The memory of CUDA's device 0, through libcuda."""

    def __init__(self, library="libcuda.so.1"):
        self.cuda = ctypes.CDLL(library)
        self._call("cuInit", 0)

    def _call(self, name, *args):
        code = getattr(self.cuda, name)(*args)
        if code != 0:
            raise RuntimeError("%s gives %d" % (name, code))

    def memory(self):
        """``(free, total)`` in bytes. It needs the device's primary context, which TensorFlow uses too."""
        device, context = ctypes.c_int(), ctypes.c_void_p()
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        try:
            self._call("cuCtxPushCurrent_v2", context)
            try:
                self._call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
            finally:
                self._call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))
        finally:
            # The last one to release it ends it: TensorFlow, which sets flags, finds none before its own.
            self._call("cuDevicePrimaryCtxRelease", device)
        return free.value, total.value


def run(memory=None, device="/gpu:0"):
    """Free bytes before TensorFlow's first session, after a small step, and after one that needs ``LARGE_BYTES``."""
    memory = memory or Driver().memory
    before, total = memory()
    with tf.Graph().as_default(), tf.device(device):
        # Random numbers are not folded into constants: the array really is made.
        small = tf.reduce_sum(tf.random_uniform([256]))
        large = tf.reduce_sum(tf.random_uniform([LARGE_BYTES // 4]))
        with tf.Session(config=tensorflow_quiet.config()) as session:
            session.run(small)
            after_small, _ = memory()
            session.run(large)
            after_large, _ = memory()
    return {
        "total": total,
        "before": before,
        "after_small": after_small,
        "after_large": after_large,
        "large": LARGE_BYTES,
    }


if __name__ == "__main__":
    emit(run())
