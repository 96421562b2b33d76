import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.tasks import Task, TaskStream, content_digest


def task(name, num_classes=3, num_train=7, shape=(4, 5, 2)):
    data = tf.data.Dataset.from_tensor_slices(
        (np.zeros((num_train, *shape), np.uint8), np.zeros(num_train, np.int32))
    )
    return Task(
        name=name,
        class_names=tuple("abcdef"[:num_classes]),
        train=data,
        validation=data.take(1),
        test=data.take(2),
        preprocess=keras.layers.Rescaling(1.0),
    )


def stream(*names):
    return TaskStream("letters", tuple(task(name) for name in names), seed=5)


def test_a_task_knows_its_sizes():
    of = task("a", num_classes=4, num_train=9, shape=(6, 5, 1))
    assert (of.num_classes, of.num_train, of.image_shape) == (4, 9, (6, 5, 1))
    assert all(isinstance(size, int) for size in of.image_shape)


def test_a_stream_is_a_sequence_of_its_tasks():
    of = stream("a", "b", "c")
    assert len(of) == 3
    assert [t.name for t in of] == ["a", "b", "c"]
    assert of[1].name == "b"
    assert of[-1].name == "c"
    assert of.index(of[2]) == 2


def test_first_cuts_and_keeps_the_rest_of_the_description():
    of = stream("a", "b", "c")
    cut = of.first(2)
    assert cut.tasks == of.tasks[:2]
    assert (cut.name, cut.seed) == ("letters", 5)
    assert of.first(None) is of
    assert of.first(3).tasks == of.tasks


@pytest.mark.parametrize("num_tasks", [0, -1, 4, 1.5, "2"])
def test_first_refuses(num_tasks):
    with pytest.raises(InputError) as caught:
        stream("a", "b", "c").first(num_tasks)
    assert str(caught.value) == (
        "`num_tasks` must lie between 1 and 3, the number of tasks of "
        f"'letters'. Received: num_tasks={num_tasks!r}. "
        "Leave it out to learn every task."
    )


def test_refuses_a_stream_without_tasks():
    with pytest.raises(InputError, match="at least one task. Received: 0"):
        TaskStream("empty", ())


def test_refuses_two_tasks_of_one_name():
    with pytest.raises(
        InputError, match=r"different names. Received: names=\['a', 'b', 'a'\]"
    ):
        stream("a", "b", "a")


def test_tasks_and_streams_do_not_change():
    of = stream("a")
    with pytest.raises(dataclasses.FrozenInstanceError):
        of.seed = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        of[0].name = "b"


def test_digest_tells_streams_apart_by_what_they_hold():
    same = {content_digest(stream("a", "b")) for _ in range(2)}
    assert len(same) == 1
    others = [
        stream("a", "c"),
        stream("a"),
        TaskStream("letters", (task("a"), task("b", num_train=8)), seed=5),
        TaskStream("letters", (task("a"), task("b", num_classes=4)), seed=5),
    ]
    digests = {content_digest(other) for other in others}
    assert len(digests) == 4
    assert not digests & same


def test_digest_sees_one_pixel():
    one = task("a")
    images = np.zeros((7, 4, 5, 2), np.uint8)
    images[3, 1, 2, 0] = 1
    changed = dataclasses.replace(
        one,
        train=tf.data.Dataset.from_tensor_slices(
            (images, np.zeros(7, np.int32))
        ),
    )
    assert content_digest(TaskStream("s", (one,))) != content_digest(
        TaskStream("s", (changed,))
    )


@pytest.mark.parametrize("changed", [{"scale": 0.5}, {"offset": 1.0}])
def test_digest_sees_what_preprocessing_does(changed):
    def digest(**rescaling):
        layer = keras.layers.Rescaling(**({"scale": 1.0} | rescaling))
        of = dataclasses.replace(task("a"), preprocess=layer)
        return content_digest(TaskStream("s", (of,)))

    assert digest() == digest() != digest(**changed)
