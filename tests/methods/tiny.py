"""A tiny task and a tiny network, enough to see every equation at work."""

import keras
import numpy as np
import tensorflow as tf

from lasem_tf.tasks import Task

POOLS = (1, 2, 1)


def backbone(image_shape, dropout=0.0):
    """Three convolutions; weights large enough for gradients to be seen."""
    weights = {
        "kernel_initializer": keras.initializers.RandomNormal(stddev=0.4),
        "bias_initializer": keras.initializers.RandomUniform(0.0, 0.5),
        "activation": "relu",
    }
    images = keras.Input(image_shape)
    outputs = keras.layers.Conv2D(3, 3, padding="same", **weights)(images)
    outputs = keras.layers.Conv2D(4, 3, padding="same", **weights)(outputs)
    outputs = keras.layers.MaxPooling2D(2, padding="same")(outputs)
    outputs = keras.layers.Conv2D(3, 2, padding="same", **weights)(outputs)
    outputs = keras.layers.Flatten()(outputs)
    if dropout:
        outputs = keras.layers.Dropout(dropout)(outputs)
    outputs = keras.layers.Dense(5, **weights)(outputs)
    return keras.Model(images, outputs)


def head(num_classes):
    return keras.layers.Dense(
        num_classes,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.4),
    )


def examples(seed, num_images=12, num_classes=3, shape=(6, 6, 2)):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (num_images, *shape), np.uint8)
    labels = rng.integers(0, num_classes, num_images).astype(np.int32)
    return images, labels


def task(name="tiny", seed=0, num_classes=3, **kwargs):
    data = tf.data.Dataset.from_tensor_slices(
        examples(seed, num_classes=num_classes, **kwargs)
    )
    return Task(
        name=name,
        class_names=tuple(f"class_{k}" for k in range(num_classes)),
        train=data,
        validation=data,
        test=data,
        preprocess=keras.layers.Rescaling(1 / 64, offset=-2.0),
    )


def batches(of_task, batch_size=4):
    return of_task.train.batch(batch_size, drop_remainder=True).map(
        lambda images, labels: (of_task.preprocess(images), labels)
    )
