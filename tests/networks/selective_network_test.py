import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.layers import DeconvFactorization, HardParameterSharing
from lasem_tf.networks import SelectiveNetwork
from lasem_tf.networks.convolutions import convolutions
from lasem_tf.transfer import TransferConfiguration, all_configurations
from tests.networks import graphs

layers = keras.layers
IMAGES = graphs.images((6, 6, 2), batch=3)


def drawn(dropout=0.0, **first):
    """Two branches of one convolution each on top of a common one."""
    images = keras.Input((6, 6, 2))
    made = [
        layers.Conv2D(3, 3, activation="relu", name="conv_1", **first),
        layers.Conv2D(2, (1, 3), strides=2, name="conv_2", use_bias=False),
        layers.Conv2D(2, (2, 3), strides=2, padding="valid", name="conv_3"),
    ]
    stem = made[0](images)
    outputs = layers.Add()([made[1](stem), made[2](stem)])
    outputs = layers.Flatten()(outputs)
    outputs = layers.Dropout(dropout, seed=1)(outputs)
    outputs = layers.Dense(3, name="dense", kernel_regularizer="l2")(outputs)
    return graphs.Plain(keras.Model(images, outputs), made)


def selective(learner="hps", knowledge_base=None, seed=0, **kwargs):
    keras.utils.set_random_seed(seed)
    return SelectiveNetwork(
        drawn(**kwargs).model, graphs.RULES[learner], knowledge_base
    )


def chain(*inner, shape=(5, 5, 2)):
    return keras.Sequential(
        [keras.Input(shape), *inner, layers.GlobalAveragePooling2D()]
    )


def parse(text):
    return TransferConfiguration.parse(text, len(text))


def ids(variables):
    return {id(v) for v in variables}


# One network.


@pytest.mark.parametrize("learner", graphs.RULES)
def test_is_a_plain_model_with_the_kernels_of_its_mask_put_in_place(learner):
    keras.utils.set_random_seed(0)
    model = drawn()
    plain = drawn().start_like(model.model)
    network = SelectiveNetwork(model.model, graphs.RULES[learner])
    compiled = tf.function(network)
    seen = []
    for configuration in all_configurations(3):
        expected = plain.logits(network, configuration, IMAGES)
        mask = tf.constant(configuration.shared)
        np.testing.assert_allclose(network(IMAGES, mask), expected, atol=1e-5)
        np.testing.assert_allclose(compiled(IMAGES, mask), expected, atol=1e-5)
        seen.append(expected)
    assert compiled.experimental_get_tracing_count() == 1
    differences = [
        np.abs(a - b).max() for a in seen for b in seen if a is not b
    ]
    assert min(differences) > 1e-4


def test_a_mask_may_be_a_tuple_of_flags():
    network = selective()
    configuration = parse("STS")
    np.testing.assert_array_equal(
        network(IMAGES, configuration.shared),
        network(IMAGES, tf.constant([True, False, True])),
    )


