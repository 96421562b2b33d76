"""The life of a task that has a Keras model of its own."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.methods.compiled_epoch import StepResult
from lasem_tf.methods.lifelong_method import compiled_predictor
from lasem_tf.methods.network_method import NetworkMethod, no_such_task
from lasem_tf.methods.task_parameters import Variables
from lasem_tf.methods.trainer import Trainer, total_loss
from lasem_tf.networks.backbones import Backbone
from lasem_tf.networks.layer_graph import seed_states
from lasem_tf.tasks import Task


class ModelPerTask(NetworkMethod):
    """A method that shares in a way of its own, in place of a base learner.

    Each task has a Keras model, images -> logits. It may be made of layers
    that earlier tasks' models hold too, which is how such methods share.
    Subclasses say what the model is, and may say what a step descends and
    what happens when a task begins or ends.

    Args:
        backbone: See `NetworkMethod`.
        **network_method: See `NetworkMethod`.

    Raises:
        InputError: When the first task begins, if a layer cannot be copied.
    """

    has_base_learner = False
    learner = "none"

    def __init__(self, backbone: Backbone, **network_method):
        super().__init__(backbone, **network_method)
        # Of every task that has begun; the current one's is the last.
        self._models: list[keras.Model] = []
        self._task: Task | None = None
        self._predictors: dict[int, Callable[[tf.Tensor], tf.Tensor]] = {}

    # What subclasses say.

    @abc.abstractmethod
    def _new_model(self, task: Task) -> keras.Model:
        """Returns the model of a task that begins, with initial weights.

        Its trainable weights are what will be trained, unless
        `_trained_weights` says otherwise.

        Args:
            task: `self._models` holds those of all tasks before it.
        """

    def _logits(self, images: tf.Tensor) -> tf.Tensor:
        """Returns the current task's logits, dropout on."""
        return self._models[-1](images, training=True)

    def _loss(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Returns what a step descends, float32 []: nats and penalties."""
        logits = self._logits(images)
        return total_loss(labels, logits, self._penalties())

    def _penalties(self) -> list[tf.Tensor]:
        """Returns what the current task's model added to the loss."""
        return self._models[-1].losses

    def _trained_weights(self) -> list[keras.Variable]:
        """Returns which weights of the current task's model are trained."""
        return self._models[-1].trainable_weights

    # The life of a task.

    def begin_task(self, task: Task) -> None:
        """See `LifelongMethod.begin_task`."""
        if not self._models:
            _check_can_be_copied(
                self._networks.new(task.image_shape, task.num_classes)
            )
        self._begin_model(task)
        self._task = task
        self._trainer = self._new_trainer()

    def end_task(self) -> None:
        """See `LifelongMethod.end_task`."""
        self._trainer = self._task = None

    def selection(self, task_index: int) -> Any:
        """See `LifelongMethod.selection`."""
        return None

    def rebuild_task(self, task: Task, selection: Any) -> None:
        """See `LifelongMethod.rebuild_task`."""
        self._begin_model(task)

    def _begin_model(self, task: Task) -> None:
        self._seed_initial_weights(len(self._models))
        self._models.append(self._new_model(task))

    def _new_trainer(self) -> Trainer:
        return Trainer(
            self._trained_weights(),
            self.optimizer(),
            self._train_step,
            seed_states(self._models[-1]),
        )

    def _train_step(self, images: tf.Tensor, labels: tf.Tensor) -> StepResult:
        """Learns from one mini-batch."""
        loss = self._trainer.minimize(lambda: self._loss(images, labels))
        return StepResult(loss)

    # What is known of a task.

    def _model(self, task_index: int) -> keras.Model:
        if not 0 <= task_index < len(self._models):
            raise no_such_task(task_index, self._num_finished)
        return self._models[task_index]

    @property
    def _num_finished(self) -> int:
        return len(self._models) - (self._trainer is not None)

    def task_model(self, task_index: int) -> keras.Model:
        """See `LifelongMethod.task_model`."""
        model = self._model(task_index)
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
        return copy

    def predictor(self, task_index: int) -> Callable[[tf.Tensor], tf.Tensor]:
        """See `LifelongMethod.predictor`."""
        model = self._model(task_index)
        if task_index not in self._predictors:
            self._predictors[task_index] = compiled_predictor(model)
        return self._predictors[task_index]

    @property
    def state(self) -> dict[str, tf.Module]:
        """See `LifelongMethod.state`."""
        groups: dict[str, Sequence] = {
            f"task_{index}": weights
            for index, weights in enumerate(self._new_weights())
        }
        if self._trainer is not None:
            groups |= self._trainer.state
        return {name: Variables(group) for name, group in groups.items()}

    def _new_weights(self) -> list[list[keras.Variable]]:
        """Returns per task the weights that no task before it has."""
        known: set[int] = set()
        of_tasks = []
        for model in self._models:
            new = {id(w): w for w in model.weights if id(w) not in known}
            known |= new.keys()
            of_tasks.append(list(new.values()))
        return of_tasks

    @property
    def num_parameters(self) -> int:
        """See `LifelongMethod.num_parameters`."""
        finished = self._new_weights()[: self._num_finished]
        return sum(math.prod(w.shape) for ws in finished for w in ws)


def _check_can_be_copied(model: keras.Model) -> None:
    """Refuses now what an export would stumble over at the end of the run."""
    try:
        keras.models.clone_model(model)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise InputError(
            "This method needs a backbone whose layers can be copied.",
            received=str(error).strip().splitlines()[0],
            remedy="Give its own layers `get_config`, and have no Lambda.",
        ) from error
