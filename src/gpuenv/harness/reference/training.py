"""The training programs in one process: one start of Python and one import of TensorFlow per target.

Prints one JSON object: for each part its result and its time, or the error that it raised.
"""

import sys
import time
import traceback

from common import emit


def _repeated():
    """One net trained twice from one seed: its weights must agree bit for bit on the CPU."""
    import convnet
    import keras

    # A GPU adds up in an order that varies from run to run.
    first, second = convnet.run(keras, device="/cpu:0"), convnet.run(keras, device="/cpu:0")
    return {"first": first["losses"], "second": second["losses"]}


def _seeds():
    import xor_graph

    return xor_graph.run_seeds(range(1, 21))


def _module(name):
    def part():
        return __import__(name).run()

    return part


PARTS = (
    ("perceptron", _module("perceptron")),
    ("xor_numpy", _module("xor_numpy")),
    ("xor_keras", _module("xor_keras")),
    ("xor_tfkeras", _module("xor_tfkeras")),
    ("xor_graph", _module("xor_graph")),
    ("seeds", _seeds),
    ("convnet", _module("convnet")),
    ("repeated", _repeated),
    ("save_load", _module("save_load")),
)


def run(names):
    """Run the parts called ``names`` (all if empty); one that fails does not keep the others from running."""
    results = {}
    for name, part in PARTS:
        if names and name not in names:
            continue
        started = time.time()
        try:
            results[name] = {"result": part(), "error": None}
        except Exception:  # noqa: BLE001  an old framework may raise anything, and the report carries it
            results[name] = {"result": None, "error": traceback.format_exc()}
        results[name]["seconds"] = time.time() - started
    return results


if __name__ == "__main__":
    emit(run(sys.argv[1:]))
