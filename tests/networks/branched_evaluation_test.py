import functools
import gc
import weakref

import hypothesis
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from lasem_tf.checks import InputError
from lasem_tf.layers import HardParameterSharing, SelectiveConv2D
from lasem_tf.layers.selective_conv import pick
from lasem_tf.networks import BranchedEvaluation, SelectiveNetwork
from lasem_tf.networks.convolution_tape import ConvolutionTape
from lasem_tf.transfer import TransferConfiguration, all_configurations
from tests.networks import graphs

layers = keras.layers
# Shrinking a failure would take minutes; the seed in its report is enough.
repeatable = hypothesis.settings(
    max_examples=15,
    derandomize=True,
    deadline=None,
    phases=[hypothesis.Phase.generate],
)


def configurations(*texts):
    return [TransferConfiguration.parse(t, len(t)) for t in texts]


@st.composite
def candidate_sets(draw, num_layers, max_size=6):
    """Distinct configurations in any order."""
    bits = st.tuples(*[st.booleans()] * num_layers)
    chosen = draw(st.lists(bits, min_size=1, max_size=max_size, unique=True))
    return [TransferConfiguration(c) for c in chosen]


def separate(plain, network, candidates, images, **kwargs):
    return np.stack(
        [plain.logits(network, c, images, **kwargs) for c in candidates]
    )


def assert_equal_to_separate_networks(
    make, learner, draw_candidates, image_shape
):
    """One pass against one plain Keras model per candidate."""
    keras.utils.set_random_seed(0)
    drawn = make()
    plain = make().start_like(drawn.model)
    network = SelectiveNetwork(drawn.model, graphs.RULES[learner])
    assert network.num_layers == len(drawn.convolutions)
    candidates = draw_candidates(network.num_layers)
    images = graphs.images(image_shape)
    evaluate = BranchedEvaluation(network, candidates)
    logits = evaluate(images, network.filters()).logits
    expected = separate(plain, network, candidates, images)
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(logits / scale, expected / scale, atol=1e-5)


@repeatable
@hypothesis.given(
    data=st.data(),
    depth=st.integers(1, 7),
    learner=st.sampled_from(sorted(graphs.RULES)),
    seed=st.integers(0, 2**16),
)
def test_chains_equal_separate_networks(data, depth, learner, seed):
    assert_equal_to_separate_networks(
        lambda: graphs.chain(depth, seed),
        learner,
        lambda num_layers: data.draw(candidate_sets(num_layers)),
        (6, 7, graphs.CHANNELS),
    )


@repeatable
@hypothesis.given(
    data=st.data(),
    num_steps=st.integers(1, 7),
    learner=st.sampled_from(sorted(graphs.RULES)),
    seed=st.integers(0, 2**16),
)
def test_graphs_equal_separate_networks(data, num_steps, learner, seed):
    assert_equal_to_separate_networks(
        lambda: graphs.graph(num_steps, seed),
        learner,
        lambda num_layers: data.draw(candidate_sets(num_layers)),
        (3, 4, graphs.CHANNELS),
    )


@pytest.mark.parametrize("depth", [1, 7])
def test_the_full_space_of_a_chain_equals_separate_networks(depth):
    sample = slice(None, None, 9)

    keras.utils.set_random_seed(0)
    drawn = graphs.chain(depth, seed=depth)
    plain = graphs.chain(depth, seed=depth).start_like(drawn.model)
    network = SelectiveNetwork(drawn.model, HardParameterSharing())
    candidates = all_configurations(depth)
    images = graphs.images((6, 7, graphs.CHANNELS))
    logits = BranchedEvaluation(network, candidates)(
        images, network.filters()
    ).logits
    assert logits.shape == (2**depth, 2, 3)
    np.testing.assert_allclose(
        logits[sample],
        separate(plain, network, candidates[sample], images),
        atol=1e-5,
    )


# A residual network with strides: the shape of most backbones people bring.


def residual(early_dropout=False):
    draw = graphs.Drawing(seed=4)
    images = keras.Input((6, 6, 2))
    stem = draw.convolution(3, padding="same", kernel_size=3)(images)
    if early_dropout:
        stem = layers.Dropout(0.5, seed=1)(stem)
    inner = draw.convolution(4, padding="same", strides=2, kernel_size=3)(stem)
    inner = draw.convolution(4, padding="same", kernel_size=3)(inner)
    shortcut = draw.convolution(4, strides=2, kernel_size=1)(stem)
    outputs = layers.ReLU()(layers.Add()([inner, shortcut]))
    outputs = layers.Flatten()(outputs)
    outputs = layers.Dropout(0.5, seed=2)(outputs)
    outputs = layers.Dense(3)(outputs)
    return graphs.Plain(keras.Model(images, outputs), draw.convolutions)


