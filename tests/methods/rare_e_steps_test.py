import functools

import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.layers import HardParameterSharing
from lasem_tf.methods import Lasem, RMSprop, em
from lasem_tf.methods.rare_e_steps import RareESteps
from tests.layers import shapes
from tests.methods import tiny


def gap_after(rare, posterior, evidence):
    """How many mini-batches go without, and which candidate they train."""
    rare.observe(tf.constant(posterior), tf.constant(evidence))
    trained = []
    while not rare.is_due:
        trained.append(int(rare.go_without()))
    return trained


def gaps_after(posteriors, tolerance=0.1):
    """The length of the gap after each, counted as `Lasem` counts."""
    rare = RareESteps(tolerance)
    evidence = np.zeros(len(posteriors[0]), np.float32)
    gaps = []
    for posterior in posteriors:
        evidence[np.argmax(posterior)] += 1
        gaps.append(len(gap_after(rare, posterior, evidence)))
    return gaps


SETTLED = [0.05, 0.92, 0.03]
UNDECIDED = [0.11, 0.89, 0.0]
OTHER = [0.92, 0.05, 0.03]


def test_gaps_double_up_to_a_limit_while_e_steps_agree():
    expected = [0, 1, 3, 7, 15, 31, 63, 127, 255, 255, 255]
    assert gaps_after([SETTLED] * 11) == expected


def test_a_move_is_noticed_after_no_longer_than_the_posterior_rested():
    gaps = gaps_after([SETTLED] * 20)
    for seen, gap in enumerate(gaps, 1):
        assert gap < seen + sum(gaps[: seen - 1]) or gap == 0


@pytest.mark.parametrize("surprise", [UNDECIDED, OTHER])
def test_anything_else_ends_the_gaps_which_grow_from_nothing_again(surprise):
    posteriors = [SETTLED] * 4 + [surprise] + [SETTLED] * 3
    assert gaps_after(posteriors) == [0, 1, 3, 7, 0, 0, 1, 3]


def test_no_gap_for_a_candidate_that_is_not_ahead():
    rare = RareESteps(0.1)
    for _ in range(4):
        assert gap_after(rare, OTHER, [3.0, 3.0, 0.0]) == []
    assert gap_after(rare, OTHER, [4.0, 3.0, 0.0]) == []
    assert gap_after(rare, OTHER, [5.0, 3.0, 0.0]) == [0]


def test_a_gap_trains_the_most_probable_candidate():
    rare = RareESteps(0.1)
    gap_after(rare, SETTLED, [0.0, 1.0, 0.0])
    gap_after(rare, SETTLED, [0.0, 2.0, 0.0])
    assert gap_after(rare, SETTLED, [0.0, 3.0, 0.0]) == [1] * 3


@pytest.mark.parametrize("share", [0.6, 0.75])
def test_the_candidate_that_most_mini_batches_speak_for_wins(share):
    """Whichever leads at first: mini-batches that go without count for none."""
    for seed in range(4):
        generator = np.random.default_rng(seed)
        evidence, num_seen = np.zeros(3, np.float32), 0
        rare = RareESteps(0.1)
        batches = iter(generator.random(1000) < share)
        for speaks_for_most in batches:
            posterior = np.eye(3, dtype=np.float32)[int(speaks_for_most)]
            evidence += posterior
            num_seen += 1
            for _ in gap_after(rare, posterior, evidence):
                next(batches, None)
        assert np.argmax(evidence) == 1
        assert num_seen < 400


def test_a_candidate_that_becomes_better_overtakes_within_its_rivals_lead():
    """Until it is ahead every mini-batch has an E-step."""
    posteriors = [SETTLED] * 12 + [OTHER] * 15
    gaps = gaps_after(posteriors)
    assert gaps[12:24] == [0] * 12
    assert gaps[24:] == [0, 1, 3]


def test_one_candidate_needs_e_steps_rarely():
    assert gaps_after([[1.0]] * 10)[-1] == 255


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


def test_gaps_leave_a_decided_run_as_it_was():
    """Nothing but E-steps that would have told nothing is left out."""
    num_batches = 64
    runs = []
    for tolerance in (None, 0.5):
        method = lasem(num_epochs=0, e_step_tolerance=tolerance)
        method._trainer.evidence.assign(1e30 * tf.one_hot(5, 8))
        images = tiny.task(num_images=4 * num_batches)
        loss = method.train_epoch(tiny.batches(images), 0).loss
        runs.append((method, loss))
    (exact, expected_loss), (rare, loss) = runs
    assert float(exact._trainer.num_batches) == num_batches
    assert float(rare._trainer.num_batches) == 7  # Gaps of 0, 1, 3 ... 31.
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    for a, b in zip(
        rare._trainer.network.weights,
        exact._trainer.network.weights,
        strict=True,
    ):
        np.testing.assert_allclose(a, b, atol=1e-5)


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


def test_a_candidate_must_be_ahead_of_what_earlier_tasks_found(monkeypatch):
    """Else gaps would keep it from catching up with the prior's favourite."""
    monkeypatch.setattr(em, "e_step", lambda *_: tf.one_hot(7, 8))
    method = lasem(prior="historic", e_step_tolerance=0.5, num_epochs=0)
    method._trainer.earlier_evidence[0].assign(10.0)
    batches = [*tiny.batches(tiny.task(num_images=80))]
    assert len(batches) == 20
    # Eleven E-steps until it leads, and one that finds it leading.
    due = counted_e_steps(method, batches)
    assert due[:12] == [True] * 12
    assert not all(due)
    method.end_task()
    assert method.selection(0) == "TTT"


def test_e_steps_come_back_when_the_posterior_moves():
    method = lasem(e_step_tolerance=0.5, num_epochs=30)
    selected = method._selected_configuration()
    batches = [*tiny.batches(tiny.task(num_images=40), batch_size=20)] * 40
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
    assert first <= 68, "no longer than it had rested"
    assert len(due) > 72
    assert all(due[first + 1 : first + 4])


def test_a_task_begins_with_an_e_step():
    method = lasem(e_step_tolerance=0.9)
    for _ in range(2):
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
