import tensorflow as tf

from lasem_tf.data.pipeline import evaluation_batches
from lasem_tf.layers import HardParameterSharing
from lasem_tf.methods import lasem
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
    asked = []

    def asking(dataset):
        asked.append(dataset)
        return untuned(dataset)

    monkeypatch.setattr(lasem, "untuned", asking)
    method = lasem.Lasem(tiny.backbone, HardParameterSharing(), head=tiny.head)
    method.begin_task(task)
    batches = tiny.batches(task)
    method.train_epoch(batches, 0)
    assert asked == [batches]
