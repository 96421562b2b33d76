import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.layers import HardParameterSharing
from lasem_tf.methods import Lasem, RMSprop
from lasem_tf.methods.m_step import MStep
from tests.layers import shapes
from tests.methods import tiny

LEARNING_RATE = 0.005
NUM_CANDIDATES = 8
# Which candidates hold the posterior; up to so many are few in these tests.
FEW = 4
HOLDERS = {"one": [5], "two": [1, 6], "three": [0, 3, 6], "all": [*range(8)]}


def lasem(learner="hps", dropout=0.5, **kwargs):
    return Lasem(
        functools.partial(tiny.backbone, dropout=dropout),
        shapes.RULES[learner],
        optimizer=functools.partial(RMSprop, learning_rate=LEARNING_RATE),
        head=tiny.head,
        **kwargs,
    )


def evidence(holders):
    """Counts that leave the others a prior of about 1e-30."""
    counts = np.zeros(NUM_CANDIDATES, np.float32)
    counts[holders] = 1e30
    return counts


def count_pruned_steps(method):
    """Has four candidates count as few; returns what counts such M-steps."""
    m_step, count = method._trainer.m_step, tf.Variable(0)
    one_by_one = m_step._one_by_one

    def counted(*args):
        count.assign_add(1)
        return one_by_one(*args)

    m_step._one_by_one = counted
    m_step.max_one_by_one = FEW
    return count


def run(method, holders, num_epochs=4):
    """One task; the posterior stays with the holders throughout."""
    task = tiny.task()
    method.begin_task(task)
    if method.pruning_floor is not None:
        count = count_pruned_steps(method)
    method._trainer.evidence.assign(evidence(holders))
    for epoch in range(num_epochs):
        method.train_epoch(tiny.batches(task), epoch)
    if method.pruning_floor is not None:
        num_m_steps = 3 * num_epochs * method.num_m_steps
        assert count == (num_m_steps if len(holders) <= FEW else 0)
    method.end_task()
    return method


def weights(method):
    return [v for task in method._finished for v in (*task.all_weights,)]


@pytest.mark.parametrize(
    ("learner", "holders"),
    [("tf", "one"), ("dfcnn", "two"), *(("hps", h) for h in HOLDERS)],
)
def test_a_run_with_pruning_is_the_run_without(learner, holders):
    pruned = run(lasem(learner), HOLDERS[holders])
    plain = run(lasem(learner, pruning_floor=None), HOLDERS[holders])
    assert pruned._selected == plain._selected
    for a, b in zip(weights(pruned), weights(plain), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5, rtol=1e-4)


def test_several_m_steps_with_pruning_are_those_without():
    pruned = run(lasem(num_m_steps=3), [2])
    plain = run(lasem(num_m_steps=3, pruning_floor=None), [2])
    for a, b in zip(weights(pruned), weights(plain), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5, rtol=1e-4)


def test_a_run_of_its_own_posteriors_is_the_run_without_pruning():
    """Nothing pinned: posteriors sharpen as they will."""
    runs = []
    for floor in (1e-8, None):
        method = lasem(dropout=0.0, pruning_floor=floor)
        task = tiny.task(num_images=40)
        method.begin_task(task)
        batches = tiny.batches(task, batch_size=20)
        count = count_pruned_steps(method) if floor else None
        for epoch in range(40):
            method.train_epoch(batches, epoch)
        method.end_task()
        runs.append((method, count))
    (pruned, count), (plain, _) = runs
    assert 16 < count < 80, "some of 80 steps, not all"
    assert pruned._selected == plain._selected
    for a, b in zip(weights(pruned), weights(plain), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6, rtol=1e-5)


def begun():
    method = lasem(dropout=0.0)
    task = tiny.task()
    method.begin_task(task)
    return method, *next(iter(tiny.batches(task)))


def flat_gradients(method, floor, images, labels, posterior):
    m_step = MStep(
        method._trainer.network,
        method._trainer.configurations,
        method._trainer.weights,
        floor,
    )
    _, gradients = m_step.gradients(
        images, labels, tf.constant(posterior), m_step.forward(images)[1]
    )
    return np.concatenate([np.ravel(g) for g in gradients])


@pytest.mark.parametrize("floor", [1e-4, 0.02, 0.2])
def test_what_is_neglected_stays_within_its_bound(floor):
    """Floor times the largest gradient of a candidate left out."""
    method, images, labels = begun()
    posterior = np.full(NUM_CANDIDATES, 0.999 * floor / 7, np.float32)
    posterior[3] = 1 - 0.999 * floor
    exact, pruned = (
        flat_gradients(method, f, images, labels, posterior)
        for f in (None, floor)
    )
    largest = max(
        np.linalg.norm(flat_gradients(method, None, images, labels, one_hot))
        for one_hot in np.eye(NUM_CANDIDATES, dtype=np.float32)
    )
    difference = np.linalg.norm(exact - pruned)
    assert 0 < difference <= floor * largest


def largest_gradient(method, images, labels):
    """Of any candidate, with respect to any number."""
    return max(
        np.abs(flat_gradients(method, None, images, labels, one_hot)).max()
        for one_hot in np.eye(NUM_CANDIDATES, dtype=np.float32)
    )


