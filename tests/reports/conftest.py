"""A run without learning: reports see its numbers, which are made up."""

import dataclasses
import functools
import pathlib
import types

import keras
import numpy as np
import pytest

from lasem_tf.evaluation.history import AccuracyHistory
from lasem_tf.methods.lifelong_method import EpochResult, LifelongMethod
from lasem_tf.tasks import TaskStream
from lasem_tf.transfer import all_configurations


@dataclasses.dataclass
class ScriptedRun:
    """Has the names of `RunView`; goes through its epochs with `play`.

    Attributes:
        accuracies: float [num_global_epochs, num_tasks]. What is found when a
            task is evaluated; a validation accuracy is that much and 0.05.
    """

    workdir: pathlib.Path
    accuracies: np.ndarray
    selections: tuple = ("SS", "TS", "TT")
    seed: int = 7
    history: AccuracyHistory = dataclasses.field(
        default_factory=AccuracyHistory
    )
    result: EpochResult | None = None
    task_index: int = 0
    epoch: int = -1
    global_epoch: int = -1
    train_seconds: float = 60.4
    total_seconds: float = 90.0

    def __post_init__(self):
        num_global_epochs, num_tasks = self.accuracies.shape
        self.num_epochs = num_global_epochs // num_tasks
        self.method = types.SimpleNamespace(
            name="lasem",
            learner="hps",
            num_parameters=12345,
            approximations=(),
            task_model=lambda task: keras.Sequential([keras.layers.Dense(2)]),
            has_base_learner=True,
            selection=lambda task: self.selections[task],
        )
        self.method.selected_configuration = functools.partial(
            LifelongMethod.selected_configuration, self.method
        )
        tasks = [types.SimpleNamespace(name=str(t)) for t in range(num_tasks)]
        self.stream = TaskStream("made_up", tuple(tasks))

    def play(self, actions, until=None):
        """Goes on to the global epoch `until`, exclusive; `None`: the end."""
        self._notify(actions, "on_run_begin")
        total = len(self.accuracies)
        for global_epoch in range(self.global_epoch + 1, until or total):
            self._finish_epoch(global_epoch)
            self._notify(actions, "on_epoch_end")
            if self.epoch + 1 == self.num_epochs:
                self._notify(actions, "on_task_end")
        if until is None:
            self._notify(actions, "on_run_end")
        return self

    def _finish_epoch(self, global_epoch):
        self.global_epoch = global_epoch
        self.task_index, self.epoch = divmod(global_epoch, self.num_epochs)
        prior = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
        self.result = EpochResult(
            loss=1 / (1 + global_epoch),
            learning_rate=0.5**global_epoch,
            configurations=all_configurations(2),
            prior=np.roll(prior, global_epoch),
            posterior=np.roll(prior[::-1], global_epoch),
        )
        is_last = self.epoch + 1 == self.num_epochs
        for task in range(
            0 if is_last else self.task_index, self.task_index + 1
        ):
            accuracy = float(self.accuracies[global_epoch, task])
            for split, plus in (("validation", 0.05), ("test", 0.0)):
                self.history.add(
                    global_epoch,
                    self.task_index,
                    self.epoch,
                    task,
                    split,
                    accuracy + plus,
                    2 - accuracy,
                )

    def _notify(self, actions, hook):
        for action in actions:
            if hasattr(action, hook):
                getattr(action, hook)(self)


# Two epochs for each of three tasks; what is not evaluated is never read.
ACCURACIES = np.array(
    [
        [0.60, 9.00, 9.00],
        [0.50, 9.00, 9.00],
        [9.00, 0.30, 9.00],
        [0.40, 0.40, 9.00],
        [9.00, 9.00, 0.80],
        [0.25, 0.60, 0.70],
    ]
)


@pytest.fixture
def make_run(tmp_path):
    """Makes a `ScriptedRun` in a folder of its own."""

    def make(accuracies=ACCURACIES, workdir="run", **settings):
        folder = tmp_path / workdir
        folder.mkdir(exist_ok=True)
        return ScriptedRun(folder, np.asarray(accuracies), **settings)

    return make
