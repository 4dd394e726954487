"""A two-layer net (2-8-1, tanh and sigmoid) that learns XOR, in plain numpy: the reference.

Full-batch gradient descent on the binary cross-entropy, in double precision, from weights that
are given and not drawn. The programs in Keras, tf.keras and TensorFlow start from the same
weights, and their loss curves have to follow this one.
"""

import numpy as np
from common import GATES, INPUTS, Lcg, emit

HIDDEN = 8
RATE = 0.5
STEPS = 400
#: The seed of the given weights; every variant starts from these.
SEED = 1


def initial_weights(seed=SEED, hidden=HIDDEN):
    """``[w1 (2, hidden), b1 (hidden,), w2 (hidden, 1), b2 (1,)]``, in single precision."""
    source = Lcg(seed)
    first = [[source.uniform() for _ in range(hidden)] for _ in range(2)]
    second = [[source.uniform()] for _ in range(hidden)]
    values = (first, [0.0] * hidden, second, [0.0])
    return [np.array(value, dtype=np.float32) for value in values]


def data(dtype=np.float32):
    """Inputs (4, 2) and targets (4, 1) of XOR."""
    return np.array(INPUTS, dtype=dtype), np.array(GATES["XOR"], dtype=dtype).reshape(4, 1)


def forward(weights, inputs):
    """The hidden layer (n, hidden) and the output (n, 1) for ``inputs`` (n, 2)."""
    hidden = np.tanh(inputs.dot(weights[0]) + weights[1])
    return hidden, 1.0 / (1.0 + np.exp(-(hidden.dot(weights[2]) + weights[3])))


def train(seed=SEED, rate=RATE, steps=STEPS, hidden=HIDDEN):
    """Train and return the weights and the loss before each step (a list of ``steps`` floats)."""
    weights = [value.astype(np.float64) for value in initial_weights(seed, hidden)]
    inputs, targets = data(np.float64)
    losses = []
    for _ in range(steps):
        layer, output = forward(weights, inputs)
        losses.append(float(-np.mean(targets * np.log(output) + (1 - targets) * np.log(1 - output))))
        at_output = (output - targets) / len(inputs)
        at_hidden = at_output.dot(weights[2].T) * (1 - layer**2)
        slopes = (inputs.T.dot(at_hidden), at_hidden.sum(0), layer.T.dot(at_output), at_output.sum(0))
        weights = [weight - rate * slope for weight, slope in zip(weights, slopes)]
    return weights, losses


def describe(losses, output, **more):
    """The result that all XOR programs give: curve, outputs for the four rows, truth table."""
    output = np.asarray(output, dtype=np.float64).reshape(4)
    result = {
        "losses": [float(loss) for loss in losses],
        "output": [float(value) for value in output],
        "table": [int(value > 0.5) for value in output],
    }
    result.update(more)
    return result


def run():
    """The reference curve and the weights at its end."""
    weights, losses = train()
    _, output = forward(weights, data(np.float64)[0])
    return describe(losses, output, weights=[value.tolist() for value in weights], device="numpy")


if __name__ == "__main__":
    emit(run())
