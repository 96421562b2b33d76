"""A stream on which each mechanism of DEN has a task that asks for it.

first      three patterns with a little noise
again      the same ones: nothing is missing
inverted   their negatives: what the units see must move, but is enough
hard       noise with labels by chance: more than the units can tell apart
"""

import dataclasses
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.methods import DynamicallyExpandable, RMSprop
from tests.methods import tiny

NUM_IMAGES, NUM_EPOCHS = 40, 24
SHAPE = (6, 6, 2)
# Phases begin with the epochs 0, 6, 12 and 18.
SETTINGS = {
    "phase_shares": (0.25, 0.25, 0.25, 0.25),
    "num_new_units": 2,
    "loss_threshold": 0.65,
    "drift_threshold": 0.3,
    "group_weight": 6.5,
    "l1_weight": 0.001,
    "l2_weight": 0.01,
    "optimizer": functools.partial(RMSprop, learning_rate=0.01),
}


def stream():
    patterns = np.random.default_rng(0).integers(40, 216, (3, *SHAPE))
    classes = np.arange(NUM_IMAGES) % 3

    def noisy(seed):
        noise = np.random.default_rng(seed).normal(0, 10, (NUM_IMAGES, *SHAPE))
        return np.clip(patterns[classes] + noise, 0, 255)

    rng = np.random.default_rng(3)
    by_chance = rng.integers(0, 256, (NUM_IMAGES, *SHAPE))
    for name, images, labels in (
        ("first", noisy(0), classes),
        ("again", noisy(1), classes),
        ("inverted", 255 - noisy(2), classes),
        ("hard", by_chance, rng.integers(0, 3, NUM_IMAGES)),
    ):
        examples = images.astype(np.uint8), labels.astype(np.int32)
        data = tf.data.Dataset.from_tensor_slices(examples)
        yield dataclasses.replace(tiny.task(name), train=data)


def places(masks):
    return [np.flatnonzero(mask.numpy()).tolist() for mask in masks]


def counts(phases):
    """Per phase and layer, how many places."""
    return [[len(of_layer) for of_layer in layers] for layers in phases]


def learn(**changes):
    """Returns units by task and phase: those that exist, and are trained.

    Units by layer, as the places that they have: earlier ones, new ones,
    copies.
    """
    method = DynamicallyExpandable(
        tiny.backbone,
        NUM_EPOCHS,
        head=tiny.head,
        seed=1,
        **SETTINGS | changes,
    )
    exist, trained = {}, {}
    for task in stream():
        method.begin_task(task)
        exist[task.name], trained[task.name] = [], []
        for epoch in range(NUM_EPOCHS):
            method.train_epoch(tiny.batches(task, 8), epoch)
            if epoch % 6 == 5:
                trainer = method._trainer
                exist[task.name].append(places(trainer.alive))
                trained[task.name].append(places(trainer.free_units))
        method.end_task()
    return method, exist, trained


@pytest.fixture(scope="module")
def story():
    return learn()


def test_a_task_that_misses_nothing_changes_no_size(story):
    _, exist, _ = story
    for name in ("first", "again"):
        assert counts(exist[name]) == [[3, 4, 3]] * 4


def test_a_task_that_units_must_move_for_splits_them(story):
    _, exist, _ = story
    before, retrained, expanded, split = counts(exist["inverted"])
    assert before == retrained == expanded == [3, 4, 3], "it is learned"
    assert all(now > then for now, then in zip(split, before, strict=True))


def test_a_task_that_units_do_not_suffice_for_adds_some(story):
    _, exist, trained = story
    before, retrained, expanded, split = counts(exist["hard"])
    assert before == retrained
    # Two in each layer, and these alone are trained.
    assert expanded == [width + 2 for width in before]
    for old, new in zip(before, trained["hard"][2], strict=True):
        assert new == [old, old + 1]


def test_units_that_are_of_no_use_are_taken_away_and_no_others(story):
    _, exist, trained = story
    new = trained["hard"][2]
    first, *others = exist["hard"][3]
    assert not set(new[0]) & set(first), "the group lasso made them zero"
    for added, left in zip(new[1:], others, strict=True):
        assert set(added) <= set(left)
    for before, left in zip(exist["hard"][0], exist["hard"][3], strict=True):
        assert set(before) <= set(left), "units of earlier tasks stay"


def test_earlier_tasks_see_what_there_was_when_they_ended(story):
    method, exist, _ = story
    for index, name in enumerate(exist):
        widths = counts(exist[name])[-1]
        assert method.selection(index) == "-".join(map(str, widths))
        shapes = [w.shape[-1] for w in method.task_model(index).weights[:6:2]]
        assert shapes == widths


@pytest.mark.parametrize(
    ("l1_weight", "left_out"), [(0.0, set()), (0.004, {"inverted", "hard"})]
)
def test_units_that_l1_leaves_without_use_are_not_retrained(
    l1_weight, left_out
):
    """With and without L1, a task that uses all units retrains them all."""
    _, exist, trained = learn(
        l1_weight=l1_weight,
        optimizer=functools.partial(keras.optimizers.SGD, 0.05),
    )
    for name in ("again", "inverted", "hard"):
        assert (trained[name][1] != exist[name][1]) == (name in left_out)
