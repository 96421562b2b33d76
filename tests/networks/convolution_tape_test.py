import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.layers import HardParameterSharing, SelectiveConv2D
from lasem_tf.networks import SelectiveNetwork
from lasem_tf.networks.convolution_tape import ConvolutionTape
from tests.networks import graphs


def pass_of(network, images):
    """One plain pass: logits, picked filters and what convolutions gave."""
    filters = [f.shared for f in network.filters()]
    known = {}

    def remember(layer, inputs, picked, key):
        known[key] = layer.convolve(inputs, picked)
        return known[key]

    logits = network.logits(images, filters, False, remember)
    return logits, filters, known


def sources_of(network, filters):
    tensors = [t for pair in filters for t in pair if t is not None]
    others = [w.value for w in network.other_weights if w.trainable]
    return [*tensors, *others]


def expected_gradient(network, images, filters):
    sources = sources_of(network, filters)
    with tf.GradientTape() as tape:
        tape.watch(sources)
        logits = network.logits(images, filters, False)
        loss = tf.reduce_mean(tf.square(logits))
    return tape.gradient(loss, sources, unconnected_gradients="zero")


def gradient(network, images, filters, known):
    with ConvolutionTape(sources_of(network, filters), known) as tape:
        logits = network.logits(images, filters, False, tape.convolve)
        loss = tf.reduce_mean(tf.square(logits))
    return logits, tape.gradient(loss)


DRAWINGS = {
    **{f"chain {seed}": (graphs.chain, (6, 7)) for seed in range(3)},
    **{f"graph {seed}": (graphs.graph, (3, 4)) for seed in range(8)},
}


@pytest.mark.parametrize("drawing", DRAWINGS)
@pytest.mark.parametrize("share_known", [1.0, 0.5])
def test_gradients_are_those_of_a_pass_that_convolves(drawing, share_known):
    """Any activation, layers called twice, branches, some known or all."""
    make, shape = DRAWINGS[drawing]
    seed = int(drawing.split()[1])
    keras.utils.set_random_seed(seed)
    network = SelectiveNetwork(make(5, seed).model, HardParameterSharing())
    images = graphs.images((*shape, graphs.CHANNELS))
    plain_logits, filters, known = pass_of(network, images)
    kept = sorted(known, key=lambda value: value.index)
    kept = kept[: round(share_known * len(kept))]
    logits, ours = gradient(
        network, images, filters, {value: known[value] for value in kept}
    )
    np.testing.assert_allclose(logits, plain_logits, atol=1e-5)
    expected = expected_gradient(network, images, filters)
    assert sum(np.abs(g).max() > 0 for g in expected) > 2
    for a, b in zip(ours, expected, strict=True):
        scale = max(1.0, np.abs(b).max())
        np.testing.assert_allclose(a / scale, b / scale, atol=1e-5)


def network_of(activation):
    images = keras.Input((5, 5, 2))
    outputs = keras.layers.Conv2D(3, 3, activation=activation)(images)
    outputs = keras.layers.Conv2D(2, 2, activation=activation)(outputs)
    outputs = keras.layers.Flatten()(outputs)
    model = keras.Model(images, keras.layers.Dense(2)(outputs))
    return SelectiveNetwork(model, HardParameterSharing())


@pytest.mark.parametrize(
    ("activation", "times"), [("relu", 0), (None, 0), ("tanh", 2)]
)
def test_convolves_again_only_where_the_activation_asks_for_it(
    activation, times, monkeypatch
):
    network = network_of(activation)
    images = graphs.images((5, 5, 2))
    _, filters, known = pass_of(network, images)
    called = []
    convolve = SelectiveConv2D.convolve

    def counting(self, *arguments):
        called.append(self.name)
        return convolve(self, *arguments)

    monkeypatch.setattr(SelectiveConv2D, "convolve", counting)
    gradient(network, images, filters, known)
    assert len(called) == times


def test_what_the_loss_does_not_depend_on_has_gradient_zero():
    network = network_of("relu")
    images = graphs.images((5, 5, 2))
    _, filters, known = pass_of(network, images)
    stranger = tf.ones([2, 3])
    sources = [*sources_of(network, filters), stranger]
    with ConvolutionTape(sources, known) as tape:
        logits = network.logits(images, filters, False, tape.convolve)
    *_, last = tape.gradient(tf.reduce_sum(logits))
    np.testing.assert_array_equal(last, np.zeros([2, 3]))


def test_a_compiled_gradient_leaves_nothing_behind():
    """TensorFlow keeps functions with a custom gradient for good."""

    def compiled():
        network = network_of("relu")

        @tf.function
        def both_ways(images):
            _, filters, known = pass_of(network, images)
            return gradient(network, images, filters, known)[1]

        both_ways(tf.constant(graphs.images((5, 5, 2))))
        return weakref.ref(network.selective_layers[0])

    layer = compiled()
    gc.collect()
    assert layer() is None
