"""LASEM the way it was first published: a network and a gradient for each.

The yardstick of the timing scripts; the library never does it like this.
"""

from __future__ import annotations

import tensorflow as tf

from lasem_tf.methods import em
from lasem_tf.methods.compiled_epoch import StepResult
from lasem_tf.methods.lasem import Lasem
from lasem_tf.transfer import TransferConfiguration


class OneNetworkPerConfiguration(Lasem):
    """Computes what `Lasem` with one M-step does, sharing none of the work.

    With dropout each network draws a mask of its own.
    """

    name = "one_network_per_configuration"

    def _train_step(self, images: tf.Tensor, labels: tf.Tensor) -> StepResult:
        losses, gradients, log_likelihoods = [], [], []
        weights = self._trainer.weights
        for configuration in self._trainer.configurations:
            with tf.GradientTape() as tape:
                loss = self._loss(images, labels, configuration, True)
                loss = tf.reduce_mean(loss) + self._penalty(configuration)
            losses.append(loss)
            of_weights = tape.gradient(loss, weights)
            gradients.append(
                [
                    tf.zeros(w.shape) if g is None else g
                    for g, w in zip(of_weights, weights, strict=True)
                ]
            )
            by_image = self._loss(images, labels, configuration, False)
            log_likelihoods.append(
                em.LIKELIHOODS[self.likelihood](by_image[None])[0]
            )
        posterior = em.e_step(tf.stack(log_likelihoods), self._log_prior())
        self._observe(posterior)
        weighted = [
            tf.tensordot(posterior, tf.stack(of_weight), axes=1)
            for of_weight in zip(*gradients, strict=True)
        ]
        self._trainer.optimizer.apply_gradients(
            zip(weighted, weights, strict=True)
        )
        return StepResult(tf.tensordot(posterior, losses, 1), posterior)

    def _loss(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        configuration: TransferConfiguration,
        training: bool,
    ) -> tf.Tensor:
        """Returns the cross-entropy of each image, float32 [batch]."""
        network = self._trainer.network
        picked = [
            (layer.shared if shared else layer.task)()
            for layer, shared in zip(
                network.selective_layers, configuration.shared, strict=True
            )
        ]
        logits = network.logits(images, picked, training)
        return em.cross_entropies(labels, logits[None])[0]

    def _penalty(self, configuration: TransferConfiguration) -> tf.Tensor:
        network = self._trainer.network
        shared = tf.cast(configuration.shared, tf.float32)
        penalties = network.regularization()
        return (
            tf.reduce_sum(shared * penalties[0] + (1 - shared) * penalties[1])
            + network.other_regularization()
        )
