"""TensorFlow with its chatter off, one CPU thread and well-defined variables.

One thread each way keeps sums in one order, so that two runs with one seed agree bit for bit.
Resource variables, because a read of TensorFlow 1's older reference variables may come before or
after an update in the same step: with Keras 2.2.5 on TensorFlow 1.15 the gradient of one layer is then
taken with the new weights of the next, and the loss curve leaves the reference by 4e-3 (measured;
1e-7 with resource variables). ``course.py`` stays with the defaults, as course code does.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")

import numpy as np
import tensorflow as tf

tf.logging.set_verbosity(tf.logging.ERROR)
tf.enable_resource_variables()


def config():
    """Session settings: one thread, GPU memory taken as it is needed."""
    settings = tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    settings.gpu_options.allow_growth = True
    return settings


def fresh_session(backend, seed=1):
    """Forget all graphs, seed numpy and TensorFlow, and give ``backend`` (a ``K``) a new session."""
    backend.clear_session()
    np.random.seed(seed)  # noqa: NPY002 - numpy 1.16 has no Generator
    tf.set_random_seed(seed)
    backend.set_session(tf.Session(config=config()))


def visible_device():
    """``"GPU"`` where TensorFlow has one, else ``"CPU"``."""
    with tf.Session(config=config()) as session:
        return "GPU" if any(device.device_type == "GPU" for device in session.list_devices()) else "CPU"
