"""The two-layer XOR net in plain TensorFlow graph code: placeholders, variables, a session."""

import tensorflow as tf
import tensorflow_quiet
import xor_numpy
from common import emit


class Net:
    """The graph of one net; :meth:`train` may be called again with other weights."""

    def __init__(self, hidden=xor_numpy.HIDDEN, rate=xor_numpy.RATE):
        tf.reset_default_graph()
        tf.set_random_seed(1)
        self.inputs = tf.placeholder(tf.float32, (None, 2))
        self.targets = tf.placeholder(tf.float32, (None, 1))
        shapes = ((2, hidden), (hidden,), (hidden, 1), (1,))
        self.given = [tf.placeholder(tf.float32, shape) for shape in shapes]
        self.weights = [tf.Variable(tf.zeros(shape)) for shape in shapes]
        self.start = [tf.assign(weight, value) for weight, value in zip(self.weights, self.given)]
        layer = tf.tanh(tf.matmul(self.inputs, self.weights[0]) + self.weights[1])
        logits = tf.matmul(layer, self.weights[2]) + self.weights[3]
        self.output = tf.sigmoid(logits)
        self.loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=self.targets, logits=logits))
        self.step = tf.train.GradientDescentOptimizer(rate).minimize(self.loss)

    def train(self, session, weights, steps=xor_numpy.STEPS):
        """Losses before each step, and the output (4, 1) after the last, from the given ``weights``."""
        session.run(tf.global_variables_initializer())
        session.run(self.start, dict(zip(self.given, weights)))
        inputs, targets = xor_numpy.data()
        feed = {self.inputs: inputs, self.targets: targets}
        train_step = session.make_callable([self.loss, self.step], feed_list=[self.inputs, self.targets])
        losses = [train_step(inputs, targets)[0] for _ in range(steps)]
        del train_step  # TensorFlow 1.12 complains when it outlives its session
        return losses, session.run(self.output, feed), session.run(self.weights)


def run_seeds(seeds):
    """For each seed, how far the worst of the four outputs is from its target (0 is perfect)."""
    net = Net()
    targets = xor_numpy.data()[1]
    worst = {}
    with tf.Session(config=tensorflow_quiet.config()) as session:
        for seed in seeds:
            _, output, _ = net.train(session, xor_numpy.initial_weights(seed))
            worst[str(seed)] = float(abs(output - targets).max())
    return worst


def run():
    """XOR in graph code from the given weights."""
    net = Net()
    with tf.Session(config=tensorflow_quiet.config()) as session:
        losses, output, weights = net.train(session, xor_numpy.initial_weights())
    values = [value.tolist() for value in weights]
    return xor_numpy.describe(losses, output, weights=values, device=tensorflow_quiet.visible_device())


if __name__ == "__main__":
    result = run()
    result["seeds"] = run_seeds(range(1, 21))
    emit(result)
