"""A matrix product and a 2-D convolution on the GPU, compared with numpy, and the proof that they ran there.

With ``cpu`` as argument they run on the CPU, which shows that the comparison itself is right.
"""

import sys

import numpy as np
import tensorflow as tf
import tensorflow_quiet
from common import emit


def convolve(images, kernels):
    """The same-size convolution of ``images`` (n, h, w, c) with ``kernels`` (3, 3, c, out), in numpy."""
    count, height, width, _ = images.shape
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="constant")
    result = np.zeros((count, height, width, kernels.shape[3]))
    for row in range(3):
        for column in range(3):
            part = padded[:, row : row + height, column : column + width, :]
            result += part.dot(kernels[row, column])
    return result


def ran_on(metadata, kind):
    """Names of the operations that the run's own statistics count on a device of ``kind`` (``GPU:``, ``CPU:``)."""
    found = set()
    for device in metadata.step_stats.dev_stats:
        if kind in device.device.upper().replace("/DEVICE:", ""):
            found |= {node.node_name.split(":")[0] for node in device.node_stats}
    return sorted(found)


def run(device="gpu"):
    """Largest differences from numpy, relative to the largest value, and where the operations ran."""
    source = np.random.RandomState(1)
    left, right = source.rand(256, 256), source.rand(256, 256)
    images, kernels = source.rand(4, 32, 32, 8), source.rand(3, 3, 8, 16)
    with tf.Graph().as_default(), tf.device("/%s:0" % device):
        product = tf.matmul(tf.constant(left, tf.float32), tf.constant(right, tf.float32), name="product")
        image, kernel = tf.constant(images, tf.float32), tf.constant(kernels, tf.float32)
        convolution = tf.nn.conv2d(image, kernel, strides=[1, 1, 1, 1], padding="SAME", name="convolution")
        settings = tensorflow_quiet.config()
        # Without a GPU this still gives a result, and the statistics say where it was computed.
        settings.allow_soft_placement = True
        # Constants would be folded at build time, on the CPU: then nothing would be left to run.
        settings.graph_options.optimizer_options.opt_level = tf.OptimizerOptions.L0
        settings.graph_options.rewrite_options.disable_meta_optimizer = True
        with tf.Session(config=settings) as session:
            devices = [one.name for one in session.list_devices() if one.device_type == "GPU"]
            metadata = tf.RunMetadata()
            # The executor's own statistics; a full trace would ask for libcupti, which is not needed to train.
            options = tf.RunOptions(trace_level=tf.RunOptions.SOFTWARE_TRACE)
            found = session.run([product, convolution], options=options, run_metadata=metadata)
    expected = (left.dot(right), convolve(images, kernels))
    errors = [float(np.abs(one - other).max() / np.abs(other).max()) for one, other in zip(found, expected)]
    return {
        "devices": devices,
        "matmul_error": errors[0],
        "convolution_error": errors[1],
        "ran": ran_on(metadata, device.upper() + ":"),
    }


if __name__ == "__main__":
    emit(run(*sys.argv[1:]))