def selective(make=residual, learner="hps", seed=0, **kwargs):
    keras.utils.set_random_seed(seed)
    return SelectiveNetwork(make(**kwargs).model, graphs.RULES[learner])


RESIDUAL_IMAGES = graphs.images((6, 6, 2), batch=3)


@pytest.mark.parametrize("learner", graphs.RULES)
def test_compiled_equals_eager_for_any_batch(learner):
    network = selective(learner=learner)
    evaluate = BranchedEvaluation(network, all_configurations(4))

    @tf.function(input_signature=[tf.TensorSpec([None, 6, 6, 2], tf.float32)])
    def compiled(images):
        return evaluate(images, network.filters()).logits

    for batch in (3, 1):
        images = RESIDUAL_IMAGES[:batch]
        np.testing.assert_allclose(
            compiled(images),
            evaluate(images, network.filters()).logits,
            atol=1e-5,
        )
    assert compiled.experimental_get_tracing_count() == 1


def test_gradients_are_those_of_separate_networks():
    network = selective(learner="tf")
    candidates = configurations("SSTT", "STSS", "TTTT")
    weights = tf.constant([0.5, 0.2, 0.3])
    variables = network.trainable_variables
    with tf.GradientTape() as tape:
        logits = BranchedEvaluation(network, candidates)(
            RESIDUAL_IMAGES, network.filters()
        ).logits
        losses = tf.reduce_mean(tf.square(logits), axis=[1, 2])
        loss = tf.tensordot(weights, losses, axes=1)
    gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
    expected = [np.zeros(v.shape, np.float32) for v in variables]
    for weight, candidate in zip(weights, candidates, strict=True):
        with tf.GradientTape() as tape:
            logits = network(RESIDUAL_IMAGES, candidate.shared)
            loss = weight * tf.reduce_mean(tf.square(logits))
        for total, gradient in zip(
            expected,
            tape.gradient(loss, variables, unconnected_gradients="zero"),
            strict=True,
        ):
            total += gradient.numpy()
    assert sum(np.abs(e).max() > 1e-4 for e in expected) == len(expected)
    for ours, reference in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(ours, reference, rtol=1e-4, atol=1e-5)


# Work.


@pytest.fixture
def rows_convolved(monkeypatch):
    """Images that each convolution has seen, by name."""
    counts = {}
    convolve = SelectiveConv2D.convolve

    def counting(self, inputs, filters):
        counts[self.name] = counts.get(self.name, 0) + len(inputs)
        return convolve(self, inputs, filters)

    monkeypatch.setattr(SelectiveConv2D, "convolve", counting)
    return counts


@pytest.mark.parametrize(
    "texts",
    [
        ["STST"],
        ["SSSS", "SSST", "SSTS"],
        ["SSTT", "TTSS", "TTTT"],
        [str(c) for c in all_configurations(4)],
    ],
)
def test_a_layer_of_a_chain_sees_one_row_per_distinct_prefix(
    rows_convolved, texts
):
    network = selective(lambda: graphs.chain(4, seed=1))
    candidates = configurations(*texts)
    images = graphs.images((6, 7, graphs.CHANNELS), batch=3)
    evaluate = BranchedEvaluation(network, candidates)
    rows_convolved.clear()  # Of the trial that the constructor makes.
    evaluate(images, network.filters())
    for index, layer in enumerate(network.selective_layers):
        prefixes = {text[: index + 1] for text in texts}
        assert rows_convolved[layer.name] == 3 * len(prefixes)


def test_a_branch_does_not_pay_for_choices_beside_it(rows_convolved):
    """The shortcut depends on the stem and itself: 4 rows, not 16."""
    network = selective()
    evaluate = BranchedEvaluation(network, all_configurations(4))
    rows_convolved.clear()
    evaluate(RESIDUAL_IMAGES, network.filters())
    assert rows_convolved == {
        "conv_1": 3 * 2,
        "conv_2": 3 * 4,
        "conv_3": 3 * 8,
        "conv_4": 3 * 4,
    }