def test_random_graphs_equal_plain_models_under_a_mask():
    for seed in range(3):
        keras.utils.set_random_seed(seed)
        model = graphs.graph(5, seed)
        plain = graphs.graph(5, seed).start_like(model.model)
        network = SelectiveNetwork(model.model, graphs.RULES["dfcnn"])
        flags = np.random.default_rng(seed).random(network.num_layers) < 0.5
        configuration = TransferConfiguration(tuple(flags.tolist()))
        expected = plain.logits(network, configuration, graphs.images())
        np.testing.assert_allclose(
            network(graphs.images(), flags), expected, rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("learner", graphs.RULES)
def test_parameters_not_picked_get_a_gradient_of_exactly_zero(learner):
    network = selective(learner)
    configuration = parse("SST")
    used = ids(network.trainable_weights_of([configuration]))
    variables = network.trainable_variables
    with tf.GradientTape() as tape:
        logits = network(IMAGES, configuration.shared)
        loss = tf.reduce_sum(tf.square(logits))
    gradients = tape.gradient(loss, variables)
    assert 0 < len(used) < len(variables)
    for variable, gradient in zip(variables, gradients, strict=True):
        moved = np.abs(gradient).max() > 0
        assert moved == (id(variable) in used), variable.path


def test_dropout_is_on_while_training_only():
    network = selective(dropout=0.5)
    mask = parse("STS").shared
    quiet = network(IMAGES, mask).numpy()
    np.testing.assert_array_equal(network(IMAGES, mask), quiet)
    noisy = network(IMAGES, mask, training=True)
    assert np.abs(noisy - quiet).max() > 1e-3


def test_seed_states_decide_what_is_dropped():
    network = selective(dropout=0.5)
    (state,) = network.seed_states
    mask = parse("STS").shared
    logits = []
    for seed in (5, 6, 5):
        state.assign([seed, 0])
        logits.append(network(IMAGES, mask, training=True).numpy())
    np.testing.assert_array_equal(logits[0], logits[2])
    assert np.abs(logits[0] - logits[1]).max() > 1e-3


# Parameters.


@pytest.mark.parametrize("learner", graphs.RULES)
def test_the_next_task_has_the_same_knowledge_base_and_nothing_else(learner):
    first = selective(learner)
    second = selective(learner, first.knowledge_base, seed=1)
    base = [v for variables in first.knowledge_base for v in variables]
    assert ids(v for vs in second.knowledge_base for v in vs) == ids(base)
    assert ids(first.weights) & ids(second.weights) == ids(base)


@pytest.mark.parametrize("learner", graphs.RULES)
def test_every_weight_is_in_a_source_or_among_the_others(learner):
    network = selective(learner)
    sources = network.sources_used(all_configurations(3))
    assert len(sources) == 6
    of_sources = ids(w for source in sources for w in source.weights)
    assert not of_sources & ids(network.other_weights)
    assert of_sources | ids(network.other_weights) == ids(network.weights)
    assert [w.path.split("/")[-2] for w in network.other_weights] == [
        "dense",
        "dense",
    ]


def test_sources_used_are_those_that_some_candidate_picks():
    network = selective()
    slots = [(la.shared, la.task) for la in network.selective_layers]
    expected = [slots[0][0], slots[1][0], slots[1][1], slots[2][1]]
    used = network.sources_used([parse("SST"), parse("STT")])
    assert [id(s) for s in used] == [id(s) for s in expected]


def test_frozen_weights_are_not_trained():
    network = selective(trainable=False)
    weights = ids(network.trainable_weights_of(all_configurations(3)))
    assert id(network.selective_layers[0].task.kernel) not in weights
    assert id(network.selective_layers[1].task.kernel) in weights


def test_regularization_per_slot_and_layer():
    network = selective("tf", kernel_regularizer=keras.regularizers.L2(0.5))
    penalties = network.regularization()
    own = 0.5 * np.sum(np.square(network.selective_layers[0].task.kernel))
    np.testing.assert_allclose(penalties[1], [own, 0, 0], rtol=1e-5)
    shared = [
        0.1 * sum(np.linalg.norm(u.T @ u - np.eye(len(u))) for u in factors)
        for factors in (
            [f.numpy() for f in layer.shared.factors]
            for layer in network.selective_layers
        )
    ]
    np.testing.assert_allclose(penalties[0], shared, rtol=1e-5)


def test_regularization_of_layers_that_never_share():
    network = selective(kernel_regularizer="l2")
    (kernel, _) = network.other_weights
    np.testing.assert_allclose(
        network.other_regularization(),
        0.01 * np.sum(np.square(kernel)),
        rtol=1e-5,
    )
    bare = SelectiveNetwork(chain(layers.Conv2D(2, 3)), HardParameterSharing())
    assert float(bare.other_regularization()) == 0.0


def test_layers_beside_each_other_are_ordered_as_the_summary_lists_them():
    images = keras.Input((5, 5, 3))
    branches = [layers.Conv2D(2, 1)(images[..., c:]) for c in range(3)]
    model = keras.Model(
        images, layers.Flatten()(layers.Concatenate()(branches))
    )
    in_order = [b._keras_history.operation for b in branches]
    assert convolutions(model) == in_order
    assert [x for x in model.layers if x in in_order] == in_order
    network = SelectiveNetwork(model, HardParameterSharing())
    assert [la.name for la in network.selective_layers] == [
        la.name for la in in_order
    ]


def test_layers_of_a_nested_model_stand_in_its_place():
    """And one that is used outside too, where it is used first."""
    first, inner, last = (layers.Conv2D(2, 1) for _ in range(3))
    nested = keras.Sequential([keras.Input((5, 5, 2)), inner, first])
    images = keras.Input((5, 5, 2))
    outputs = layers.Flatten()(last(nested(first(images))))
    model = keras.Model(images, outputs)
    assert convolutions(model) == [first, inner, last]


def test_order_of_layers_is_that_of_first_use():
    """Made last, called first: the input side counts."""
    images = keras.Input((5, 5, 2))
    last, first = layers.Conv2D(2, 1), layers.Conv2D(2, 1)
    model = keras.Model(images, layers.Flatten()(last(first(images))))
    assert convolutions(model) == [first, last]
    network = SelectiveNetwork(model, HardParameterSharing())
    assert [la.name for la in network.selective_layers] == [
        first.name,
        last.name,
    ]


def test_other_kinds_of_convolution_stay_with_the_task():
    network = SelectiveNetwork(
        chain(
            layers.DepthwiseConv2D(2),
            layers.Conv2D(3, 1),
            layers.Conv2DTranspose(2, 2),
            layers.SeparableConv2D(2, 1),
        ),
        HardParameterSharing(),
    )
    assert network.num_layers == 1
    assert len(network.other_weights) == 2 + 2 + 3


@pytest.mark.parametrize("kept_slot", ["shared", "task"])
def test_only_the_slot_that_is_kept_stays_in_memory(kept_slot):
    network = selective("dfcnn")
    network(IMAGES, [True, False, True])
    kept = getattr(network.selective_layers[0], kept_slot)
    expected = kept()[0].numpy()
    forgotten = [
        weakref.ref(v.value)
        for v in network.variables
        if id(v) not in ids(kept.weights)
    ]
    replaced = weakref.ref(network.selective_layers[0])
    assert len(forgotten) > 10
    del network
    gc.collect()
    assert [ref() for ref in forgotten] == [None] * len(forgotten)
    assert replaced() is None
    np.testing.assert_array_equal(kept()[0], expected)


# Refusals.


class Doubled(layers.Conv2D):
    """Convolves, then does something more."""

    def call(self, inputs):
        return 2.0 * super().call(inputs)


class Standardized(layers.Conv2D):
    """Changes its kernel on the way."""

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, kernel - 1.0)


