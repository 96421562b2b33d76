"""LASEM finds in made images what was planted there."""

import pytest

import lasem_tf
from lasem_tf import data
from lasem_tf.data.pipeline import training_batches
from lasem_tf.networks import backbones

NUM_TASKS = 3
NUM_EPOCHS = 8


@pytest.mark.parametrize("planted", ["TS", "ST", "SS", "TT"])
def test_the_planted_configuration_is_selected(planted):
    """With the values of gin/planted.gin, on fewer tasks."""
    method = lasem_tf.Lasem(
        backbones.by_channel,
        lasem_tf.HardParameterSharing(),
        optimizer=lambda: lasem_tf.methods.RMSprop(learning_rate=1e-2),
        head=backbones.zero_head,
    )
    stream = data.synthetic(planted=planted, num_tasks=NUM_TASKS)
    for index, task in enumerate(stream):
        method.begin_task(task)
        for epoch in range(NUM_EPOCHS):
            batches = training_batches(task, 50, index, epoch)
            method.train_epoch(batches, index * NUM_EPOCHS + epoch)
        method.end_task()
    # The first task has nothing to share yet.
    selected = [method.selection(index) for index in range(1, NUM_TASKS)]
    assert selected == [planted] * (NUM_TASKS - 1)
