import functools

import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.data import digits
from lasem_tf.data.pipeline import training_batches
from lasem_tf.evaluation.evaluator import evaluate
from lasem_tf.methods import (
    AdditiveDecomposition,
    RMSprop,
    additive_decomposition,
)
from lasem_tf.networks import backbones
from tests.methods import naive_step, tiny


def made(backbone=tiny.backbone, **kwargs):
    optimizer = functools.partial(RMSprop, learning_rate=0.002)
    return AdditiveDecomposition(
        backbone, head=tiny.head, **{"optimizer": optimizer, **kwargs}
    )


def learn(method, index, num_epochs=1):
    task = tiny.task(f"task_{index}", seed=index)
    method.begin_task(task)
    for epoch in range(num_epochs):
        method.train_epoch(tiny.batches(task), epoch)
    return task


def thetas(method, task_index):
    return [s()[0].numpy() for s in method._finished[task_index].sources]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_filters_are_a_masked_shared_kernel_plus_the_tasks_own():
    method = made()
    learn(method, 0)
    for layer in method._trainer.network.selective_layers:
        source = layer.shared
        shape = source.mask.shape
        source.mask.assign(np.linspace(-3, 3, shape[0]))
        (sigma,) = [v.numpy() for v in source.knowledge_base]
        expected = sigma * sigmoid(source.mask.numpy()) + source.tau.numpy()
        kernel, bias = source()
        np.testing.assert_allclose(kernel, expected, atol=1e-6)
        np.testing.assert_array_equal(bias, source.bias.numpy())


def test_a_step_descends_eq_3():
    """In what is the task's, in the shared kernels, in earlier sparse parts."""
    method = made(
        optimizer=naive_step.DESCENT, sparsity_weight=0.01, drift_weight=0.3
    )
    for index in range(2):
        learn(method, index)
        method.end_task()
    before = [thetas(method, index) for index in range(2)]
    task = learn(method, 2)
    drifts = [a - b for a, b in zip(thetas(method, 0), before[0], strict=True)]
    assert all(np.abs(drift).max() > 1e-3 for drift in drifts)
    network = method._trainer.network
    sources = [layer.shared for layer in network.selective_layers]
    earlier = [parameters.sources for parameters in method._finished]

    def theta(source):
        (sigma,) = source.knowledge_base
        return sigma * tf.sigmoid(source.mask) + source.tau + source.local

    def loss(images, labels):
        values = images
        for source, size in zip(sources, tiny.POOLS, strict=True):
            values = naive_step.convolve(values, theta(source), source.bias)
            values = naive_step.pool(values, size)
        logits = naive_step.dense(values, *network.other_weights)
        total = naive_step.cross_entropy(labels, logits)
        for source in sources:
            total += 0.01 * tf.reduce_sum(tf.abs(source.tau))
        for of_task, then in zip(earlier, before, strict=True):
            for source, value in zip(of_task, then, strict=True):
                total += 0.01 * tf.reduce_sum(tf.abs(source.tau))
                total += 0.3 * tf.reduce_sum((theta(source) - value) ** 2)
        return total

    naive_step.assert_descends(
        method,
        task,
        loss,
        trained=[
            *(source.knowledge_base[0] for source in sources),
            *(v for s in sources for v in (s.mask, s.tau, s.bias)),
            *network.other_weights,
            *(source.tau for of_task in earlier for source in of_task),
        ],
        at_rest=[
            *(v for ss in earlier for s in ss for v in (s.mask, s.bias)),
            *(s.local for ss in (sources, *earlier) for s in ss),
            *(v for finished in method._finished for v in finished.others),
        ],
    )


def test_earlier_sparse_parts_are_updated_but_not_masks_and_biases():
    method = made()
    learn(method, 0)
    method.end_task()
    (source, *_) = method._finished[0].sources
    parts = [source.tau, source.mask, source.bias, *source.knowledge_base]
    before = [v.numpy() for v in parts]
    learn(method, 1)
    moved = [
        not np.array_equal(v, b) for v, b in zip(parts, before, strict=True)
    ]
    assert moved == [True, False, False, True]


def test_sparse_parts_of_all_tasks_are_pruned_at_the_end_of_each():
    method = made(sparsity_weight=0.02)
    for index in range(2):
        learn(method, index)
        layers = method._trainer.network.selective_layers
        before = [s.tau.numpy() for f in method._finished for s in f.sources]
        before += [layer.shared.tau.numpy() for layer in layers]
        # What was pruned of an earlier task moves with the next one.
        assert all(np.any(np.abs(tau[tau != 0]) <= 0.02) for tau in before)
        method.end_task()
        sources = [s for f in method._finished for s in f.sources]
        for source, tau in zip(sources, before, strict=True):
            expected = np.where(np.abs(tau) > 0.02, tau, 0)
            np.testing.assert_array_equal(source.tau, expected)
            assert 0 < np.count_nonzero(source.tau) < tau.size


