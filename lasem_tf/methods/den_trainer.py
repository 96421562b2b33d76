"""What a growing network is trained with, from selection to split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from lasem_tf.methods.compiled_epoch import StepResult
from lasem_tf.methods.den_equations import (
    drift,
    group_threshold,
    reached_units,
    soft_threshold,
)
from lasem_tf.methods.den_growth import split_units
from lasem_tf.methods.trainer import Trainer, total_loss
from lasem_tf.networks.layer_graph import seed_states
from lasem_tf.networks.widths import ConvolutionChain


class DenSettings(NamedTuple):
    """Hyperparameters of `DynamicallyExpandable`, which see."""

    num_epochs: int
    phase_shares: tuple[float, float, float, float]
    l1_weight: float
    l2_weight: float
    group_weight: float
    loss_threshold: float
    drift_threshold: float
    num_new_units: int


class DenTrainer(Trainer):
    """Trains a task's network at the size to which it may grow.

    Places of units that do not exist yet are there from the beginning, dead:
    what they give is zero, and nothing moves them. So growth costs no new
    compilation, and a checkpoint can hold a task that has grown.

    Places of a layer, in this order: the units of earlier tasks, new ones,
    copies of old ones.

    Args:
        model: Images -> logits, units that do not exist silent.
        chain: The same with all places at work.
        alive: Per convolution float32 [filters], 1 for units that exist.
        optimizer: New.
        widths_before: Units of earlier tasks per layer; `None` for the first
            task, which has no phases.
        settings: Hyperparameters.
    """

    def __init__(
        self,
        model: keras.Model,
        chain: ConvolutionChain,
        alive: Sequence[keras.Variable],
        optimizer: keras.optimizers.Optimizer,
        widths_before: Sequence[int] | None,
        settings: DenSettings,
    ):
        super().__init__(
            model.trainable_weights,
            optimizer,
            self._train_step,
            seed_states(model),
        )
        self.model = model
        self.chain = chain
        self.alive = list(alive)
        self.settings = settings
        self.layers = chain.convolutions
        self._channels = chain.channels_of_features()
        self.is_first = widths_before is None
        self._num_old = list(widths_before or chain.widths)
        self._is_new = [
            (np.arange(width) >= old)
            & (np.arange(width) < old + settings.num_new_units)
            for width, old in zip(chain.widths, self._num_old, strict=True)
        ]
        self._remember()

    def _remember(self) -> None:
        """Makes what a checkpoint must hold besides weights and optimizer."""
        # 1 where training may move a weight.
        self.free_kernels = [
            tf.Variable(tf.ones(layer.kernel.shape[2:]), trainable=False)
            for layer in self.layers
        ]
        self.free_units = [
            tf.Variable(tf.ones([layer.filters]), trainable=False)
            for layer in self.layers
        ]
        self.before = [
            [
                tf.Variable(value, trainable=False)
                for value in self._of_old(number)
            ]
            for number in range(len(self.layers))
        ]
        self.num_epochs_done = tf.Variable(0, trainable=False)
        self.num_transitions = tf.Variable(0, trainable=False)
        self.last_loss = tf.Variable(np.inf, dtype=tf.float32, trainable=False)
        self._expanding = tf.Variable(0.0, trainable=False)

    @property
    def training_state(self) -> Sequence[tf.Variable]:
        """See `Trainer.training_state`."""
        return (
            *self.free_kernels,
            *self.free_units,
            *(value for values in self.before for value in values),
            self.num_epochs_done,
            self.num_transitions,
            self.last_loss,
            self._expanding,
        )

    def _of_old(self, number: int) -> list[tf.Tensor]:
        """Returns kernel and bias of a layer, units of earlier tasks only."""
        layer, old = self.layers[number], self._num_old[number]
        channels = self._num_old[number - 1] if number else None
        kernel = layer.kernel.value[:, :, :channels, :old]
        return [kernel] + ([layer.bias.value[:old]] if layer.use_bias else [])

    # A step.

    def _train_step(self, images: tf.Tensor, labels: tf.Tensor) -> StepResult:
        held = [
            [tf.identity(w.value) for w in layer.weights]
            for layer in self.layers
        ]
        loss = self.minimize(lambda: self.loss(images, labels))
        self._sparsify(held)
        return StepResult(loss)

    def loss(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Returns cross-entropy and the pull to what was before, float32 [].

        Args:
            images: float32 [batch, height, width, channels].
            labels: int32 [batch].
        """
        logits = self.model(images, training=True)
        penalties = list(self.model.losses)
        if not self.is_first:
            distance = tf.add_n(
                [
                    tf.reduce_sum((now - before) ** 2)
                    for number, values in enumerate(self.before)
                    for now, before in zip(
                        self._of_old(number), values, strict=True
                    )
                ]
            )
            penalties.append(self.settings.l2_weight * distance)
        return total_loss(labels, logits, penalties)

    def _sparsify(self, held: list[list[tf.Tensor]]) -> None:
        """Proximal steps where weights are free; the others stay.

        Args:
            held: Weights of the convolutions before the step.
        """
        l1 = self.settings.l1_weight
        rate = self.optimizer.learning_rate
        dense = self.chain.dense.kernel
        dense.assign(soft_threshold(dense.value, l1))
        for number, layer in enumerate(self.layers):
            shrink = self._expanding * rate * self.settings.group_weight
            # What comes from units that do not exist is no part of a filter.
            heard = self.alive[number - 1].value if number else 1.0
            kernel = group_threshold(
                soft_threshold(layer.kernel.value, l1)
                * tf.reshape(heard, [1, 1, -1, 1]),
                shrink * tf.cast(self._is_new[number], tf.float32),
            )
            kept, *biases = held[number]
            free = self.free_kernels[number] > 0
            layer.kernel.assign(tf.where(free, kernel, kept))
            for bias in biases:
                free = self.free_units[number] > 0
                layer.bias.assign(tf.where(free, layer.bias.value, bias))

    # From one phase to the next.

    def begin_epoch(self) -> None:
        """Goes on to the phase that is due."""
        if self.is_first:
            return
        steps = self._freeze, self._select, self._expand, self._split
        shares = np.array(self.settings.phase_shares)
        due = np.rint((np.cumsum(shares) - shares) * self.settings.num_epochs)
        # However few epochs there are, a phase with a share begins.
        last = self.settings.num_epochs - 1
        due = np.where(shares > 0, np.minimum(due, last), due)
        while int(self.num_transitions) < len(steps) and (
            due[int(self.num_transitions)] <= int(self.num_epochs_done)
        ):
            steps[int(self.num_transitions)]()
            self.num_transitions.assign_add(1)

    def end_epoch(self, loss: float) -> None:
        """Takes note of an epoch.

        Args:
            loss: Its mean loss.
        """
        self.num_epochs_done.assign_add(1)
        self.last_loss.assign(loss)

    def _set_free(
        self, units: Sequence[np.ndarray], kernels: Sequence[np.ndarray]
    ) -> None:
        for number in range(len(self.layers)):
            self.free_units[number].assign(units[number].astype(np.float32))
            self.free_kernels[number].assign(kernels[number].astype(np.float32))

    def _between(self, units: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Returns per layer [channels, filters]: are both in `units`?"""
        below = [np.ones(self.layers[0].kernel.shape[2], bool), *units[:-1]]
        return [np.outer(low, up) for low, up in zip(below, units, strict=True)]

    def _alive(self) -> list[np.ndarray]:
        return [mask.numpy() > 0 for mask in self.alive]

    def _freeze(self) -> None:
        """Selection begins: the dense layers alone are trained."""
        none = [np.zeros(width, bool) for width in self.chain.widths]
        self._set_free(none, self._between(none))

    def _select(self) -> None:
        """Selective retraining: what the dense layers use is trained."""
        rows = np.any(self.chain.dense.kernel.numpy() != 0, axis=1)
        alive = self._alive()
        top = np.zeros(self.chain.widths[-1], bool)
        top[self._channels[rows]] = True
        # Places of units that do not exist lead nowhere.
        kernels = [
            layer.kernel.numpy() * exists
            for layer, exists in zip(
                self.layers, self._between(alive), strict=True
            )
        ]
        units = reached_units(kernels, top & alive[-1])
        self._set_free(units, self._between(units))

    def _expand(self) -> None:
        """Adds units if the task is not learned yet; trains these alone."""
        settings = self.settings
        is_left_out = settings.phase_shares[2] == 0
        if is_left_out or float(self.last_loss) <= settings.loss_threshold:
            return
        for mask, new in zip(self.alive, self._is_new, strict=True):
            mask.assign(np.where(new, 1.0, mask.numpy()))
        old = [~new for new in self._is_new]
        touched = [
            both & ~without
            for both, without in zip(
                self._between(self._alive()), self._between(old), strict=True
            )
        ]
        self._set_free(self._is_new, touched)
        self._expanding.assign(1.0)

    def _split(self) -> None:
        """Copies units that drifted, gives their places back, trains all."""
        self._expanding.assign(0.0)
        self.remove_useless()
        for number, layer in enumerate(self.layers):
            before = self.before[number][0].numpy()
            moved = drift(layer.kernel.numpy(), before)
            order = np.argsort(-moved, kind="stable")
            drifted = order[moved[order] > self.settings.drift_threshold]
            num_places = self.chain.widths[number] - (
                self._num_old[number] + self.settings.num_new_units
            )
            units = np.sort(drifted[:num_places])
            first = self._num_old[number] + self.settings.num_new_units
            places = np.arange(first, first + len(units))
            split_units(self.chain, number, units, places, self.before[number])
            exists = self.alive[number].numpy()
            exists[places] = 1.0
            self.alive[number].assign(exists)
        alive = self._alive()
        self._set_free(alive, self._between(alive))

    def remove_useless(self) -> None:
        """Lets new units die whose filters became zero."""
        below = slice(None)
        for mask, new, layer in zip(
            self.alive, self._is_new, self.layers, strict=True
        ):
            # What comes from units that do not exist was never trained.
            kernel = layer.kernel.numpy()[:, :, below]
            is_zero = ~np.any(kernel != 0, axis=(0, 1, 2))
            mask.assign(np.where(new & is_zero, 0.0, mask.numpy()))
            below = mask.numpy() > 0
