"""A small convolutional net that learns to tell horizontal from vertical bars.

A dense net never touches the convolution (and, on a GPU, cuDNN), where the most-asked errors live.
"""

import numpy as np
import tensorflow_quiet
from common import Lcg, emit

SIZE = 8
N_TRAIN = 128
N_TEST = 64
EPOCHS = 8


def bars(count, seed):
    """``count`` images (count, SIZE, SIZE, 1) with one noisy bar each, and labels: 0 horizontal, 1 vertical."""
    source = Lcg(seed)
    noise = [[[source.uniform(0.0, 0.3) for _ in range(SIZE)] for _ in range(SIZE)] for _ in range(count)]
    images = np.array(noise, dtype=np.float32)
    labels = np.array([index % 2 for index in range(count)], dtype=np.float32)
    for image, label in zip(images, labels):
        place, start = source.below(SIZE), source.below(3)
        bar = slice(start, start + SIZE - 2)
        if label:
            image[bar, place] += 1.0
        else:
            image[place, bar] += 1.0
    return images[..., np.newaxis], labels


def build(keras):
    """Convolution, pooling, one output."""
    layers = keras.layers
    model = keras.models.Sequential(
        [
            layers.Conv2D(8, (3, 3), activation="relu", input_shape=(SIZE, SIZE, 1)),
            layers.MaxPooling2D((2, 2)),
            layers.Flatten(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(loss="binary_crossentropy", optimizer=keras.optimizers.Adam(lr=0.01), metrics=["accuracy"])
    return model


def run(keras=None, seed=1, device=None):
    """Train on 128 images and judge on 64 others; accuracy is a share between 0 and 1.

    ``device`` is TensorFlow's choice if None.
    """
    if keras is None:
        import keras
    tensorflow_quiet.fresh_session(keras.backend, seed)
    with tensorflow_quiet.tf.device(device):
        model = build(keras)
        images, labels = bars(N_TRAIN, 1)
        history = model.fit(images, labels, batch_size=16, epochs=EPOCHS, shuffle=False, verbose=0).history
        loss, accuracy = model.evaluate(*bars(N_TEST, 2), verbose=0)
    return {"losses": [float(value) for value in history["loss"]], "loss": float(loss), "accuracy": float(accuracy)}


if __name__ == "__main__":
    emit(run())