def test_weights_at_rest_stay_within_their_bound():
    """RMSProp makes steps out of gradients however small they are."""
    floor, num_steps, num_counts = 1e-3, 300, 1e5
    runs, largest = [], 0.0
    for pruning_floor in (None, floor):
        method = lasem(
            dropout=0.0, likelihood="mean", pruning_floor=pruning_floor
        )
        task = tiny.task()
        method.begin_task(task)
        count = count_pruned_steps(method)
        counts = num_counts * tf.one_hot(7, NUM_CANDIDATES)  # TTT
        method._trainer.evidence.assign(counts)
        batch = next(iter(tiny.batches(task)))
        largest = max(largest, largest_gradient(method, *batch))
        for epoch in range(num_steps // 3):
            method.train_epoch(tiny.batches(task), epoch)
        largest = max(largest, largest_gradient(method, *batch))
        assert int(count) == (0 if pruning_floor is None else num_steps)
        runs.append(method._trainer.network)
    at_rest = [
        np.abs(np.subtract(a, b)).max()
        for layers in zip(*(n.selective_layers for n in runs), strict=True)
        for a, b in zip(*(la.filters().shared for la in layers), strict=True)
    ]
    epsilon = RMSprop().epsilon
    bound = num_steps * LEARNING_RATE * floor * largest / np.sqrt(epsilon)
    assert 1e-6 < max(at_rest) <= bound


def num_loops(method):
    """Loops in the compiled epoch, but for the one over mini-batches."""
    graph = method._trainer.compiled_epoch._iterated.get_concrete_function(
        iter(tiny.batches(method._task)), tf.constant(3, tf.int64)
    ).graph
    nodes = [
        node
        for function in graph.as_graph_def().library.function
        for node in function.node_def
    ]
    return sum(node.op in ("While", "StatelessWhile") for node in nodes)


@pytest.mark.parametrize(
    ("candidates", "loops"),
    [("full", 1), (["SSS", "TTT"], 1), (["SSS", "SST"], 0), (["SST"], 0)],
)
def test_pruning_is_compiled_only_where_it_can_pay(candidates, loops):
    """Two that share all but the last layer are never dear."""
    method = lasem(candidates=candidates)
    task = tiny.task()
    method.begin_task(task)
    method.train_epoch(tiny.batches(task), 0)
    assert num_loops(method) == loops


# What backbones may hold besides convolutions.


class Embedding(keras.layers.Layer):
    """Scales each channel by rows of a table, in any order."""

    def build(self, shape):
        self.table = self.add_weight(shape=(5, shape[-1]), initializer="ones")

    def call(self, inputs):
        return inputs * tf.reduce_sum(tf.gather(self.table, [0, 2, 2]), axis=0)


def unusual(image_shape, activity=0.0, first=None, before_head=None):
    images = keras.Input(image_shape)
    outputs = first()(images) if first else images
    for padding in ("same", "valid", "same"):
        outputs = keras.layers.Conv2D(
            3, 3, padding=padding, activation="relu", bias_initializer="normal"
        )(outputs)
    outputs = keras.layers.Flatten()(outputs)
    outputs = before_head()(outputs) if before_head else outputs
    regularizer = keras.regularizers.L2(activity) if activity else None
    outputs = keras.layers.Dense(4, activity_regularizer=regularizer)(outputs)
    return keras.Model(images, outputs)


UNUSUAL = {
    "normalisation first": {"first": keras.layers.BatchNormalization},
    "dropout first": {"first": lambda: keras.layers.Dropout(0.3, seed=1)},
    "sparse gradient": {"before_head": Embedding},
    "frozen normalisation": {
        "before_head": lambda: keras.layers.BatchNormalization(trainable=False)
    },
    "own losses": {"activity": 0.1},
}


def run_unusual(kind, **kwargs):
    method = Lasem(
        functools.partial(unusual, **UNUSUAL[kind]),
        HardParameterSharing(),
        head=tiny.head,
        **kwargs,
    )
    return run(method, HOLDERS["two"])


@pytest.mark.parametrize("kind", UNUSUAL)
def test_any_backbone_is_trained_and_left_as_without_pruning(kind):
    pruned, plain = run_unusual(kind), run_unusual(kind, pruning_floor=None)
    for a, b in zip(weights(pruned), weights(plain), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5, rtol=1e-4, err_msg=a.path)


@pytest.mark.parametrize("candidates", ["full", ["SST", "SSS"], ["TST"]])
def test_losses_that_layers_add_are_expected_like_the_cross_entropy(candidates):
    method = Lasem(
        functools.partial(unusual, activity=3.0),
        HardParameterSharing(),
        head=tiny.head,
        candidates=candidates,
    )
    task = tiny.task()
    method.begin_task(task)
    images, labels = next(iter(tiny.batches(task)))
    num = len(method._trainer.configurations)
    posterior = np.random.default_rng(0).dirichlet(np.ones(num))
    m_step = method._trainer.m_step
    loss, gradients = tf.function(m_step.gradients)(
        images, labels, tf.constant(posterior, tf.float32)
    )
    dense = method._trainer.network.graph.steps[-2].layer
    assert dense.activity_regularizer is not None
    with tf.GradientTape() as tape:
        expected = 0.0
        for probability, configuration in zip(
            posterior, method._trainer.configurations, strict=True
        ):
            logits = method._trainer.network(images, configuration.shared)
            own = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            (penalty,) = dense.losses
            assert penalty > 1e-2
            expected += probability * (tf.reduce_mean(own) + penalty)
    assert loss.numpy() == pytest.approx(expected.numpy(), rel=1e-5)
    for a, b in zip(
        gradients,
        tape.gradient(expected, [w.value for w in method._trainer.weights]),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-4)
