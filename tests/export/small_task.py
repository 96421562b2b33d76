"""A task and a network small enough to export in a moment."""

import keras
import numpy as np
import tensorflow as tf

from lasem_tf.tasks import Task, TaskStream

IMAGE_SHAPE = (6, 5, 3)
CLASS_NAMES = ("Rosenkäfer", "stag beetle", "ladybird")


def make_task(name="beetles", class_names=CLASS_NAMES, seed=0, num_images=23):
    generator = np.random.default_rng(seed)
    shape = (num_images, *IMAGE_SHAPE)
    images = generator.integers(0, 256, shape, dtype=np.uint8)
    labels = generator.integers(0, len(class_names), num_images, np.int32)
    examples = tf.data.Dataset.from_tensor_slices((images, labels))
    return Task(
        name=name,
        class_names=tuple(class_names),
        train=examples,
        validation=examples,
        test=examples,
        preprocess=keras.layers.Normalization(
            mean=[100.0, 120.0, 140.0], variance=[900.0, 1600.0, 2500.0]
        ),
    )


def make_stream(num_tasks=2):
    tasks = [make_task(f"beetles_{t}", seed=t) for t in range(num_tasks)]
    return TaskStream("beetles", tuple(tasks))


def make_model(seed=0, num_classes=3):
    keras.utils.set_random_seed(seed)
    images = keras.Input(IMAGE_SHAPE)
    features = keras.layers.Conv2D(4, 3, activation="relu")(images)
    features = keras.layers.Flatten()(features)
    features = keras.layers.Dropout(0.5)(features)
    return keras.Model(images, keras.layers.Dense(num_classes)(features))


def images_of(examples):
    return np.stack([image for image, _ in examples.as_numpy_iterator()])
