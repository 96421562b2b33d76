import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.data.in_memory import in_memory_task, tensors_of
from lasem_tf.data.pipeline import evaluation_batches, training_batches
from lasem_tf.data.preprocessing import unit_scaling


def examples(num_images, size=64):
    images = np.zeros((num_images, size, size, 3), np.uint8)
    images += np.arange(num_images, dtype=np.uint8)[:, None, None, None]
    return images, np.arange(num_images) % 2


def task_of(num_train, num_test):
    return in_memory_task(
        "task",
        ("a", "b"),
        train=examples(num_train),
        validation=examples(2),
        test=examples(num_test),
        preprocess=unit_scaling(),
    )


def test_a_split_tells_its_tensors_in_its_order():
    images, labels = tensors_of(task_of(5, 2).train)
    np.testing.assert_array_equal(images, examples(5)[0])
    np.testing.assert_array_equal(labels, [0, 1, 0, 1, 0])
    assert labels.dtype == tf.int32


def test_another_data_set_is_read_once():
    reads = []

    def count(number):
        return tf.py_function(
            lambda n: (reads.append(int(n)), n)[1], [number], tf.int64
        )

    dataset = tf.data.Dataset.range(4).map(count)
    dataset = dataset.map(lambda n: (tf.fill([2, 2, 1], n), n))
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(4))
    for _ in range(2):
        images, labels = tensors_of(dataset)
        assert images.shape == (4, 2, 2, 1)
        np.testing.assert_array_equal(labels, range(4))
    assert len(reads) == 4


def resident_mebibytes():
    status = pathlib.Path("/proc/self/status").read_text()
    (row,) = (r for r in status.splitlines() if r.startswith("VmRSS"))
    return int(row.split()[1]) / 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_task_holds_its_images_once():
    # In a process of its own, whose memory nobody has used before.
    code = """if True:
        from tests.data.in_memory_test import resident_mebibytes, task_of

        task_of(num_train=10, num_test=10)
        before = resident_mebibytes()
        task = task_of(num_train=8000, num_test=8000)  # 94 MiB each.
        print(resident_mebibytes() - before)
    """
    told = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=pathlib.Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert 180 < float(told.stdout) < 280


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_images_are_in_memory_once_whoever_looks_at_them():
    task = task_of(num_train=8000, num_test=8000)  # 94 MiB each.
    before = resident_mebibytes()
    kept = [
        evaluation_batches(task.test, task.preprocess, batch_size=20),
        training_batches(task, 20, seed=0, epoch=0),
    ]
    for _ in range(2):
        for batches in kept:
            for images, _labels in batches:
                assert images.shape[0] == 20
    assert resident_mebibytes() - before < 60
