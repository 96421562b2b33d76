"""What DARTS trains: weights and architecture of one network, in turns."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from lasem_tf.layers.filter_source import Filters
from lasem_tf.layers.selective_conv import (
    Convolve,
    SelectiveConv2D,
    SlotFilters,
)
from lasem_tf.methods.compiled_epoch import StepResult
from lasem_tf.methods.held_out import HeldOut
from lasem_tf.methods.selective_trainer import SelectiveTrainer
from lasem_tf.methods.trainer import total_loss
from lasem_tf.networks.selective_network import SelectiveNetwork
from lasem_tf.transfer import TransferConfiguration


class DartsTrainer(SelectiveTrainer):
    """Trains weights and architecture of one network in turns.

    Args:
        network: See `SelectiveTrainer`.
        configurations: All of them, or the two that differ in every layer.
        optimizer: See `SelectiveTrainer`; of the weights.
        architecture_optimizer: Of the architecture.
        train_step: See `SelectiveTrainer`.

    Attributes:
        architecture: float [num_layers, 2], in what Keras computes in. alpha
            of the shared and of the task-specific branch of each layer.
        num_steps: int32 []. Of this task.
        held_out: The validation examples.
    """

    def __init__(
        self,
        network: SelectiveNetwork,
        configurations: Sequence[TransferConfiguration],
        optimizer: keras.optimizers.Optimizer,
        architecture_optimizer: keras.optimizers.Optimizer,
        train_step: Callable[[tf.Tensor, tf.Tensor], StepResult],
    ):
        super().__init__(network, configurations, optimizer, train_step)
        self.architecture = keras.Variable(
            tf.zeros([network.num_layers, 2], keras.config.floatx())
        )
        self.architecture_optimizer = architecture_optimizer
        architecture_optimizer.build([self.architecture])
        self._at_first += [
            (v, v.numpy()) for v in architecture_optimizer.variables
        ]
        self.num_steps = tf.Variable(0, trainable=False)
        self.held_out = HeldOut(network.image_shape)

    @property
    def training_state(self) -> Sequence[keras.Variable | tf.Variable]:
        """See `Trainer.training_state`."""
        return self.architecture, self.num_steps

    @property
    def state(self) -> dict[str, Sequence[keras.Variable | tf.Variable]]:
        """See `SelectiveTrainer.state`."""
        return {
            **super().state,
            "architecture_optimizer": self.architecture_optimizer.variables,
        }

    def mixed_loss(
        self, images: tf.Tensor, labels: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """Returns the loss of the network of mixtures, f the activation.

            o_l(x) = sum_k softmax(alpha_l)_k f(conv(x; slot k of layer l))

        Args:
            images: float [batch, height, width, channels].
            labels: int32 [batch].
            training: Whether dropout is on.

        Returns:
            float []: cross-entropy in nats, mean over the mini-batch, and the
            penalties, each slot's in its proportion.
        """
        shares, convolve = self._mixing()
        return self.loss_of(
            images, labels, training, self.network.filters(), shares, convolve
        )

    def validation_loss(
        self, images: tf.Tensor, labels: tf.Tensor
    ) -> tf.Tensor:
        """Returns what alpha descends: the mixture's loss without penalties.

        Penalties of weights would favour the slot that has none, whatever the
        data say.

        Args:
            images: float [batch, height, width, channels].
            labels: int32 [batch].

        Returns:
            float []: cross-entropy in nats, mean over the mini-batch, dropout
            off.
        """
        return total_loss(labels, self.mixed_logits(images), [])

    def mixed_logits(self, images: tf.Tensor) -> tf.Tensor:
        """Returns what the mixture answers, which no finished task keeps.

        Args:
            images: float [batch, height, width, channels].

        Returns:
            float [batch, num_classes], dropout off.
        """
        _, convolve = self._mixing()
        filters = self.network.filters()
        return self.network.logits(images, filters, False, convolve)

    def _mixing(self) -> tuple[tf.Tensor, Convolve]:
        """Returns each layer's shares [L, 2] and what mixes accordingly."""
        shares = tf.nn.softmax(self.architecture)
        of_layer = {
            id(layer): shares[number]
            for number, layer in enumerate(self.network.selective_layers)
        }
        return shares, functools.partial(_mixture, of_layer)


def _mixture(
    shares: dict[int, tf.Tensor],
    layer: SelectiveConv2D,
    inputs: tf.Tensor,
    slots: SlotFilters,
    key: object,
) -> tf.Tensor:
    """Convolves with both slots, and returns their mixture."""
    del key
    both: tuple[Filters, Filters] = (slots.shared, slots.task)
    return tf.add_n(
        [
            tf.cast(share, layer.compute_dtype) * layer.convolve(inputs, slot)
            for share, slot in zip(
                tf.unstack(shares[id(layer)], 2), both, strict=True
            )
        ]
    )
