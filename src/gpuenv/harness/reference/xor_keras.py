"""The two-layer XOR net, written once for the standalone Keras and for tf.keras: same calls, two packages."""

import tensorflow_quiet
import xor_numpy
from common import emit


def build(keras, weights, rate=xor_numpy.RATE):
    """The 2-8-1 net as a compiled Sequential model that starts from ``weights``."""
    hidden = len(weights[1])
    model = keras.models.Sequential(
        [
            keras.layers.Dense(hidden, activation="tanh", input_shape=(2,)),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(loss="binary_crossentropy", optimizer=keras.optimizers.SGD(lr=rate), metrics=["accuracy"])
    model.set_weights(weights)
    return model


def train(keras, seed=xor_numpy.SEED, rate=xor_numpy.RATE, steps=xor_numpy.STEPS, hidden=xor_numpy.HIDDEN):
    """Train in a fresh session; the result as of :func:`xor_numpy.describe`."""
    tensorflow_quiet.fresh_session(keras.backend)
    inputs, targets = xor_numpy.data()
    model = build(keras, xor_numpy.initial_weights(seed, hidden), rate)
    history = model.fit(inputs, targets, batch_size=4, epochs=steps, shuffle=False, verbose=0).history
    weights = [value.tolist() for value in model.get_weights()]
    return xor_numpy.describe(
        history["loss"],
        model.predict(inputs),
        weights=weights,
        history_keys=sorted(history),
        device=tensorflow_quiet.visible_device(),
    )


def run():
    """XOR in the standalone Keras."""
    import keras

    return train(keras)


if __name__ == "__main__":
    emit(run())
