"""The two-layer XOR net in tf.keras; the code is that of ``xor_keras``, the package is another one."""

import xor_keras
from common import emit


def run():
    """XOR in tf.keras."""
    from tensorflow import keras

    return xor_keras.train(keras)


if __name__ == "__main__":
    emit(run())
