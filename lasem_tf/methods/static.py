"""Configurations that are given, not learned."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from lasem_tf.checks import InputError, check_fraction
from lasem_tf.layers.filter_source import SharingRule
from lasem_tf.methods.lasem import Lasem
from lasem_tf.methods.m_step import ForwardPass
from lasem_tf.networks.backbones import Backbone
from lasem_tf.transfer import TransferConfiguration

_BAYES_RULE = {"likelihood", "prior", "e_step_tolerance", "e_step_dtype"}


class FixedPosterior(Lasem):
    """LASEM with a constant in place of Bayes' rule.

    Source: Lee, Behpour & Eaton (2021), Section 4.3: one configuration c has
    posterior P at every mini-batch, all C - 1 other candidates share the rest:

        p_i = P if c_i = c else (1 - P) / (C - 1)

    Args:
        configuration: The configuration with mass P, such as `"TSTS"`.
        probability: P, in [0, 1].
        candidates: As in `Lasem`.
        layer_groups: As in `Lasem`.
        **selective_method: See `SelectiveMethod`; `num_m_steps` and
            `pruning_floor` as in `Lasem`.

    Raises:
        InputError: If `probability` is not a probability, an argument is of
            the E-step, or (when the first task begins) the configuration is
            not among the candidates.
    """

    name = "fixed_posterior"

    def __init__(
        self,
        backbone: Backbone,
        sharing: SharingRule,
        configuration: str = "all",
        probability: float = 1.0,
        candidates: str | Sequence[str] = "full",
        layer_groups: Sequence[Sequence[int]] | None = None,
        **selective_method,
    ):
        for name in sorted(_BAYES_RULE & selective_method.keys()):
            raise InputError(
                f"`{name}` is of Bayes' rule, which `{type(self).__name__}` "
                "does without.",
                received=f"{name}={selective_method[name]!r}",
                remedy="Leave it out, or take `Lasem`.",
            )
        super().__init__(
            backbone, sharing, candidates, layer_groups, **selective_method
        )
        check_fraction("probability", probability)
        self.configuration = configuration
        self.probability = probability

    def _candidates(self, num_layers: int) -> tuple[TransferConfiguration, ...]:
        configurations = super()._candidates(num_layers)
        given = self._given(num_layers)
        if given not in configurations:
            raise InputError(
                "`configuration` must be one of the candidates.",
                received=f"configuration={str(given)!r} beside "
                f"{len(configurations)} other candidates",
                remedy="Change `candidates` or `layer_groups` to include it.",
            )
        return configurations

    def _given(self, num_layers: int) -> TransferConfiguration:
        return TransferConfiguration.parse(self.configuration, num_layers)

    def _selected_configuration(self) -> TransferConfiguration:
        return self._given(self._network.num_layers)

    def _log_prior(self) -> tf.Tensor:
        """The constant stands for prior and posterior alike."""
        candidates = self._trainer.configurations
        given = self._selected_configuration()
        others = len(candidates) - 1
        rest = (1 - self.probability) / others if others else 0.0
        masses = [self.probability if c == given else rest for c in candidates]
        return tf.math.log(tf.constant(masses if others else [1.0]))

    def _e_step(
        self, images: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, ForwardPass | None]:
        return tf.exp(self._log_prior()), None


class Static(FixedPosterior):
    """Trains every task with one given configuration.

    Source: Lee, Behpour & Eaton (2021), Eq. 3 with p_i = 1 for c, the loss of
    one plain network:

        theta <- theta - optimizer's step of d/d theta loss(c)

    and Figure 1: All, Top-k, Bottom-k, Alternating; `"single_task"` shares
    nothing and learns each task alone.

    Args:
        configuration: Such as `"all"`, `"top_2"`, `"TSTS"`.
        **selective_method: As in `FixedPosterior`.
    """

    name = "static"

    def __init__(
        self,
        backbone: Backbone,
        sharing: SharingRule,
        configuration: str = "all",
        **selective_method,
    ):
        super().__init__(
            backbone,
            sharing,
            configuration,
            candidates=[configuration],
            **selective_method,
        )
