"""What is computed in bfloat16 stays near what float32 gives."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.layers import HardParameterSharing, SelectiveConv2D
from lasem_tf.methods import Lasem, RMSprop, Static
from tests.layers import shapes
from tests.methods import tiny

# bfloat16 keeps eight bits.
ROUNDING = 2.0**-8


@pytest.fixture
def mixed_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


def trained(method=Lasem, learner="hps", dropout=0.3, **kwargs):
    """A method after one task, and the losses of its epochs."""
    made = method(
        functools.partial(tiny.backbone, dropout=dropout),
        shapes.RULES[learner],
        optimizer=functools.partial(RMSprop, learning_rate=0.005),
        **kwargs,
    )
    task = tiny.task(num_images=40)
    made.begin_task(task)
    losses = [
        made.train_epoch(tiny.batches(task, 20), epoch).loss
        for epoch in range(6)
    ]
    made.end_task()
    return made, losses


def answers(method):
    images, _ = next(iter(tiny.batches(tiny.task(num_images=40), 20)))
    logits = method.predictor(0)(images)
    assert logits.dtype == tf.float32
    return logits.numpy()


def assert_near(method, losses, exact, expected_losses):
    assert losses != expected_losses, "nothing was computed otherwise"
    np.testing.assert_allclose(losses, expected_losses, rtol=2 * ROUNDING)
    assert method.selection(0) == exact.selection(0)
    expected = answers(exact)
    slack = 8 * ROUNDING * np.abs(expected).max()
    np.testing.assert_allclose(answers(method), expected, atol=slack)


@pytest.mark.parametrize("learner", shapes.RULES)
def test_an_e_step_in_bfloat16_leaves_the_run_where_it_was(learner):
    exact, expected = trained(learner=learner)
    method, losses = trained(learner=learner, e_step_dtype="bfloat16")
    assert_near(method, losses, exact, expected)


def test_activations_of_such_an_e_step_are_cast_up_once():
    """Pooling only compares: there is no need to go up and down for it."""
    method, _ = trained(e_step_dtype="bfloat16")
    method.begin_task(tiny.task())
    m_step = method._trainer.m_step
    graph = (
        tf.function(lambda images: m_step.forward(images)[0])
        .get_concrete_function(tf.TensorSpec([4, 6, 6, 2]))
        .graph
    )
    pools = [op for op in graph.get_operations() if op.type == "MaxPool"]
    assert pools
    assert {op.inputs[0].dtype for op in pools} == {tf.bfloat16}
    up = [
        op
        for op in graph.get_operations()
        if op.type == "Cast" and op.outputs[0].dtype == tf.float32
    ]
    assert len(up) == 1, "before the dense layers"


def test_only_the_e_step_is_in_bfloat16():
    """Its posterior is all that the M-step takes from it."""
    exact, expected = trained(Static)
    method, losses = trained(
        candidates=["SSS"], e_step_dtype="bfloat16", pruning_floor=None
    )
    np.testing.assert_allclose(losses, expected, rtol=1e-6)
    np.testing.assert_allclose(answers(method), answers(exact), rtol=1e-5)


@pytest.mark.parametrize("floor", [None, 1e-8])
def test_mixed_precision_leaves_the_run_where_it_was(floor, mixed_precision):
    # Keras draws other dropout masks in bfloat16.
    run = functools.partial(trained, dropout=0.0, pruning_floor=floor)
    keras.config.set_dtype_policy("float32")
    exact, expected = run()
    keras.config.set_dtype_policy("mixed_bfloat16")
    method, losses = run()
    assert_near(method, losses, exact, expected)
    weights = method.parameters(0).all_weights
    assert {weight.dtype for weight in weights} == {"float32"}


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16", "float16"])
def test_a_convolution_computes_in_its_own_dtype(policy):
    layer = shapes.convolution(dtype=policy, activation="relu")
    selective = SelectiveConv2D(
        layer, HardParameterSharing().filter_source(0, layer)
    )
    images = tf.random.stateless_normal([2, 8, 8, 3], [1, 2])
    outputs = selective.convolve(images, selective.filters().task)
    assert outputs.dtype == layer(images).dtype == layer.compute_dtype
    np.testing.assert_array_equal(
        tf.cast(outputs, tf.float32), tf.cast(layer(images), tf.float32)
    )


def test_what_was_asked_for_is_named():
    made = Lasem(
        tiny.backbone,
        HardParameterSharing(),
        e_step_tolerance=0.5,
        e_step_dtype="bfloat16",
        pruning_floor=1e-3,
    )
    assert made.approximations == (
        "e_step_tolerance=0.5",
        "e_step_dtype=bfloat16",
        "pruning_floor=0.001",
    )
    assert Lasem(tiny.backbone, HardParameterSharing()).approximations == ()


def test_refuses_another_dtype():
    with pytest.raises(InputError, match="`e_step_dtype` must be one of"):
        Lasem(tiny.backbone, HardParameterSharing(), e_step_dtype="float8")
