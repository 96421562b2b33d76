"""One epoch as one compiled call."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import tensorflow as tf

from lasem_tf.checks import InputError

# With XLA an epoch of up to this size lies on the device.
_LARGEST_EPOCH_BYTES = 2**31


class StepResult(NamedTuple):
    """What one mini-batch gave.

    Attributes:
        loss: float32 []. What the (last) descent went down.
        posterior: float32 [num_configurations]; `None` for none.
    """

    loss: tf.Tensor
    posterior: tf.Tensor | None = None


class CompiledEpoch:
    """One pass over all mini-batches of an epoch as one compiled call.

    Without XLA it draws from an iterator: a loop over a data set would become
    a function of that data set, which TensorFlow optimises anew in every
    epoch, for as long as ten steps take. XLA knows no iterators, so with it
    the mini-batches of the epoch lie on the device from its beginning, and
    the whole epoch is one program. One that is too large for that is drawn
    from an iterator all the same, without XLA.

    Args:
        train_step: `(images, labels) -> StepResult`.
        num_configurations: Length of the posterior.
    """

    def __init__(
        self,
        train_step: Callable[[tf.Tensor, tf.Tensor], StepResult],
        num_configurations: int = 0,
    ):
        # Python is taken as it stands, as Keras does when it trains: AutoGraph
        # would spend seconds on rewriting code that has nothing to rewrite.
        step = tf.autograph.experimental.do_not_convert(train_step)
        # Not functions defined here: TensorFlow takes all that share their
        # code for one, and would warn that every one traces its own.
        self._iterated, self._stacked = (
            tf.function(
                functools.partial(loop, step, num_configurations),
                jit_compile=with_xla,
                reduce_retracing=True,
            )
            for loop, with_xla in ((_iterate, None), (_go_through, True))
        )

    def __call__(
        self, batches: tf.data.Dataset, jit_compile: bool = False
    ) -> StepResult:
        """Trains for an epoch; returns the means over it.

        Args:
            batches: As in `LifelongMethod.train_epoch`.
            jit_compile: Whether XLA compiles it.

        Raises:
            InputError: If it is not known how many there are, or there is
                none.
        """
        num_batches = _num_batches_of(batches)
        if not jit_compile or _num_bytes(batches) > _LARGEST_EPOCH_BYTES:
            return self._iterated(iter(batches), num_batches)
        return self._stacked(
            *tf.data.experimental.get_single_element(batches.batch(num_batches))
        )

    @property
    def num_traces(self) -> int:
        """How often it has been compiled so far."""
        return sum(
            function.experimental_get_tracing_count()
            for function in (self._iterated, self._stacked)
        )


def _num_batches_of(batches: tf.data.Dataset) -> tf.Tensor:
    num_batches = batches.cardinality()
    if num_batches < 1:
        raise InputError(
            "`batches` must know how many they are, at least one.",
            received=f"a data set of cardinality {int(num_batches)}",
            remedy="Use `tf.data.experimental.assert_cardinality`.",
        )
    return num_batches


def _num_bytes(batches: tf.data.Dataset) -> float:
    """Returns the size of all mini-batches; infinite if shapes may differ."""
    specs = batches.element_spec
    if not all(spec.shape.is_fully_defined() for spec in specs):
        return float("inf")
    of_one = sum(s.dtype.size * s.shape.num_elements() for s in specs)
    return of_one * int(batches.cardinality())


def _iterate(
    train_step: Callable[[tf.Tensor, tf.Tensor], StepResult],
    num_configurations: int,
    batches: Iterator,
    num_batches: tf.Tensor,
) -> StepResult:
    return _train(
        train_step,
        num_configurations,
        lambda number: batches.get_next(),
        num_batches,
    )


def _go_through(
    train_step: Callable[[tf.Tensor, tf.Tensor], StepResult],
    num_configurations: int,
    images: tf.Tensor,
    labels: tf.Tensor,
) -> StepResult:
    return _train(
        train_step,
        num_configurations,
        lambda number: (images[number], labels[number]),
        tf.shape(images)[0],
    )


def _train(
    train_step: Callable[[tf.Tensor, tf.Tensor], StepResult],
    num_configurations: int,
    batch: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    num_batches: tf.Tensor,
) -> StepResult:
    loss = tf.zeros([])
    posterior = tf.zeros([num_configurations])
    for number in tf.range(num_batches):
        result = train_step(*batch(number))
        loss += result.loss
        if result.posterior is not None:
            posterior += result.posterior
    count = tf.cast(num_batches, tf.float32)
    return StepResult(loss / count, posterior / count)
