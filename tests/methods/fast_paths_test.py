"""Every way of doing less work gives the run that does all of it."""

import functools
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

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


class Learned(NamedTuple):
    """A method that has learned the stream; of its last task: E-steps."""

    method: Lasem
    num_e_steps: float


@functools.cache
def learned(learner, prior, method_class=Lasem, decided=False, **path):
    """Three tasks of eight epochs, with roll-back and dropping between.

    If it is decided, one candidate holds the posterior throughout a task.
    """
    method = method_class(
        tiny.backbone,
        shapes.RULES[learner],
        optimizer=functools.partial(RMSprop, learning_rate=0.01),
        head=tiny.head,
        prior=prior,
        **path,
    )
    for number, task in enumerate(TASKS):
        method.begin_task(task)
        if decided:
            counts = 1e30 * tf.one_hot(2 * number + 1, 8)
            method._trainer.evidence.assign(counts)
        if path.get("pruning_floor"):
            method._trainer.m_step.max_one_by_one = 8  # It always counts.
        for epoch in range(8):
            batches = tiny.batches(task, batch_size=10)
            method.train_epoch(batches, 8 * number + epoch)
        num_e_steps = float(method._trainer.num_batches)
        method.end_task()
    return Learned(method, num_e_steps)


def assert_learned_alike(one, other, tolerance=2e-5):
    for index in range(len(TASKS)):
        assert one.method.selection(index) == other.method.selection(index)
        for a, b in zip(
            one.method.parameters(index).all_weights,
            other.method.parameters(index).all_weights,
            strict=True,
        ):
            np.testing.assert_allclose(a, b, atol=tolerance, rtol=1e-4)


LEARNED = [("hps", "counts"), ("dfcnn", "average"), ("tf", "historic")]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("learner", "prior"), LEARNED)
def test_a_stream_is_learned_alike(learner, prior, path):
    plain = learned(learner, prior, **PLAIN)
    assert_learned_alike(learned(learner, prior, **PATHS[path]), plain)


@pytest.mark.parametrize(("learner", "prior"), LEARNED)
def test_the_plain_way_is_that_of_one_network_each(learner, prior, script):
    module = script("one_network_per_configuration")
    slow = learned(
        learner,
        prior,
        module.OneNetworkPerConfiguration,
        jit_compile=False,
    )
    assert_learned_alike(learned(learner, prior, **PLAIN), slow)


@pytest.mark.parametrize("learner", shapes.RULES)
def test_a_decided_stream_is_learned_alike_with_few_e_steps(learner):
    """Where no E-step could tell anything new, leaving it out is exact."""
    exact, rare = (
        learned(learner, "counts", decided=True, **PLAIN, **more)
        for more in ({}, {"e_step_tolerance": 0.5})
    )
    assert exact.num_e_steps == 16
    assert rare.num_e_steps < 8
    assert_learned_alike(rare, exact)