def reset(network):
    for state in network.seed_states:
        state.assign(tf.ones_like(state))


def second_pass(network, evaluate):
    """A pass in training that knows what one in inference convolved."""
    filters = network.filters()
    first = evaluate(RESIDUAL_IMAGES, filters)
    reset(network)
    with ConvolutionTape([], first.known) as tape:
        second = evaluate(RESIDUAL_IMAGES, filters, True, tape.convolve)
    reset(network)
    anew = evaluate(RESIDUAL_IMAGES, filters, True)
    np.testing.assert_allclose(second.logits, anew.logits, atol=1e-6)
    return first, second


def test_a_second_pass_convolves_nothing_again(rows_convolved):
    network = selective()
    evaluate = BranchedEvaluation(network, all_configurations(4))
    rows_convolved.clear()
    first, second = second_pass(network, evaluate)
    assert rows_convolved["conv_4"] == 2 * 3 * 4, "first, and anew"
    assert np.abs(second.logits - first.logits).max() > 1e-3, "dropout"


def test_a_second_pass_convolves_again_after_an_early_dropout(rows_convolved):
    network = selective(early_dropout=True)
    evaluate = BranchedEvaluation(network, all_configurations(4))
    rows_convolved.clear()
    second_pass(network, evaluate)
    assert rows_convolved["conv_1"] == 2 * 3 * 2, "first, and anew"
    assert rows_convolved["conv_4"] == 3 * 3 * 4, "second as well"


@pytest.mark.parametrize("texts", [["STST"], ["SSTT", "TTSS", "TTTT", "SSSS"]])
def test_of_one_candidate_it_knows_what_its_own_network_convolves(texts):
    network = selective()
    candidates = configurations(*texts)
    evaluate = BranchedEvaluation(network, candidates)
    filters = network.filters()
    evaluation = evaluate(RESIDUAL_IMAGES, filters)
    for number, candidate in enumerate(candidates):
        known = evaluate.of_candidate(evaluation, tf.constant(number))
        picked = [
            pick(f, s) for f, s in zip(filters, candidate.shared, strict=True)
        ]
        alone = network.activations(RESIDUAL_IMAGES, picked, False)
        assert len(known) == 4
        for value, outputs in known.items():
            np.testing.assert_allclose(outputs, alone[value], atol=1e-5)


# Dropout.


@pytest.mark.parametrize("early_dropout", [True, False])
def test_candidates_that_compute_the_same_see_the_same_dropout(early_dropout):
    network = selective(early_dropout=early_dropout)
    for layer in network.selective_layers:
        for shared, own in zip(
            layer.shared.knowledge_base, layer.task.task_mapping, strict=True
        ):
            shared.assign(own)
    evaluate = BranchedEvaluation(network, all_configurations(4))
    filters = network.filters()
    logits = evaluate(RESIDUAL_IMAGES, filters, True).logits
    np.testing.assert_allclose(logits, [logits[0]] * 16, atol=1e-5)
    quiet = evaluate(RESIDUAL_IMAGES, filters, False).logits
    assert np.abs(logits - quiet).max() > 1e-2


@pytest.mark.parametrize("early_dropout", [True, False])
def test_a_candidate_sees_the_same_dropout_whoever_else_is_there(
    early_dropout,
):
    network = selective(early_dropout=early_dropout)
    filters = network.filters()
    every = all_configurations(4)
    reset(network)
    logits = BranchedEvaluation(network, every)(
        RESIDUAL_IMAGES, filters, True
    ).logits
    for chosen in ([5], [2, 11, 3]):
        reset(network)
        alone = BranchedEvaluation(network, [every[i] for i in chosen])
        np.testing.assert_allclose(
            alone(RESIDUAL_IMAGES, filters, True).logits,
            tf.gather(logits, chosen),
            atol=1e-5,
        )


def test_dropout_of_whole_channels_is_the_same_in_every_row():
    def make():
        images = keras.Input((4, 4, 2))
        outputs = layers.Conv2D(5, 3, name="conv_1")(images)
        outputs = layers.SpatialDropout2D(0.5)(outputs)
        return keras.Model(images, layers.GlobalAveragePooling2D()(outputs))

    keras.utils.set_random_seed(3)
    network = SelectiveNetwork(make(), HardParameterSharing())
    logits = BranchedEvaluation(network, all_configurations(1))(
        graphs.images((4, 4, 2), batch=4), network.filters(), True
    ).logits
    dropped = logits.numpy() == 0
    assert 0 < dropped.sum() < dropped.size
    np.testing.assert_array_equal(dropped[0], dropped[1])


