import functools

import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.layers import HardParameterSharing
from lasem_tf.methods import Lasem, RMSprop
from lasem_tf.methods.rare_e_steps import RareESteps
from tests.layers import shapes
from tests.methods import tiny


def gap_after(posterior, evidence, tolerance=0.1):
    """How many mini-batches go without, and which candidate they train."""
    rare = RareESteps(tolerance)
    rare.observe(tf.constant(posterior), tf.constant(evidence))
    trained = []
    while not rare.is_due:
        trained.append(int(rare.go_without()))
    return trained


@pytest.mark.parametrize(
    ("evidence", "gap"),
    [
        ([0.0, 1.0, 0.0], 0),
        ([0.0, 2.0, 0.0], 1),
        ([3.0, 12.0, 1.0], 4),  # 3 + 4 < 12.
        ([12.0, 3.0, 1.0], 0),  # It is behind: its lead is yet to come.
        ([0.0, 1e6, 0.0], 256),
        ([0.0, 1e30, 0.0], 256),
    ],
)
def test_what_goes_unseen_cannot_overturn_the_lead(evidence, gap):
    assert gap_after([0.05, 0.92, 0.03], evidence) == [1] * gap
    assert max(evidence[0], evidence[2]) + gap <= evidence[1] or gap == 0


@pytest.mark.parametrize("share", [0.6, 0.75])
def test_the_candidate_that_most_mini_batches_speak_for_wins(share):
    """Whichever leads at first: mini-batches that go without count for none."""
    for seed in range(4):
        generator = np.random.default_rng(seed)
        evidence, num_seen = np.zeros(3, np.float32), 0
        batches = iter(generator.random(1000) < share)
        for speaks_for_most in batches:
            posterior = np.eye(3, dtype=np.float32)[int(speaks_for_most)]
            evidence += posterior
            num_seen += 1
            for _ in gap_after(posterior, evidence):
                next(batches, None)
        assert np.argmax(evidence) == 1
        assert num_seen < 400


def test_an_undecided_posterior_needs_an_e_step_each_time():
    assert gap_after([0.11, 0.89, 0.0], [0.0, 100.0, 0.0]) == []


def test_one_candidate_needs_e_steps_rarely():
    assert len(gap_after([1.0], [5.0])) == 256


def lasem(rule="hps", num_epochs=12, **kwargs):
    method = Lasem(
        tiny.backbone,
        shapes.RULES[rule],
        optimizer=functools.partial(RMSprop, learning_rate=0.005),
        head=tiny.head,
        **kwargs,
    )
    task = tiny.task(num_images=40)
    method.begin_task(task)
    for epoch in range(num_epochs):
        method.train_epoch(tiny.batches(task, batch_size=20), epoch)
    return method


def counted_e_steps(method, batches):
    """Runs an epoch step by step."""
    rare = method._trainer.rare_e_steps
    found = []
    for epoch, batch in enumerate(batches):
        found.append(bool(rare.is_due))
        method.train_epoch(tf.data.Dataset.from_tensors(batch), epoch)
    return found


@pytest.mark.parametrize("rule", shapes.RULES)
def test_an_m_step_alone_is_that_of_a_posterior_of_one(rule):
    method = lasem(rule, num_epochs=0)
    images, labels = next(iter(tiny.batches(tiny.task())))
    m_step = method._trainer.m_step
    loss, gradients = m_step.gradients_of_one(images, labels, tf.constant(5))
    expected_loss, expected = m_step.gradients(
        images, labels, tf.one_hot(5, 8), m_step.forward(images)[1]
    )
    assert float(loss) == pytest.approx(float(expected_loss), rel=1e-5)
    assert max(np.abs(g).max() for g in expected) > 1e-2
    for a, b in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-4)


def test_with_no_tolerance_to_speak_of_the_run_is_the_exact_one():
    """Posteriors of a tiny task never get as sharp as that."""
    rare, exact = lasem(e_step_tolerance=0.0), lasem()
    for a, b in zip(
        rare._trainer.network.weights,
        exact._trainer.network.weights,
        strict=True,
    ):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_e_steps_become_rare_and_select_what_all_of_them_select():
    rare, exact = lasem(e_step_tolerance=0.5), lasem()
    batches = [*tiny.batches(tiny.task(num_images=40), batch_size=4)] * 2
    before = rare._trainer.num_batches.numpy()
    num_e_steps = sum(counted_e_steps(rare, batches))
    assert num_e_steps <= 4
    counts = rare._trainer.evidence.numpy()
    assert counts.sum() == rare._trainer.num_batches.numpy()
    assert counts.sum() == before + num_e_steps
    rare.end_task()
    exact.end_task()
    assert rare.selection(0) == exact.selection(0)


def test_e_steps_come_back_when_the_posterior_moves():
    method = lasem(e_step_tolerance=0.5, num_epochs=30)
    selected = method._selected_configuration()
    batches = [*tiny.batches(tiny.task(num_images=40), batch_size=20)] * 32
    assert sum(counted_e_steps(method, batches[:8])) <= 2
    # What this candidate does not use stays as it was, and is better now.
    for layer, shared in zip(
        method._trainer.network.selective_layers, selected.shared, strict=True
    ):
        source = layer.shared if shared else layer.task
        for variable in source.weights:
            variable.assign(10 * tf.random.normal(variable.shape, seed=1))
    due = counted_e_steps(method, batches)
    first = due.index(True)
    assert first <= 30, "the gap is half the lead at most"
    assert all(due[first + 1 : first + 4])


def test_a_task_begins_with_an_e_step():
    method = lasem(e_step_tolerance=0.9)
    method._trainer.rare_e_steps.observe(
        tf.one_hot(2, 8), 50 * tf.one_hot(2, 8)
    )
    assert not method._trainer.rare_e_steps.is_due
    method.end_task()
    method.begin_task(tiny.task(num_images=40))
    assert method._trainer.rare_e_steps.is_due


def test_refuses_a_tolerance_that_is_no_fraction():
    with pytest.raises(InputError, match="`e_step_tolerance` must lie between"):
        Lasem(tiny.backbone, HardParameterSharing(), e_step_tolerance=1.5)
