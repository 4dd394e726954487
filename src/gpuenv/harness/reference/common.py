"""What the programs of this folder share: the truth tables, a random source of their own, the output."""

import json
import os
import sys

INPUTS = ((0, 0), (0, 1), (1, 0), (1, 1))
GATES = {
    "AND": (0, 0, 0, 1),
    "OR": (0, 1, 1, 1),
    "NAND": (1, 1, 1, 0),
    "XOR": (0, 1, 1, 0),
}


class Lcg:
    """A linear congruential generator (the constants of "Numerical Recipes").

    Weights and data come from it and not from numpy or TensorFlow, so that every variant starts
    from the same numbers.
    """

    def __init__(self, seed):
        self.state = seed % 2**32
        for _ in range(8):  # neighboring seeds give neighboring first numbers
            self.uniform()

    def uniform(self, low=-1.0, high=1.0):
        """A number in ``[low, high)``."""
        self.state = (1664525 * self.state + 1013904223) % 2**32
        return low + (high - low) * self.state / 2**32

    def below(self, bound):
        """A whole number in ``0 .. bound - 1``."""
        return int(self.uniform(0.0, bound))


def cores():
    """How many programs may run at a time: this target's share of the machine."""
    return int(os.environ.get("GPUENV_CORES") or os.cpu_count() or 1)


def emit(result):
    """Print ``result`` as the last line of standard output."""
    sys.stdout.flush()
    print(json.dumps(result, sort_keys=True))
    sys.stdout.flush()