# Layers whose output depends on the rest of the mini-batch.


def with_batch_normalization(where="middle", trainable=True, wrap=lambda x: x):
    normalization = wrap(
        layers.BatchNormalization(name="norm", trainable=trainable)
    )
    images = keras.Input((4, 4, 2))
    outputs = normalization(images) if where == "first" else images
    outputs = layers.Conv2D(3, 2, name="conv_1")(outputs)
    outputs = normalization(outputs) if where == "middle" else outputs
    outputs = layers.Conv2D(2, 2, name="conv_2")(outputs)
    outputs = layers.GlobalAveragePooling2D()(outputs)
    return keras.Model(images, outputs)


def test_refuses_to_train_batch_normalization_with_several_configurations():
    network = SelectiveNetwork(
        with_batch_normalization(), HardParameterSharing()
    )
    with pytest.raises(InputError) as caught:
        BranchedEvaluation(network, configurations("ST", "TT"))
    assert str(caught.value) == (
        "Several configurations cannot be trained through a layer whose "
        "output depends on the rest of the mini-batch. Received: "
        "BatchNormalization 'norm' and 2 configurations. Use "
        "GroupNormalization or LayerNormalization, or freeze it with "
        "`trainable=False`."
    )


class Wrapped(layers.Layer):
    """Any layer, inside another."""

    def __init__(self, inner):
        super().__init__(name="block")
        self.inner = inner

    def call(self, inputs, training=False):
        return self.inner(inputs, training=training)


def test_finds_batch_normalization_inside_a_layer():
    network = SelectiveNetwork(
        with_batch_normalization(wrap=Wrapped), HardParameterSharing()
    )
    with pytest.raises(InputError, match="Received: Wrapped 'block' and 4 con"):
        BranchedEvaluation(network, all_configurations(2))


@pytest.mark.parametrize(
    ("arguments", "candidates"),
    [
        ({"trainable": False}, ["SS", "ST", "TS", "TT"]),  # frozen
        ({"where": "first"}, ["SS", "ST", "TS", "TT"]),  # before any choice
        ({}, ["ST", "SS"]),  # choices after it only
        ({}, ["TS"]),  # one configuration
    ],
)
def test_batch_normalization_that_sees_one_configuration_trains_as_in_keras(
    arguments, candidates
):
    keras.utils.set_random_seed(0)
    model = with_batch_normalization(**arguments)
    copy = with_batch_normalization(**arguments)
    convolutions = [copy.get_layer("conv_1"), copy.get_layer("conv_2")]
    plain = graphs.Plain(copy, convolutions).start_like(model)
    network = SelectiveNetwork(model, HardParameterSharing())
    candidates = configurations(*candidates)
    images = graphs.images((4, 4, 2), batch=5)
    statistics = copy.get_layer("norm").non_trainable_variables
    before = [v.numpy() for v in statistics]
    expected = []
    for candidate in candidates:
        for variable, value in zip(statistics, before, strict=True):
            variable.assign(value)
        expected.append(plain.logits(network, candidate, images, training=True))
    logits = BranchedEvaluation(network, candidates)(
        images, network.filters(), True
    ).logits
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    for ours, keras_own in zip(
        model.get_layer("norm").non_trainable_variables, statistics, strict=True
    ):
        np.testing.assert_allclose(ours, keras_own, atol=1e-6)
    moved = np.abs(statistics[1] - before[1]).max()
    assert (moved > 1e-4) == arguments.get("trainable", True)


def _logits(evaluate, images, filters):
    return evaluate(images, filters).logits


def test_nothing_is_left_of_it_when_it_goes():
    """A compiled pass must not keep the parameters that nobody kept."""
    network = selective()
    evaluate = BranchedEvaluation(network, all_configurations(4))
    compiled = tf.function(functools.partial(_logits, evaluate))
    compiled(RESIDUAL_IMAGES, network.filters())
    kept = network.selective_layers[1].task
    gone = [
        weakref.ref(v.value)
        for v in network.variables
        if id(v) not in {id(k) for k in kept.task_mapping}
    ]
    assert len(gone) > 10
    del network, evaluate, compiled
    gc.collect()
    assert [ref() for ref in gone] == [None] * len(gone)
    assert kept()[0].shape == (3, 3, 3, 4)