def test_the_sparse_part_starts_as_a_copy_of_the_shared_kernel():
    method = made()
    learn(method, 0)
    method.end_task()
    method.begin_task(tiny.task("second", seed=1))
    for layer in method._trainer.network.selective_layers:
        (sigma,) = layer.shared.knowledge_base
        np.testing.assert_array_equal(layer.shared.tau, sigma.numpy())


def test_what_a_cluster_shares_is_counted_once():
    method = made(
        sparsity_weight=0.0,
        clustering_every=3,
        num_clusters=1,
        clustering_gap=100.0,
    )
    num_own = []
    for index in range(3):
        learn(method, index)
        method.end_task()
        num_own.append(method.num_parameters)
    kernels = sum(np.prod(k.shape) for k in thetas(method, 0))
    others = 3 + 4 + 3  # biases
    dense = sum(np.prod(v.shape) for v in method._finished[0].others)
    per_task = others + others + dense  # masks are as many as biases
    assert num_own[0] == 2 * kernels + per_task
    assert num_own[1] == 3 * kernels + 2 * per_task
    # All of tau is alike: one copy of it for three tasks.
    assert num_own[2] == 2 * kernels + 3 * per_task
    for a, b in zip(thetas(method, 0), thetas(method, 2), strict=True):
        assert a.shape == b.shape
    assert not any(np.any(s.tau) for s in method._finished[1].sources)


def test_clustering_comes_when_it_is_due():
    method = made(clustering_every=2, clustering_gap=100.0, num_clusters=1)
    clustered = []
    for index in range(3):
        learn(method, index)
        method.end_task()
        clustered.append(
            [bool(np.any(s[0].local)) for s in method._sources_of_tasks()]
        )
    assert clustered == [[False], [True, True], [True, True, False]]


def test_each_interval_allows_for_as_many_clusters_more(monkeypatch):
    asked = []

    def consolidate(parts, num_clusters, gap, seed):
        asked.append((len(parts), num_clusters))
        return np.zeros_like(parts), parts

    monkeypatch.setattr(additive_decomposition, "consolidate", consolidate)
    method = made(clustering_every=2, num_clusters=3)
    for index in range(4):
        learn(method, index, num_epochs=0)
        method.end_task()
    assert asked == [(2, 3)] * 3 + [(4, 6)] * 3  # of three layers


@pytest.fixture(scope="module")
def stream():
    return digits(num_tasks=3, classes_per_task=3, seed=0)


def after_stream(stream, drift_weight):
    """How far the first task's filters drifted, and its accuracies."""
    method = AdditiveDecomposition(
        backbones.digits,
        optimizer=functools.partial(RMSprop, learning_rate=0.01),
        drift_weight=drift_weight,
    )
    accuracies, first = [], None
    for index, task in enumerate(stream):
        method.begin_task(task)
        for epoch in range(40):
            method.train_epoch(
                training_batches(task, 10, seed=index, epoch=epoch), epoch
            )
        method.end_task()
        first = thetas(method, 0) if first is None else first
        test = (
            stream[0]
            .test.batch(100)
            .map(lambda x, y: (stream[0].preprocess(x), y))
        )
        accuracies.append(evaluate(method.predictor(0), test).accuracy)
    drift = sum(
        np.sum((a - b) ** 2)
        for a, b in zip(thetas(method, 0), first, strict=True)
    )
    return drift, accuracies


def test_without_the_drift_term_more_is_forgotten(stream):
    held_drift, held = after_stream(stream, 100.0)
    free_drift, free = after_stream(stream, 0.0)
    assert held[0] == free[0] > 0.95  # Nothing to hold in the first task.
    assert held_drift < free_drift / 10
    assert held[-1] / held[0] > free[-1] / free[0] + 0.03


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sparsity_weight": -1}, "`sparsity_weight` must be a number not be"),
        ({"drift_weight": -1}, "`drift_weight` must be a number not below 0"),
        ({"clustering_every": 0}, "`clustering_every` must be"),
        ({"num_clusters": 0}, "`num_clusters` must be"),
        ({"clustering_gap": -1}, "`clustering_gap` must be a number not bel"),
    ],
)
def test_messages(arguments, message):
    with pytest.raises(InputError, match=message):
        made(**arguments)
