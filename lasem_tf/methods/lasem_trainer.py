"""What LASEM trains the tasks of one architecture with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from lasem_tf.methods.compiled_epoch import StepResult
from lasem_tf.methods.m_step import MStep
from lasem_tf.methods.rare_e_steps import RareESteps
from lasem_tf.methods.selective_trainer import SelectiveTrainer
from lasem_tf.networks.selective_network import SelectiveNetwork
from lasem_tf.transfer import TransferConfiguration


class LasemTrainer(SelectiveTrainer):
    """Trains the tasks of one architecture with LASEM.

    Args:
        network: See `SelectiveTrainer`.
        configurations: The candidates.
        optimizer: See `SelectiveTrainer`.
        train_step: See `SelectiveTrainer`.
        pruning_floor: See `Lasem`.
        e_step_tolerance: See `Lasem`.
        e_step_dtype: See `Lasem`.

    Attributes:
        m_step: Of this network and these candidates.
        evidence: float32 [num_configurations]. What the prior is made of: the
            sum over mini-batches of one-hot vectors (counts) or of posteriors
            (average).
        earlier_evidence: float32 [num_configurations]. The same of earlier
            tasks, as far as the prior heeds it.
        num_batches: float32 []. How many mini-batches with an E-step that
            were.
        rare_e_steps: Says which mini-batches go without; `None` if none does.
    """

    def __init__(
        self,
        network: SelectiveNetwork,
        configurations: Sequence[TransferConfiguration],
        optimizer: keras.optimizers.Optimizer,
        train_step: Callable[[tf.Tensor, tf.Tensor], StepResult],
        pruning_floor: float | None,
        e_step_tolerance: float | None,
        e_step_dtype: str,
    ):
        super().__init__(network, configurations, optimizer, train_step)
        self.m_step = MStep(
            network,
            self.configurations,
            self.weights,
            pruning_floor,
            e_step_dtype,
        )
        num = len(self.configurations)
        self.evidence = tf.Variable(tf.zeros([num]), trainable=False)
        self.earlier_evidence = tf.Variable(tf.zeros([num]), trainable=False)
        self.num_batches = tf.Variable(0.0, trainable=False)
        self.rare_e_steps = None
        if e_step_tolerance is not None:
            self.rare_e_steps = RareESteps(e_step_tolerance)

    @property
    def all_evidence(self) -> tf.Tensor:
        """Evidence of this and of earlier tasks, as far as they count."""
        return self.evidence + self.earlier_evidence

    @property
    def training_state(self) -> Sequence[tf.Variable]:
        """See `Trainer.training_state`."""
        rare = self.rare_e_steps.variables if self.rare_e_steps else ()
        return self.evidence, self.earlier_evidence, self.num_batches, *rare
