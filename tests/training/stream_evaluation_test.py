import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.training.stream_evaluation import StreamEvaluation


class _Constant:
    """A method that answers every image of a task with the same class."""

    def __init__(self, answers):
        self._answers = answers

    def predictor(self, task_index):
        logits = 9.0 * tf.one_hot([self._answers[task_index]], 3)
        return lambda images: tf.repeat(logits, len(images), axis=0)


@pytest.mark.parametrize("batch_size", [4, 100])
def test_each_split_is_measured_with_its_own_images(fake_run, batch_size):
    stream = fake_run.make_stream()
    evaluation = StreamEvaluation(stream, batch_size)

    for task_index, answer in enumerate((2, 0, 1)):
        found = dict(evaluation.evaluate(_Constant([2, 0, 1]), task_index))

        assert list(found) == ["validation", "test"]
        for split, measured in found.items():
            labels = [int(y) for _, y in getattr(stream[task_index], split)]
            assert measured.num_examples == len(labels)
            assert measured.num_correct == labels.count(answer)


def test_images_are_preprocessed(fake_run):
    stream, seen = fake_run.make_stream(), []

    class Look:
        def predictor(self, task_index):
            def predict(images):
                seen.append(images.numpy())
                return tf.zeros([len(images), 3])

            return predict

    list(StreamEvaluation(stream, 100).evaluate(Look(), 1))

    test = np.stack([image for image, _ in stream[1].test.as_numpy_iterator()])
    np.testing.assert_allclose(seen[1], test / 255, rtol=1e-6)


def test_images_are_read_once(fake_run):
    read, [task] = [], fake_run.make_stream(1)

    def note(label):
        read.append(int(label))
        return label

    def count(image, label):
        counted = tf.py_function(note, [label], label.dtype)
        return image, tf.ensure_shape(counted, [])

    task = dataclasses.replace(task, test=task.test.map(count))
    evaluation = StreamEvaluation([task], 7)

    first, again = (dict(evaluation.evaluate(_Constant([1]), 0)) for _ in "ab")

    assert len(read) == 40
    assert again["test"] == first["test"]
