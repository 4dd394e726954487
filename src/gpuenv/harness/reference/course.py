"""The idioms of course code of 2018 and 2019, as it was written: nothing here may need a patch.

Runs in a process of its own, with TensorFlow's defaults: keras and tf.keras in one file,
`history['acc']`, `tf.ConfigProto`, `tf.Session`, `tf.logging`, `predict_classes`, and
`imdb.load_data()` on a pickled data set.
"""

import os
import shutil
import tempfile

import numpy as np
import xor_numpy
from common import emit


def mixed_packages():
    """A model of each package in one program, trained with the metric's short name."""
    import keras
    import tensorflow as tf
    from keras.layers import Dense
    from keras.models import Sequential

    tf.logging.set_verbosity(tf.logging.ERROR)
    config = tf.ConfigProto()
    config.gpu_options.allow_growth = True
    keras.backend.set_session(tf.Session(config=config))
    first = Sequential([Dense(4, activation="relu", input_dim=2), Dense(1, activation="sigmoid")])
    result = {"keras": _train(first)}
    layers = tf.keras.layers
    second = tf.keras.models.Sequential(
        [layers.Dense(4, activation="relu", input_dim=2), layers.Dense(1, activation="sigmoid")]
    )
    result["tf.keras"] = _train(second)
    return result


def _train(model):
    inputs, targets = xor_numpy.data()
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    history = model.fit(inputs, targets, epochs=3, verbose=0).history
    return {
        "history": sorted(history),
        "acc": [float(value) for value in history.get("acc", [])],
        "classes_shape": list(model.predict_classes(inputs).shape),
    }


def load_imdb():
    """``imdb.load_data()`` of both packages on a tiny file in the original's format.

    Only the download is replaced (there is no network here); the file is read by the packages' own
    code, which is what numpy 1.16.3 broke.
    """
    import keras.datasets.imdb
    from tensorflow.python.keras.datasets import imdb as tf_imdb

    folder = tempfile.mkdtemp()
    try:
        path = os.path.join(folder, "imdb.npz")
        _write_imdb(path)
        result = {}
        for name, module in (("keras", keras.datasets.imdb), ("tf.keras", tf_imdb)):
            module.get_file = lambda *_args, **_keywords: path
            (x_train, y_train), (x_test, _) = module.load_data(num_words=100)
            result[name] = [len(x_train), len(x_test), int(y_train.sum()), int(max(map(max, x_train)))]
        return result
    finally:
        shutil.rmtree(folder)


def _write_imdb(path):
    reviews = np.empty(6, dtype=object)
    reviews[:] = [list(range(4, 5 + length)) for length in (3, 5, 7, 9, 11, 13)]
    labels = np.array([0, 1, 0, 1, 0, 1])
    np.savez(path, x_train=reviews, y_train=labels, x_test=reviews[:4], y_test=labels[:4])


def run():
    """Every idiom; an exception is a failure that names itself."""
    return {"mixed": mixed_packages(), "imdb": load_imdb()}


if __name__ == "__main__":
    emit(run())
