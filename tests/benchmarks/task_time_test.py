"""Whole tasks, on made images in place of CIFAR-100."""

import argparse

import pytest

from lasem_tf import data
from lasem_tf.training.stream_evaluation import StreamEvaluation
from tests.methods import tiny


@pytest.fixture
def found(script, monkeypatch):
    task_time = script("task_time")
    monkeypatch.setattr(task_time.backbones, "cifar", tiny.backbone)
    arguments = argparse.Namespace(num_epochs=2, seed=0, learner="hps")
    stream = data.from_arrays([tiny.examples(seed=0, num_images=40)], seed=0)
    made = {
        name: task_time._made(name, arguments)
        for name in ("static", "rare E-steps")
    }
    evaluation = StreamEvaluation(stream, batch_size=10)
    return task_time, task_time._learn(made, stream, 0, evaluation, arguments)


def test_every_variant_learns_every_epoch(found):
    _, (static, rare) = found
    assert (static["selected"], len(rare["selected"])) == ("SSS", 3)
    for result in (static, rare):
        assert len(result["epoch_seconds"]) == 2
        assert result["first_epoch_seconds"] == result["epoch_seconds"][0]
        assert min(result["epoch_seconds"]) > 0


def test_the_table_compares_with_static(found):
    task_time, results = found
    results[0]["task_seconds"], results[1]["task_seconds"] = 10.0, 12.5
    _, _, static, rare = task_time._table(results).splitlines()
    assert " 1.00 |" in static
    assert " 1.25 |" in rare
