"""What methods have in common whose tasks are networks of one backbone."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from lasem_tf.checks import InputError, check_at_least, check_one_of
from lasem_tf.methods.lifelong_method import EpochResult, LifelongMethod
from lasem_tf.methods.plain_networks import TaskNetworks
from lasem_tf.methods.rmsprop import RMSprop
from lasem_tf.methods.settings import described
from lasem_tf.methods.trainer import Trainer
from lasem_tf.networks.backbones import Backbone, linear_head
from lasem_tf.seeding import derive_seed


class NetworkMethod(LifelongMethod):
    """A method that gives each task a network of one backbone.

    It keeps the hyperparameters that all such methods take, seeds what is
    random, and trains an epoch with `self._trainer`, which a subclass makes
    when a task begins.

    Args:
        backbone: Function from image shape to a Keras model that ends in
            features [batch, features]; for one shape always the same.
        optimizer: Makes an optimizer, with a learning rate of its own.
        learning_rate_decay: Per global epoch; the rate in epoch e is the
            optimizer's divided by `1 + e * learning_rate_decay`.
        head: Function from number of classes to the output layer.
        seed: Root seed of initial weights and dropout.
        jit_compile: Whether XLA compiles what trains. `None`: on a GPU, where
            a small network's step takes a third of the time and the first
            epoch a few seconds more. On a CPU steps take two to three times
            as long with it.

    Raises:
        InputError: If `jit_compile` is none of these, or true for a method
            that XLA cannot compile.
    """

    # Whether all shapes are known before a step is made.
    compiles_with_xla = True

    def __init__(
        self,
        backbone: Backbone,
        optimizer: Callable[[], keras.optimizers.Optimizer] = RMSprop,
        learning_rate_decay: float = 0.0,
        head: Callable[[int], keras.Layer] = linear_head,
        seed: int = 0,
        jit_compile: bool | None = None,
    ):
        check_one_of("jit_compile", jit_compile, (None, True, False))
        if jit_compile and not self.compiles_with_xla:
            raise InputError(
                f"XLA cannot compile {type(self).__name__}: not all shapes "
                "are known before a step is made.",
                received="jit_compile=True",
                remedy="Leave it out.",
            )
        check_at_least("learning_rate_decay", learning_rate_decay, 0)
        self.backbone = backbone
        self.optimizer = optimizer
        self.learning_rate_decay = learning_rate_decay
        self.head = head
        self.seed = seed
        self.jit_compile = jit_compile
        self._networks = TaskNetworks(backbone, head)
        # Of the current task, `None` between tasks.
        self._trainer: Trainer | None = None

    @property
    def hyperparameters(self) -> dict[str, str]:
        """See `LifelongMethod.hyperparameters`."""
        found = {}
        for owner in type(self).__mro__:  # What the class itself says first.
            if issubclass(owner, NetworkMethod):
                found = {**found, **described(self, owner.__init__)}
        return found

    def train_epoch(
        self, batches: tf.data.Dataset, global_epoch: int
    ) -> EpochResult:
        """See `LifelongMethod.train_epoch`."""
        learning_rate = self._start_epoch(global_epoch)
        mean = self._trainer.compiled_epoch(batches, self._with_xla)
        return EpochResult(float(mean.loss), learning_rate)

    @property
    def _with_xla(self) -> bool:
        """Whether XLA compiles an epoch."""
        if self.jit_compile is None:
            return on_gpu() and self.compiles_with_xla
        return self.jit_compile

    def _start_epoch(self, global_epoch: int) -> float:
        """Sets learning rate and dropout seeds; returns the learning rate."""
        rate = self._trainer.base_learning_rate / (
            1 + global_epoch * self.learning_rate_decay
        )
        self._trainer.optimizer.learning_rate.assign(rate)
        # As a function of (seed, epoch) dropout needs no checkpoint.
        for number, state in enumerate(self._trainer.seed_states):
            seed = derive_seed(self.seed, "dropout", global_epoch, number)
            state.assign(tf.cast([seed, 0], state.dtype))
        return rate

    def _seed_initial_weights(self, task_index: int) -> None:
        """Makes them a function of (seed, task), not of what was drawn before.

        So a continued run makes the same ones.
        """
        keras.utils.set_random_seed(
            derive_seed(self.seed, "initial_weights", task_index)
        )


def on_gpu() -> bool:
    """Whether TensorFlow has a GPU, which it then computes on."""
    return bool(tf.config.list_logical_devices("GPU"))


def no_such_task(task_index: int, num_finished: int) -> InputError:
    """Returns what to raise where no such task has begun.

    Args:
        task_index: What was asked for.
        num_finished: How many tasks are finished.
    """
    return InputError(
        "`task_index` must name a task that has begun.",
        received=f"task_index={task_index} after {num_finished} finished tasks",
        remedy="Tasks are numbered from 0.",
    )
