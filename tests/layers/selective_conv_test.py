import hypothesis
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from lasem_tf.layers import SelectiveConv2D
from lasem_tf.layers.selective_conv import pick
from tests.layers import naive, shapes


@st.composite
def geometries(draw):
    """Arguments of a Conv2D; Keras knows stride or dilation, not both."""
    factor = st.tuples(st.integers(1, 3), st.integers(1, 3))
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (2, 2)]))
    return {
        "filters": 2 * draw(st.integers(1, 2)),
        "kernel_size": draw(factor),
        "strides": (1, 1) if dilation != (1, 1) else draw(factor),
        "padding": draw(st.sampled_from(["same", "valid"])),
        "dilation_rate": dilation,
        "use_bias": draw(st.booleans()),
        "activation": draw(st.sampled_from([None, "relu", "tanh"])),
    }


ACTIVATIONS = {
    None: lambda x: x,
    "relu": lambda x: np.maximum(x, 0.0),
    "tanh": np.tanh,
}


GROUPED = {
    "filters": 4,
    "kernel_size": (2, 3),
    "strides": (2, 1),
    "padding": "same",
    "groups": 2,
    "use_bias": True,
    "activation": "tanh",
}


@hypothesis.settings(
    max_examples=15,
    derandomize=True,
    deadline=None,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)
@hypothesis.example(geometry=GROUPED, learner="tf", seed=0)
@hypothesis.given(
    geometry=geometries(),
    learner=st.sampled_from(sorted(shapes.RULES)),
    seed=st.integers(0, 2**16),
)
def test_is_a_plain_convolution_with_the_filters_that_the_mask_picks(
    geometry, learner, seed
):
    keras.utils.set_random_seed(seed)
    layer = keras.layers.Conv2D(bias_initializer="normal", **geometry)
    layer.build((None, 5, 6, 4))
    images = np.random.default_rng(seed).normal(size=(2, 5, 6, 4))
    images = images.astype(np.float32)
    selective = SelectiveConv2D(
        layer, shapes.RULES[learner].filter_source(0, layer)
    )
    for shared in (True, False):
        source = selective.shared if shared else selective.task
        weights = [w.numpy() for w in source() if w is not None]
        outputs = selective(images, tf.constant(shared))
        plain = keras.layers.Conv2D(**geometry)
        plain.build(images.shape)
        plain.set_weights(weights)
        np.testing.assert_allclose(outputs, plain(images), rtol=1e-5, atol=1e-5)
        written_out = naive.convolution(
            images,
            weights[0],
            geometry["strides"],
            geometry["padding"],
            geometry.get("dilation_rate", (1, 1)),
            geometry.get("groups", 1),
        )
        if geometry["use_bias"]:
            written_out += weights[1]
        np.testing.assert_allclose(
            outputs,
            ACTIVATIONS[geometry["activation"]](written_out),
            rtol=5e-4,
            atol=1e-5,
        )


@pytest.mark.parametrize("learner", shapes.RULES)
@pytest.mark.parametrize("use_bias", [True, False])
def test_the_slot_not_picked_gets_a_gradient_of_exactly_zero(learner, use_bias):
    keras.utils.set_random_seed(0)
    layer = shapes.convolution(use_bias=use_bias)
    selective = SelectiveConv2D(
        layer, shapes.RULES[learner].filter_source(0, layer)
    )
    images = tf.random.stateless_normal([2, 6, 6, 3], [1, 2])
    slots = {True: selective.shared.weights, False: selective.task.weights}
    for shared in (True, False):
        with tf.GradientTape() as tape:
            outputs = selective(images, tf.constant(shared))
            loss = tf.reduce_sum(tf.square(outputs))
        picked, left = tape.gradient(loss, [slots[shared], slots[not shared]])
        assert all(np.abs(g).max() > 1e-4 for g in picked)
        assert all(np.count_nonzero(g) == 0 for g in left)
        assert len(left) == len(slots[not shared]) > 0


def test_takes_over_the_variables_and_the_name_but_not_the_layer():
    layer = shapes.convolution(name="conv_7")
    selective = SelectiveConv2D(
        layer, shapes.RULES["hps"].filter_source(0, layer)
    )
    assert selective.name == "conv_7"
    assert selective.task.kernel is layer.kernel
    assert selective.task.bias is layer.bias
    assert layer not in selective._flatten_layers()


def test_the_mask_may_be_a_tensor_of_a_compiled_function():
    layer = shapes.convolution(bias_initializer="normal")
    selective = SelectiveConv2D(
        layer, shapes.RULES["tf"].filter_source(0, layer)
    )
    images = tf.random.stateless_normal([2, 6, 6, 3], [1, 2])
    compiled = tf.function(selective)
    for shared in (True, False):
        mask = tf.constant(shared)
        np.testing.assert_allclose(
            compiled(images, mask), selective(images, mask), atol=1e-5
        )
    assert compiled.experimental_get_tracing_count() == 1


def test_pick_by_hand():
    filters = ((tf.ones([1]), None), (tf.zeros([1]), None))
    assert pick(filters, tf.constant(True))[0].numpy() == [1.0]
    assert pick(filters, tf.constant(False))[0].numpy() == [0.0]
    assert pick(filters, tf.constant(False))[1] is None
