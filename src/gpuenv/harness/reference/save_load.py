"""A model saved and loaded again has to predict the same, to the last bit.

In one h5 file; and as JSON and YAML, which hold its layers, with its weights beside them.
"""

import os
import shutil
import tempfile

import convnet
import numpy as np
import tensorflow_quiet
from common import emit


def round_trip(keras):
    """Train for one epoch, save, forget, load; for each way the largest difference between the predictions."""
    tensorflow_quiet.fresh_session(keras.backend)
    folder = tempfile.mkdtemp()
    try:
        path = os.path.join(folder, "model.h5")
        images, labels = convnet.bars(32, 3)
        model = convnet.build(keras)
        model.fit(images, labels, epochs=1, verbose=0)
        before = model.predict(images)
        model.save(path)
        weights, texts = model.get_weights(), {"json": model.to_json(), "yaml": model.to_yaml()}
        tensorflow_quiet.fresh_session(keras.backend, seed=2)
        loaded = {"h5": keras.models.load_model(path)}
        for way, load in (("json", keras.models.model_from_json), ("yaml", keras.models.model_from_yaml)):
            loaded[way] = load(texts[way])
            loaded[way].set_weights(weights)
        differences = {way: float(np.abs(before - one.predict(images)).max()) for way, one in loaded.items()}
        return {"bytes": os.path.getsize(path), "differences": differences}
    finally:
        shutil.rmtree(folder)


def run():
    """The round trip in both packages."""
    import keras
    from tensorflow import keras as tf_keras

    return {"keras": round_trip(keras), "tf.keras": round_trip(tf_keras)}


if __name__ == "__main__":
    emit(run())
