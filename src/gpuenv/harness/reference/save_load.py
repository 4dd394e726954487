"""A model saved to one h5 file and loaded again has to predict the same, to the last bit."""

import os
import shutil
import tempfile

import convnet
import numpy as np
import tensorflow_quiet
from common import emit


def round_trip(keras):
    """Train for one epoch, save, forget, load; the largest difference between the predictions."""
    tensorflow_quiet.fresh_session(keras.backend)
    folder = tempfile.mkdtemp()
    try:
        path = os.path.join(folder, "model.h5")
        images, labels = convnet.bars(32, 3)
        model = convnet.build(keras)
        model.fit(images, labels, epochs=1, verbose=0)
        before = model.predict(images)
        model.save(path)
        tensorflow_quiet.fresh_session(keras.backend, seed=2)
        after = keras.models.load_model(path).predict(images)
        return {"bytes": os.path.getsize(path), "difference": float(np.abs(before - after).max())}
    finally:
        shutil.rmtree(folder)


def run():
    """The round trip in both packages."""
    import keras
    from tensorflow import keras as tf_keras

    return {"keras": round_trip(keras), "tf.keras": round_trip(tf_keras)}


if __name__ == "__main__":
    emit(run())
