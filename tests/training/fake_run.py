"""A small stateful method, and a process that kills itself.

As a script: `fake_run.py WORKDIR POINT NUMBER` runs in WORKDIR and, when it
comes to POINT, sends itself the signal NUMBER. Exits 130 if interrupted.
"""

import os
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from lasem_tf.methods.lifelong_method import EpochResult, LifelongMethod
from lasem_tf.seeding import numpy_generator
from lasem_tf.tasks import Task, TaskStream
from lasem_tf.training import checkpoints
from lasem_tf.training.interruption import Interrupted
from lasem_tf.training.runner import Runner
from lasem_tf.training.workdir import Workdir
from lasem_tf.transfer import all_configurations

NUM_TASKS, NUM_EPOCHS = 3, 4
CONFIG = "run.num_epochs = 4\nrun.workdir = 'here'\n"


def make_stream(num_tasks=NUM_TASKS):
    return TaskStream("fake", tuple(map(_make_task, range(num_tasks))))


def _make_task(index):
    random = numpy_generator(7, "images", index)
    splits = {}
    for split, size in (("train", 14), ("validation", 9), ("test", 40)):
        labels = random.integers(0, 3, size).astype(np.int32)
        images = random.integers(0, 100, [size, 4, 4, 1])
        images[np.arange(size), 0, labels] += 155
        splits[split] = tf.data.Dataset.from_tensor_slices(
            (images.astype(np.uint8), labels)
        )
    return Task(
        name=f"fake_{index}",
        class_names=("a", "b", "c"),
        preprocess=keras.layers.Rescaling(1 / 255),
        **splits,
    )


class FakeMethod(LifelongMethod):
    """Shared filters, a head per task, momentum, noise, and roll-back.

    Whatever could get lost in a checkpoint is there: parameters added for
    each task, slots that only the current task has, a counter that makes each
    batch different, a value to roll back to.
    """

    name, learner = "fake", "linear"

    def __init__(self, seed=0):
        self._seed = seed
        random = numpy_generator(seed, "shared")
        shared = random.normal(0.0, 0.25, [16, 8]).astype(np.float32)
        self._shared = tf.Variable(shared)
        self._heads, self._selections = [], []
        self._current = None
        self.calls = []  # What the runner did, in its order.

    def begin_task(self, task):
        self.calls.append("begin_task")
        self._add_head(task)
        weights = [self._shared, self._heads[-1]]
        self._current = tf.Module()
        self._current.momenta = [tf.Variable(tf.zeros_like(w)) for w in weights]
        self._current.num_batches = tf.Variable(0)
        self._current.before = tf.Variable(self._shared)

    def train_epoch(self, batches, global_epoch):
        self.calls.append(f"train_epoch {global_epoch}")
        loss = self._train(batches)
        prior = np.array([0.1, 0.9], np.float32) / (global_epoch + 1)
        return EpochResult(
            loss=loss,
            learning_rate=0.1,
            configurations=all_configurations(1),
            prior=prior,
            posterior=prior[::-1],
        )

    def end_task(self):
        self.calls.append("end_task")
        selection = "ST"[len(self._selections) % 2]
        if selection == "T":
            self._shared.assign(self._current.before)
        self._selections.append(selection)
        self._current = None

    def selection(self, task_index):
        return self._selections[task_index]

    def rebuild_task(self, task, selection):
        self.calls.append(f"rebuild_task {selection}")
        self._add_head(task)
        self._selections.append(selection)

    @property
    def state(self):
        state = {"shared": self._shared}
        for index, head in enumerate(self._heads):
            state[f"head_{index}"] = head
        if self._current:
            state["current"] = self._current
        return state

    def task_model(self, task_index):
        return None  # Nothing in training/ asks for it.

    def predictor(self, task_index):
        weights = self._shared.numpy(), self._heads[task_index].numpy()
        return lambda images: _logits(images.numpy(), *weights)

    @property
    def num_parameters(self):
        return sum(int(tf.size(w)) for w in (self._shared, *self._heads))

    def _add_head(self, task):
        random = numpy_generator(self._seed, "head", len(self._heads))
        shape = [8, task.num_classes]
        head = random.normal(size=shape).astype(np.float32)
        self._heads.append(tf.Variable(head))

    def _train(self, batches):
        """Trains in NumPy: a function to compile would slow the tests down."""
        variables = [self._shared, self._heads[-1], *self._current.momenta]
        shared, head, *momenta = (v.numpy() for v in variables)
        num_batches = int(self._current.num_batches)
        for images, labels in batches.as_numpy_iterator():
            loss, gradients = _loss(images, labels, shared, head)
            num_batches += 1
            random = numpy_generator(self._seed, "noise", num_batches)
            weights = (shared, head)
            for w, m, g in zip(weights, momenta, gradients, strict=True):
                m[:] = 0.8 * m + g + 0.01 * random.normal(size=g.shape)
                w -= 0.1 * m
        for variable, value in zip(
            variables, (shared, head, *momenta), strict=True
        ):
            variable.assign(value)
        self._current.num_batches.assign(num_batches)
        return float(loss)


def _logits(images, shared, head):
    return images.reshape(len(images), -1) @ shared @ head


def _loss(images, labels, shared, head):
    """Returns the cross-entropy, and its gradients by `shared` and `head`."""
    flat = images.reshape(len(images), -1)
    features = flat @ shared
    exponentials = np.exp(features @ head)
    error = exponentials / exponentials.sum(axis=1, keepdims=True)
    loss = -np.log(error[np.arange(len(labels)), labels]).mean()
    error[np.arange(len(labels)), labels] -= 1
    error /= len(labels)
    return loss, (flat.T @ (error @ head.T), features.T @ error)


def make_runner(path, method=None, stream=None, **settings):
    """Returns a runner as a newly started process would make it."""
    workdir = Workdir(path).open(CONFIG, seed=3)
    defaults = {
        "num_epochs": NUM_EPOCHS,
        "batch_size": 4,
        "seed": 3,
        "checkpoint_every": 3,
    }
    return Runner(
        method or FakeMethod(),
        stream or make_stream(),
        workdir,
        **(defaults | settings),
    )


def results(path):
    """Returns the bytes of everything that a run measures."""
    names = ("metrics.csv", "configurations.csv")
    return {name: (pathlib.Path(path) / name).read_bytes() for name in names}


class _Signal:
    """An action that sends its own process a signal at a point of the run."""

    def __init__(self, point, number):
        self._point, self._number = point, number

    def on_epoch_end(self, run):
        self._send(f"epoch {run.global_epoch}")

    def on_task_end(self, run):
        self._send(f"task {run.task_index}")

    def _send(self, point):
        if point == self._point:
            os.kill(os.getpid(), self._number)


def _main(path, point, number):
    number = int(number)
    if point.startswith("before progress"):
        # Between the state and the file that makes it count.
        whole, num_epochs_done = checkpoints.write_json, point.split()[-1]

        def killed(path, content):
            if path.parent.name.endswith(num_epochs_done):
                os.kill(os.getpid(), number)
            whole(path, content)

        checkpoints.write_json = killed
    try:
        make_runner(path, actions=[_Signal(point, number)]).run()
    except Interrupted as interrupted:
        print(interrupted)
        sys.exit(130)


if __name__ == "__main__":
    _main(*sys.argv[1:])
