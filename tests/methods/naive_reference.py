"""LASEM the naive way, in float64: one network per configuration.

Shares no code with the library: filters by einsum, one forward and backward
pass for every configuration, its gradient weighted by the posterior, the
RMSProp recurrence of TensorFlow 1 written out.
"""

import numpy as np
import tensorflow as tf

from tests.methods import naive_step


class Reference:
    """A float64 copy of a selective network and its own way to train it."""

    def __init__(self, network, learner, configurations, learning_rate):
        self.learner = learner
        self.configurations = [c.shared for c in configurations]
        self.learning_rate = learning_rate
        self.layers = [
            {
                "kb": [copy(v) for v in layer.shared.knowledge_base],
                "mapping": [copy(v) for v in layer.shared.task_mapping],
                "own": [copy(v) for v in layer.task.task_mapping],
            }
            for layer in network.selective_layers
        ]
        self.others = [copy(v) for v in network.other_weights]
        self.mean_squares = [np.ones(v.shape) for v in self.variables]
        self.counts = np.zeros(len(self.configurations))
        self.posterior_sum = np.zeros(len(self.configurations))
        self.num_batches = 0

    @property
    def variables(self):
        of_layers = [v for la in self.layers for vs in la.values() for v in vs]
        return of_layers + self.others

    def shared_filters(self, layer):
        if self.learner == "hps":
            return layer["kb"]
        if self.learner == "tf":
            h, w, i, o, bias = layer["mapping"]
            kernel = tf.einsum(
                "abcd,xa,yb,zc,wd->xyzw", *layer["kb"], h, w, i, o
            )
            return kernel, bias
        deconvolution, deconvolution_bias, contraction, bias = layer["mapping"]
        size = layer["own"][0].shape[0]
        grown = tf.nn.conv2d_transpose(
            layer["kb"][0][None],
            deconvolution,
            [1, size, size, deconvolution.shape[2]],
            strides=2,
            padding="SAME",
        )[0]
        grown = grown + deconvolution_bias
        return tf.einsum("hwd,dio->hwio", grown, contraction), bias

    def logits(self, images, configuration, pools):
        outputs = tf.constant(images, tf.float64)
        for layer, shared, pool in zip(
            self.layers, configuration, pools, strict=True
        ):
            kernel, bias = (
                self.shared_filters(layer) if shared else layer["own"]
            )
            outputs = naive_step.pool(
                naive_step.convolve(outputs, kernel, bias), pool
            )
        outputs = tf.reshape(outputs, [len(images), -1])
        *dense, head_kernel, head_bias = self.others
        for kernel, bias in zip(dense[::2], dense[1::2], strict=True):
            outputs = tf.nn.relu(outputs @ kernel + bias)
        return outputs @ head_kernel + head_bias

    def penalty(self, layer, weight):
        total = tf.zeros([], tf.float64)
        if self.learner == "tf":
            for factor in layer["mapping"][:4]:
                size = factor.shape[0]
                total += tf.norm(
                    tf.transpose(factor) @ factor
                    - tf.eye(size, dtype=tf.float64)
                )
        return weight * total

    def prior(self, rule):
        if rule == "average":
            uniform = 1 / len(self.counts)
            return (uniform + self.posterior_sum) / (1 + self.num_batches)
        return (self.counts + 1) / (self.counts + 1).sum()

    def probabilities_of_truth(self, images, labels, pools):
        return np.stack(
            [
                tf.nn.softmax(self.logits(images, c, pools)).numpy()[
                    np.arange(len(labels)), labels
                ]
                for c in self.configurations
            ]
        )

    def e_step(self, images, labels, pools, likelihood="joint", prior="counts"):
        truth = self.probabilities_of_truth(images, labels, pools)
        fit = (
            truth.prod(axis=1) if likelihood == "joint" else truth.mean(axis=1)
        )
        posterior = self.prior(prior) * fit
        posterior /= posterior.sum()
        self.counts[posterior.argmax()] += 1
        self.posterior_sum += posterior
        self.num_batches += 1
        return posterior

    def m_step(self, images, labels, pools, posterior, penalty_weight=0.1):
        total = [np.zeros(v.shape) for v in self.variables]
        for probability, configuration in zip(
            posterior, self.configurations, strict=True
        ):
            with tf.GradientTape() as tape:
                logits = self.logits(images, configuration, pools)
                loss = tf.reduce_mean(
                    tf.nn.sparse_softmax_cross_entropy_with_logits(
                        labels, logits
                    )
                )
                for layer, shared in zip(
                    self.layers, configuration, strict=True
                ):
                    if shared:
                        loss += self.penalty(layer, penalty_weight)
            gradients = tape.gradient(
                loss, self.variables, unconnected_gradients="zero"
            )
            for position, gradient in enumerate(gradients):
                total[position] += probability * gradient.numpy()
        self.descend(total)

    def assert_same_weights(self, network):
        """Holds every weight to these, those that are not in use too."""
        for layer, expected in zip(
            network.selective_layers, self.layers, strict=True
        ):
            actual = {
                "kb": layer.shared.knowledge_base,
                "mapping": layer.shared.task_mapping,
                "own": layer.task.task_mapping,
            }
            for part, variables in actual.items():
                for a, b in zip(variables, expected[part], strict=True):
                    np.testing.assert_allclose(a, b, atol=3e-6, err_msg=part)
        for a, b in zip(network.other_weights, self.others, strict=True):
            np.testing.assert_allclose(a, b, atol=3e-6)

    def descend(self, gradients):
        for position, (variable, gradient) in enumerate(
            zip(self.variables, gradients, strict=True)
        ):
            mean_square = 0.9 * self.mean_squares[position] + 0.1 * gradient**2
            self.mean_squares[position] = mean_square
            variable.assign_sub(
                self.learning_rate * gradient / np.sqrt(mean_square + 1e-10)
            )


def copy(variable):
    return tf.Variable(variable.numpy().astype(np.float64))