@pytest.mark.parametrize(
    ("convolution", "received"),
    [
        (Doubled(2, 3, name="c"), "a Doubled with its own `call`"),
        (
            Standardized(2, 3, name="c"),
            "a Standardized with its own `convolution_op`",
        ),
        (
            layers.Conv2D(2, 3, name="c", kernel_constraint="max_norm"),
            "a Conv2D with a constraint",
        ),
        (
            layers.Conv2D(2, 3, name="c", bias_constraint="non_neg"),
            "a Conv2D with a constraint",
        ),
        (
            layers.Conv2D(2, 3, name="c", activity_regularizer="l2"),
            "a Conv2D with an activity regularizer",
        ),
        (
            layers.Conv2D(2, 3, name="c", activation=layers.PReLU()),
            "a Conv2D with weights besides kernel and bias",
        ),
    ],
)
def test_refuses_a_convolution_that_is_more_than_its_filters(
    convolution, received
):
    with pytest.raises(InputError) as caught:
        SelectiveNetwork(chain(convolution), HardParameterSharing())
    assert str(caught.value) == (
        "Convolution 'c' must be a plain Conv2D to share its filters. "
        f"Received: {received}. Use `keras.layers.Conv2D` without it, or "
        "another layer type, which is not shared."
    )


def test_accepts_an_activation_layer_without_weights():
    network = SelectiveNetwork(
        chain(layers.Conv2D(2, 3, activation=layers.LeakyReLU(0.1))),
        HardParameterSharing(),
    )
    assert network.num_layers == 1


def test_refuses_a_network_without_a_convolution():
    images = keras.Input((4,))
    model = keras.Model(images, layers.Dense(2, name="only")(images))
    with pytest.raises(
        InputError, match="needs at least one `keras.layers.Conv2D`.*'only'"
    ):
        SelectiveNetwork(model, HardParameterSharing())


@pytest.mark.parametrize(
    ("mask", "shape"),
    [
        ([True, False], "(2,)"),
        ([True] * 4, "(4,)"),
        (True, "()"),
        ([[True, False, True]], "(1, 3)"),
    ],
)
def test_refuses_a_mask_of_the_wrong_length(mask, shape):
    network = selective()
    with pytest.raises(InputError) as caught:
        network(IMAGES, tf.constant(mask))
    assert str(caught.value) == (
        "`mask` must hold one flag per convolutional layer, here 3. Received: "
        f"a mask of shape {shape}. Pass for example the `shared` of a "
        "TransferConfiguration."
    )


def test_refuses_a_mask_whose_length_shows_up_only_when_it_runs():
    network = selective()

    @tf.function(
        input_signature=[
            tf.TensorSpec([3, 6, 6, 2]),
            tf.TensorSpec([None], tf.bool),
        ]
    )
    def compiled(images, mask):
        return network(images, mask)

    compiled(IMAGES, tf.constant([True, False, True]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="not compatible"):
        compiled(IMAGES, tf.constant([True, False]))


def test_a_base_learner_set_up_for_another_depth_is_refused():
    model = chain(layers.Conv2D(2, 3), layers.Conv2D(2, 3))
    with pytest.raises(InputError, match="the network's 2 convolutional"):
        SelectiveNetwork(model, DeconvFactorization(base_channels=[4, 4, 4]))


def test_a_later_task_of_another_depth_is_refused():
    def chain(depth):
        images = keras.Input((6, 6, 2))
        outputs = images
        for _ in range(depth):
            outputs = layers.Conv2D(2, 3, padding="same")(outputs)
        return keras.Model(images, layers.Flatten()(outputs))

    first = SelectiveNetwork(chain(2), HardParameterSharing())
    for depth in (1, 3):
        with pytest.raises(InputError, match="as many convolutions as the"):
            SelectiveNetwork(
                chain(depth), HardParameterSharing(), first.knowledge_base
            )
