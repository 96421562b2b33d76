"""A made data set, stored as TensorFlow Datasets stores a real one."""

import types

import numpy as np
import tensorflow as tf

from lasem_tf.data.splits import content_digests


class FakeBuilder:
    """Stands for a `tfds.core.DatasetBuilder` of images of noise.

    Args:
        num_classes: How many classes.
        image_shape: Height, width and channels of every image.
        **per_class: By the name of a split, its images of each class.
    """

    def __init__(self, num_classes, image_shape, **per_class):
        generator = np.random.default_rng(0)
        self._examples = {}
        for split, count in per_class.items():
            labels = np.repeat(np.arange(num_classes), count)
            labels = generator.permutation(labels)
            shape = [len(labels), *image_shape]
            images = generator.integers(0, 256, shape, np.uint8)
            self._examples[split] = images, labels
        names = [f"thing_{label}" for label in range(num_classes)]
        self.name = "things"
        self.info = types.SimpleNamespace(
            features={
                "image": types.SimpleNamespace(shape=image_shape),
                "label": types.SimpleNamespace(names=names),
            },
            supervised_keys=("image", "label"),
            splits={},
        )

    def of_class(self, split, label):
        """Returns the images of one class."""
        images, labels = self._examples[split]
        return images[labels == label]

    def plant_copies(self, label):
        """Makes 2 training images copies of test images, 1 of another."""
        images, labels = self._examples["train"]
        members = np.flatnonzero(labels == label)
        images[members[:2]] = self.of_class("test", label)[:2]
        images[members[-1]] = images[members[5]]

    def write(self, folder):
        """Writes all splits, and returns the builder."""
        for split, (images, labels) in self._examples.items():
            path = str(folder / f"{split}.tfrecord")
            with tf.io.TFRecordWriter(path) as writer:
                for image, label in zip(images, labels, strict=True):
                    writer.write(_record(image, label))
            self.info.splits[split] = types.SimpleNamespace(filepaths=[path])
        return self


def stored(dataset):
    """Returns all images and labels of a split of a task."""
    (whole,) = dataset.batch(len(dataset)).as_numpy_iterator()
    return whole


def digests(dataset):
    """Returns the set of digests of a split's images."""
    return set(content_digests(stored(dataset)[0]).tolist())


def splits(task):
    """Returns the three splits of a task."""
    return task.train, task.validation, task.test


def assert_no_image_in_two_splits(stream):
    """Of each task, by content."""
    for task in stream:
        train, validation, test = map(digests, splits(task))
        assert not train & validation
        assert not train & test
        assert not validation & test


def _record(image, label):
    png = tf.train.BytesList(value=[tf.io.encode_png(image).numpy()])
    number = tf.train.Int64List(value=[label])
    feature = {
        "image": tf.train.Feature(bytes_list=png),
        "label": tf.train.Feature(int64_list=number),
    }
    features = tf.train.Features(feature=feature)
    return tf.train.Example(features=features).SerializeToString()
