"""Every way of doing less work gives the run that does all of it."""

import functools

import numpy as np
import pytest

from lasem_tf.methods import Lasem, RMSprop
from tests.layers import shapes
from tests.methods import tiny

TASKS = [
    tiny.task("first", seed=1, num_images=20),
    tiny.task("second", seed=2, num_images=20, num_classes=4),
    tiny.task("third", seed=3, num_images=20),
]
PLAIN = {"pruning_floor": None, "jit_compile": False}
PATHS = {
    "pruned": {"pruning_floor": 1e-8, "jit_compile": False},
    "xla": {"jit_compile": True},
    "rare E-steps without tolerance": {
        "e_step_tolerance": 0.0,
        "jit_compile": False,
    },
}


@functools.cache
def learned(learner, prior, **path):
    """Three tasks of eight epochs, with roll-back and dropping between."""
    method = Lasem(
        tiny.backbone,
        shapes.RULES[learner],
        optimizer=functools.partial(RMSprop, learning_rate=0.01),
        head=tiny.head,
        prior=prior,
        **path,
    )
    for number, task in enumerate(TASKS):
        method.begin_task(task)
        if path.get("pruning_floor"):
            method._trainer.m_step.max_one_by_one = 8  # It always counts.
        for epoch in range(8):
            batches = tiny.batches(task, batch_size=10)
            method.train_epoch(batches, 8 * number + epoch)
        method.end_task()
    return method


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("learner", "prior"),
    [("hps", "counts"), ("dfcnn", "average"), ("tf", "historic")],
)
def test_a_stream_is_learned_alike(learner, prior, path):
    plain = learned(learner, prior, **PLAIN)
    fast = learned(learner, prior, **PATHS[path])
    selected = [plain.selection(i) for i in range(len(TASKS))]
    assert [fast.selection(i) for i in range(len(TASKS))] == selected
    for index in range(len(TASKS)):
        for a, b in zip(
            fast.parameters(index).all_weights,
            plain.parameters(index).all_weights,
            strict=True,
        ):
            np.testing.assert_allclose(a, b, atol=2e-5, rtol=1e-4)
