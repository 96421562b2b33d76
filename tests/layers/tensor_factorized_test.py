import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.layers import TensorFactorization
from lasem_tf.layers.tensor_factorized import (
    orthogonality_penalty,
    tucker_product,
)
from tests.layers import shapes


@pytest.mark.parametrize("kernel_size", shapes.KERNEL_SIZES)
def test_filters_are_the_core_times_one_factor_per_mode(kernel_size):
    layer = shapes.convolution(kernel_size, channels_in=5, channels_out=4)
    source = TensorFactorization().filter_source(0, layer)
    core, *_ = (v.numpy().astype(np.float64) for v in source.knowledge_base)
    h, w, i, o, b = (v.numpy().astype(np.float64) for v in source.task_mapping)
    kernel, bias = source()
    expected = np.einsum("abcd,xa,yb,zc,wd->xyzw", core, h, w, i, o)
    np.testing.assert_allclose(kernel, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(bias, b.astype(np.float32))


def test_a_mode_product_by_hand():
    """A factor that swaps two rows swaps them, one that doubles doubles."""
    core = tf.reshape(tf.range(12.0), [2, 3, 1, 2])
    swap = tf.constant([[0.0, 1.0], [1.0, 0.0]])
    shift = tf.constant([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    result = tucker_product(core, swap, shift, [[2.0]], tf.eye(2)).numpy()
    expected = 2.0 * np.roll(core.numpy()[::-1], -1, axis=1)
    np.testing.assert_array_equal(result, expected)


def test_gradients_of_the_product_are_those_of_einsum():
    rng = np.random.default_rng(0)
    parts = [
        tf.constant(rng.normal(size=shape), tf.float32)
        for shape in ((3, 2, 4, 5), (3, 3), (2, 2), (4, 4), (5, 5))
    ]
    weights = tf.constant(rng.normal(size=(3, 2, 4, 5)), tf.float32)
    gradients = []
    for product in (
        tucker_product,
        lambda *p: tf.einsum("abcd,xa,yb,zc,wd->xyzw", *p),
    ):
        with tf.GradientTape() as tape:
            tape.watch(parts)
            loss = tf.reduce_sum(weights * product(*parts))
        gradients.append(tape.gradient(loss, parts))
    for ours, expected in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


def test_penalty_of_a_matrix_by_hand():
    """U = [[2, 0], [0, 1]]: U^T U - I = [[3, 0], [0, 0]], norm 3."""
    assert float(orthogonality_penalty(tf.constant([[2.0, 0], [0, 1]]))) == 3.0
    # A shear by 1: U^T U - I = [[0, 1], [1, 1]], norm sqrt(3), not 3.
    shear = tf.constant([[1.0, 1.0], [0.0, 1.0]])
    np.testing.assert_allclose(
        orthogonality_penalty(shear), np.sqrt(3), rtol=1e-6
    )


def test_penalty_of_a_source_sums_over_factors_but_not_the_bias():
    source = TensorFactorization(0.25).filter_source(0, shapes.convolution())
    expected = 0.25 * sum(
        np.linalg.norm(u.numpy().T @ u.numpy() - np.eye(len(u.numpy())))
        for u in source.task_mapping[:4]
    )
    np.testing.assert_allclose(source.regularization(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "orthogonal", [[[1.0, 0.0], [0.0, 1.0]], [[0.0, -1.0], [1.0, 0.0]]]
)
def test_penalty_and_gradient_are_zero_where_the_factor_is_orthogonal(
    orthogonal,
):
    """The norm alone would have the gradient 0 / 0 there."""
    factor = tf.Variable(orthogonal)
    with tf.GradientTape() as tape:
        penalty = orthogonality_penalty(factor)
    assert float(penalty) == 0.0
    np.testing.assert_array_equal(
        tape.gradient(penalty, factor), np.zeros((2, 2))
    )


def test_gradient_of_the_penalty_is_that_of_a_finite_difference():
    rng = np.random.default_rng(1)
    factor = rng.normal(size=(4, 4))

    def penalty(u):
        return np.linalg.norm(u.T @ u - np.eye(4))

    numeric = np.zeros((4, 4))
    for index in np.ndindex(4, 4):
        step = np.zeros((4, 4))
        step[index] = 1e-6
        numeric[index] = (
            penalty(factor + step) - penalty(factor - step)
        ) / 2e-6
    variable = tf.Variable(factor, dtype=tf.float32)
    with tf.GradientTape() as tape:
        value = orthogonality_penalty(variable)
    np.testing.assert_allclose(
        tape.gradient(value, variable), numeric, rtol=1e-3, atol=1e-4
    )


def test_every_parameter_is_glorot_uniform_the_bias_too():
    layer = shapes.convolution(3, channels_in=32, channels_out=64)
    source = TensorFactorization().filter_source(0, layer)
    limits = {
        "core": np.sqrt(6 / (9 * 32 + 9 * 64)),
        "factor_h": np.sqrt(6 / (3 + 3)),
        "factor_w": np.sqrt(6 / (3 + 3)),
        "factor_i": np.sqrt(6 / (32 + 32)),
        "factor_o": np.sqrt(6 / (64 + 64)),
        "bias": np.sqrt(6 / (64 + 64)),
    }
    assert [v.name for v in source.weights] == list(limits)
    for variable in source.weights:
        limit = limits[variable.name]
        assert np.abs(variable).max() <= limit, variable.name
        # Nine draws at least: one lies in the outer half but for 1 in 512.
        assert np.abs(variable).max() > limit / 2, variable.name


def test_sizes_of_the_network_for_cifar():
    """Core 9 c_in c_out; factors 9 + 9 + c_in^2 + c_out^2, bias c_out."""
    layers = ((3, 32), (32, 32), (32, 64), (64, 64))
    sources = [
        TensorFactorization().filter_source(0, shapes.convolution(3, *channels))
        for channels in layers
    ]
    assert [shapes.size(s.knowledge_base) for s in sources] == [
        864,
        9216,
        18432,
        36864,
    ]
    assert [shapes.size(s.task_mapping) for s in sources] == [
        1083,  # 18 +    9 + 1024 + 32
        2098,  # 18 + 1024 + 1024 + 32
        5202,  # 18 + 1024 + 4096 + 64
        8274,  # 18 + 4096 + 4096 + 64
    ]


@pytest.mark.parametrize("weight", [-0.1, "0.1"])
def test_refuses_a_negative_weight(weight):
    with pytest.raises(
        InputError, match="`orthogonality_weight` must be a number not below 0"
    ):
        TensorFactorization(weight)
