"""What every way of learning a stream of tasks looks like from outside."""

from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lasem_tf.methods.settings import described
from lasem_tf.tasks import Task
from lasem_tf.transfer import TransferConfiguration


@dataclasses.dataclass(frozen=True)
class EpochResult:
    """What a method tells about one epoch of training.

    Attributes:
        loss: Mean over the mini-batches of the loss that was minimised.
        learning_rate: The learning rate in force during the epoch.
        configurations: The candidates, in the order of the arrays below;
            empty for methods that choose nothing.
        prior: float32 [num_configurations]. Prior after the epoch.
        posterior: float32 [num_configurations]. Mean posterior over the
            epoch's mini-batches.
    """

    loss: float
    learning_rate: float
    configurations: tuple[TransferConfiguration, ...] = ()
    prior: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    posterior: np.ndarray = dataclasses.field(
        default_factory=lambda: np.zeros(0)
    )

    @property
    def most_probable(self) -> str:
        """The configuration with the highest prior, `""` if there is none."""
        if not self.configurations:
            return ""
        return str(self.configurations[int(np.argmax(self.prior))])


def compiled_predictor(
    model: keras.Model,
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a compiled function from images to logits, dropout off.

    Args:
        model: Images -> logits; later changes of its weights are followed.
    """
    return tf.function(
        functools.partial(model, training=False),
        reduce_retracing=True,
        autograph=False,
    )


class LifelongMethod(abc.ABC):
    """Learns tasks one after another; owns parameters and update rule.

    A method never touches files and never asks where images come from. The
    runner calls, for each task in turn: `begin_task`, then `train_epoch` once
    per epoch, then `end_task`. Tasks are numbered from 0 in the order in
    which they began, and the current task counts as one of them.

    To continue an interrupted run the runner calls `rebuild_task` for each
    finished task, `begin_task` for the current one, and restores `state`.

    Attributes:
        has_base_learner: Whether the constructor takes `sharing`, a base
            learner; else the method shares in a way of its own.
        num_epochs: For how many epochs of each task it was made; `None` if
            that does not matter.
    """

    has_base_learner = True
    num_epochs: int | None = None

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """Name of the method in tables, such as `"lasem"`."""

    @property
    @abc.abstractmethod
    def learner(self) -> str:
        """Name of the base learner in tables, such as `"dfcnn"`.

        `"none"` where the method shares in a way of its own.
        """

    @property
    def hyperparameters(self) -> dict[str, str]:
        """The constructor's arguments as text, to tell runs apart.

        Constructors keep their arguments under the arguments' own names.
        """
        return described(self, type(self).__init__)

    @property
    def approximations(self) -> tuple[str, ...]:
        """Settings in force that change the method's arithmetic, as text.

        For speed, such as lower precision; none unless asked for.
        """
        return ()

    @abc.abstractmethod
    def begin_task(self, task: Task) -> None:
        """Makes ready to learn a new task, with initial weights of its own.

        Args:
            task: The task to learn next.
        """

    @abc.abstractmethod
    def train_epoch(
        self, batches: tf.data.Dataset, global_epoch: int
    ) -> EpochResult:
        """Trains the current task on every mini-batch, in one compiled call.

        Args:
            batches: Elements `(images, labels)`: float32 [batch, height,
                width, channels] and int32 [batch]; of known number.
            global_epoch: Epochs trained so far, over all tasks.
        """

    @abc.abstractmethod
    def end_task(self) -> None:
        """Selects, rolls back and drops what the task no longer needs."""

    @abc.abstractmethod
    def selection(self, task_index: int) -> Any:
        """What was chosen for a finished task, as JSON can hold it.

        It is what `rebuild_task` needs to rebuild the task's parameters:
        a configuration such as `"TSTS"`, or `None` if nothing was chosen.
        """

    def selected_configuration(self, task_index: int) -> str | None:
        """Returns a finished task's configuration, such as `"TSTS"`.

        `None` where none was selected. What `selection` holds beyond that in
        order to rebuild the task, such as widths of layers, is the method's
        alone.

        Args:
            task_index: Number of a finished task.
        """
        selection = self.selection(task_index)
        is_one = self.has_base_learner and isinstance(selection, str)
        return selection if is_one else None

    @abc.abstractmethod
    def rebuild_task(self, task: Task, selection: Any) -> None:
        """Rebuilds a finished task's parameters, to be restored afterwards.

        Args:
            task: The task that was learned.
            selection: What `selection` said of it.
        """

    @property
    @abc.abstractmethod
    def state(self) -> dict[str, tf.Module | keras.layers.Layer | tf.Variable]:
        """Everything that training changes, by name, for a checkpoint."""

    @abc.abstractmethod
    def task_model(self, task_index: int) -> keras.Model:
        """Returns a task's network as a plain Keras model with own weights.

        Args:
            task_index: Number of a finished or the current task.

        Returns:
            float32 images [batch, height, width, channels] -> float32 logits
            [batch, num_classes]. Later training does not change it.
        """

    def predictor(self, task_index: int) -> Callable[[tf.Tensor], tf.Tensor]:
        """Returns a compiled function from images to a task's logits.

        It computes what `task_model` computes, for evaluation during
        training: valid until the method is called again, and free to use one
        compiled function for many tasks.

        Args:
            task_index: Number of a finished or the current task.
        """
        return compiled_predictor(self.task_model(task_index))

    @property
    @abc.abstractmethod
    def num_parameters(self) -> int:
        """Numbers that the finished tasks need, each counted once.

        Of the knowledge base: what some finished task uses.
        """
