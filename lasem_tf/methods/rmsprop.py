"""RMSProp as TensorFlow 1 had it and the paper used it."""

from __future__ import annotations

import keras
import tensorflow as tf

from lasem_tf.checks import check_at_least, check_fraction


class RMSprop(keras.optimizers.Optimizer):
    """RMSProp whose mean square starts at 1, with epsilon under the root.

    Keras' own starts the mean square at 0 and adds epsilon outside the root,
    so its first steps are about three times as long.

        ms <- rho ms + (1 - rho) g^2,    ms = 1 at first
        w  <- w - learning_rate g / sqrt(ms + epsilon)

    Args:
        learning_rate: Step size.
        rho: Decay of the mean square, in [0, 1].
        epsilon: Added under the root, at least 0.
        name: Name of the optimizer.
        **kwargs: See `keras.optimizers.Optimizer`.

    Raises:
        InputError: If `rho` or `epsilon` is outside its range.

    Attributes:
        scratch: Once built, per variable what TensorFlow's operation writes
            and multiplies by 0. To be zero where weights start afresh, since
            0 times NaN is NaN; nobody else needs to keep it.
    """

    def __init__(
        self,
        learning_rate: float = 1e-4,
        rho: float = 0.9,
        epsilon: float = 1e-10,
        name: str = "rmsprop",
        **kwargs,
    ):
        check_fraction("rho", rho)
        check_at_least("epsilon", epsilon, 0)
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.rho = rho
        self.epsilon = epsilon

    def build(self, variables: list[keras.Variable]) -> None:
        """Makes one mean square per variable.

        Args:
            variables: What will be trained.
        """
        if self.built:
            return
        super().build(variables)
        self._mean_squares = [
            self.add_variable_from_reference(
                v, name="mean_square", initializer="ones"
            )
            for v in variables
        ]
        # The step before, for a momentum that is 0 here.
        self.scratch = [
            tf.Variable(tf.zeros(v.shape, v.dtype), trainable=False)
            for v in variables
        ]

    def update_step(
        self,
        gradient: tf.Tensor,
        variable: keras.Variable | tf.Variable,
        learning_rate: tf.Tensor,
    ) -> None:
        """Applies one gradient to one variable.

        Args:
            gradient: Of the shape of `variable`.
            variable: One of those it was built with.
            learning_rate: float [].
        """
        index = self._get_variable_index(variable)
        if isinstance(variable, keras.Variable):
            variable = variable.value
        # One pass over memory; written out it takes ten, as long as a quarter
        # of a small network's step in bfloat16.
        tf.raw_ops.ResourceApplyRMSProp(
            var=variable.handle,
            ms=self._mean_squares[index].value.handle,
            mom=self.scratch[index].handle,
            lr=tf.cast(learning_rate, variable.dtype),
            rho=tf.constant(self.rho, variable.dtype),
            momentum=tf.constant(0, variable.dtype),
            epsilon=tf.constant(self.epsilon, variable.dtype),
            grad=gradient,
        )

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "rho": self.rho,
            "epsilon": self.epsilon,
        }
