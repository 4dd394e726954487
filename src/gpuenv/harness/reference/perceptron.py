"""Rosenblatt's perceptron on two inputs, in plain Python.

It learns AND, OR and NAND exactly. It cannot learn XOR: of its eight bits a line can get at most
three of the four rows right.
"""

from common import GATES, INPUTS, emit

WHY_XOR_FAILS = (
    "XOR is not linearly separable: it asks for b <= 0, w1 + b > 0, w2 + b > 0 and w1 + w2 + b <= 0; "
    "the middle two add up to w1 + w2 + 2b > 0, the outer two to w1 + w2 + 2b <= 0"
)


def predict(weights, bias, row):
    """The output, 0 or 1, for one row of inputs."""
    return int(weights[0] * row[0] + weights[1] * row[1] + bias > 0)


def count_correct(weights, bias, targets):
    """How many of the four rows come out right."""
    return sum(predict(weights, bias, row) == target for row, target in zip(INPUTS, targets))


def train(targets, rate=1.0, epochs=50):
    """Apply the learning rule row by row until an epoch changes nothing, at most ``epochs`` times.

    ``best`` is the largest number of right rows after any single update, so it is the fairest figure
    for a net that never comes to rest.
    """
    weights, bias = [0.0, 0.0], 0.0
    best = count_correct(weights, bias, targets)
    used = 0
    while used < epochs:
        used += 1
        is_changed = False
        for row, target in zip(INPUTS, targets):
            error = target - predict(weights, bias, row)
            if error:
                weights = [weight + rate * error * value for weight, value in zip(weights, row)]
                bias += rate * error
                best = max(best, count_correct(weights, bias, targets))
                is_changed = True
        if not is_changed:
            break
    return {
        "weights": weights,
        "bias": bias,
        "epochs": used,
        "correct": count_correct(weights, bias, targets),
        "best": best,
        "table": [predict(weights, bias, row) for row in INPUTS],
    }


def run(rate=1.0):
    """Train one perceptron for each gate; ``why`` says what keeps one from learning XOR."""
    results = {name: train(targets, rate) for name, targets in GATES.items()}
    results["XOR"]["why"] = WHY_XOR_FAILS
    return results


if __name__ == "__main__":
    emit(run())
