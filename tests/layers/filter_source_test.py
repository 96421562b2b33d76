import keras
import numpy as np
import pytest

from lasem_tf.checks import InputError
from lasem_tf.layers import SelectiveConv2D
from lasem_tf.layers.filter_source import fresh
from tests.layers import shapes


@pytest.mark.parametrize("learner", shapes.RULES)
@pytest.mark.parametrize("use_bias", [True, False])
def test_a_later_task_gets_the_knowledge_base_and_a_mapping_of_its_own(
    learner, use_bias
):
    rule = shapes.RULES[learner]
    first = rule.filter_source(0, shapes.convolution(use_bias=use_bias))
    second = rule.filter_source(
        0, shapes.convolution(use_bias=use_bias), first.knowledge_base
    )
    assert len(first.knowledge_base) > 0
    for one, other in zip(
        first.knowledge_base, second.knowledge_base, strict=True
    ):
        assert one is other
    assert not {id(v) for v in first.task_mapping} & {
        id(v) for v in second.task_mapping
    }
    before = second()[0].numpy()
    first.knowledge_base[0].assign(first.knowledge_base[0] + 1.0)
    assert np.abs(second()[0] - before).max() > 1e-3


@pytest.mark.parametrize("learner", shapes.RULES)
def test_every_variable_is_tracked_and_belongs_to_one_of_the_two_parts(learner):
    source = shapes.RULES[learner].filter_source(0, shapes.convolution())
    parts = [*source.knowledge_base, *source.task_mapping]
    assert {id(v) for v in parts} == {id(v) for v in source.weights}
    assert len(parts) == len(source.weights)


@pytest.mark.parametrize("learner", shapes.RULES)
def test_without_a_bias_there_is_none(learner):
    layer = shapes.convolution(use_bias=False)
    source = shapes.RULES[learner].filter_source(0, layer)
    kernel, bias = source()
    assert bias is None
    assert kernel.shape == layer.kernel.shape
    assert not any(tuple(v.shape) == (4,) for v in source.weights)


@pytest.mark.parametrize("learner", shapes.RULES)
@pytest.mark.parametrize(
    "initializer", ["glorot_uniform", keras.initializers.TruncatedNormal()]
)
def test_shared_and_own_filters_start_different(learner, initializer):
    """One unseeded Keras initializer returns the same values at each call."""
    layer = shapes.convolution(kernel_initializer=initializer)
    source = shapes.RULES[learner].filter_source(0, layer)
    shared, own = SelectiveConv2D(layer, source).filters()
    assert np.abs(shared[0] - own[0]).max() > 1e-3


@pytest.mark.parametrize(
    ("learner", "text"),
    [
        ("hps", "HardParameterSharing()"),
        ("tf", "TensorFactorization(orthogonality_weight=0.1)"),
        (
            "dfcnn",
            "DeconvFactorization(base_channels=None, deconv_channels=None)",
        ),
    ],
)
def test_rules_name_themselves(learner, text):
    assert shapes.RULES[learner].name == learner
    assert repr(shapes.RULES[learner]) == text


def test_fresh_draws_anew_from_the_same_distribution():
    initializer = keras.initializers.RandomUniform(2.0, 3.0)
    one, same = initializer((100,)), initializer((100,))
    other = fresh(initializer)((100,))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.1
    assert 2.0 <= np.min(other) and np.max(other) <= 3.0


def test_fresh_keeps_a_seed_and_a_function_that_the_user_chose():
    seeded = keras.initializers.RandomNormal(seed=3)
    np.testing.assert_array_equal(seeded((5,)), fresh(seeded)((5,)))

    def ones(shape, dtype=None):
        return keras.ops.ones(shape, dtype)

    assert fresh(ones) is ones


@pytest.mark.parametrize("learner", shapes.RULES)
def test_a_later_task_of_other_shapes_is_refused(learner):
    def convolution(channels_in):
        layer = keras.layers.Conv2D(4, 3)
        layer.build((None, 8, 8, channels_in))
        return layer

    rule = shapes.RULES[learner]
    first = rule.filter_source(0, convolution(1))
    same = rule.filter_source(0, convolution(1), first.knowledge_base)
    assert same.knowledge_base[0] is first.knowledge_base[0]
    with pytest.raises(InputError, match="must fit what earlier tasks share"):
        rule.filter_source(0, convolution(9), first.knowledge_base)
