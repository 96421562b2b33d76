import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.data import synthetic
from lasem_tf.data.task_checks import check_stream
from lasem_tf.tasks import TaskStream

STREAM = synthetic(num_tasks=2, num_train=20, num_test=20)


def changed(**changes):
    """The stream, its second task changed."""
    task = dataclasses.replace(STREAM[1], **changes)
    return TaskStream("changed", (STREAM[0], task))


def examples(images, labels, **kwargs):
    return tf.data.Dataset.from_tensor_slices((images, labels), **kwargs)


def noise(num_images=6, shape=None, dtype=np.uint8):
    return np.zeros([num_images, *(shape or STREAM[1].image_shape)], dtype)


LABELS = np.zeros(6, np.int32)


def test_streams_of_ours_are_what_they_should_be():
    check_stream(STREAM)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (examples(noise(dtype=np.float32), LABELS), "uint8 .*float32"),
        (examples(noise(), LABELS.astype(np.int64)), "int32 .*tf.int64"),
        (examples(noise(), LABELS).batch(2), "single pairs"),
        (examples(noise(), LABELS + 99), "Received: label 99"),
        (examples(noise(), LABELS - 1), "Received: label -1"),
        (examples(noise(), LABELS).take(0), "cardinality 0"),
        (examples(noise(), LABELS).filter(lambda *_: True), "cardinality -2"),
        (examples(noise(), LABELS).repeat(), "cardinality -1"),
    ],
)
def test_refuses_examples_of_another_kind(split, data, message):
    with pytest.raises(InputError, match=f"{split} .*{message}"):
        check_stream(changed(**{split: data}))


def test_refuses_images_of_two_shapes_in_one_task():
    with pytest.raises(
        InputError, match="test examples of task .* as to train"
    ):
        check_stream(changed(test=examples(noise(shape=(4, 4, 1)), LABELS)))


def test_refuses_other_channels_in_a_later_task():
    other = examples(noise(shape=(15, 15, 7)), LABELS)
    with pytest.raises(InputError, match="Received: 7 channels in"):
        check_stream(changed(train=other, validation=other, test=other))


@pytest.mark.parametrize("split", ["validation", "test"])
def test_refuses_an_image_in_two_splits(split):
    """Of another class even, and written as another data set."""
    image, label = next(iter(STREAM[1].train.skip(7)))
    copy = examples(image[None], (label[None] + 1) % STREAM[1].num_classes)
    own = getattr(STREAM[1], split)
    with pytest.raises(
        InputError, match=f"no image in two.*1 images both in train and {split}"
    ):
        check_stream(changed(**{split: own.concatenate(copy)}))


def test_refuses_a_class_name_of_two_lines():
    names = (*STREAM[1].class_names[:-1], "a\nb")
    with pytest.raises(
        InputError, match=r"fit on one line\. Received: 'a\\nb'"
    ):
        check_stream(changed(class_names=names))
