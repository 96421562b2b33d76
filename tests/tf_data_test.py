import numpy as np
import tensorflow as tf
from tensorflow.core.framework import dataset_options_pb2

from lasem_tf.data import pipeline
from lasem_tf.data.pipeline import evaluation_batches
from lasem_tf.tf_data import untuned
from tests.methods import tiny


def is_untuned(dataset):
    return dataset.options().autotune.enabled is False


def test_elements_stay_as_they_are():
    numbers = tf.data.Dataset.range(10).map(lambda x: x + 1).prefetch(2)
    assert not is_untuned(numbers)
    assert is_untuned(untuned(numbers))
    assert list(untuned(numbers)) == list(numbers)
    assert untuned(numbers).cardinality() == 10


def test_evaluation_and_training_tune_nothing(monkeypatch):
    task = tiny.task()
    assert is_untuned(evaluation_batches(task.test, task.preprocess))
    for limit in (0, 2**30):  # Batch by batch, and all at once.
        monkeypatch.setattr(pipeline, "_AT_ONCE_BYTES", limit)
        epoch_of = pipeline._make_epoch_function(
            task.train, task.preprocess, None
        )
        graph = epoch_of.get_concrete_function(
            np.zeros([2, 3], np.int64), np.zeros(2, np.int32)
        ).graph
        (told,) = [
            op.get_attr("serialized_options")
            for op in graph.get_operations()
            if op.type == "OptionsDataset"
        ]
        options = dataset_options_pb2.Options.FromString(told)
        assert options.autotune_options.enabled is False
