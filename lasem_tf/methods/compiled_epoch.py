"""One epoch as one compiled call."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import tensorflow as tf

from lasem_tf.checks import InputError

# With XLA so many mini-batches lie on the device at once, in a program that
# does not depend on how many an epoch has.
_AT_ONCE = 32


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
    some mini-batches at a time are put on the device, and a call goes through
    these.

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
            jit_compile: Whether XLA compiles it, if all have one shape.

        Raises:
            InputError: If it is not known how many there are, or there is
                none.
        """
        num_batches = _num_batches_of(batches)
        if jit_compile and _of_one_shape(batches):
            sums = [self._stacked(*part) for part in _parts(batches)]
        else:
            sums = [self._iterated(iter(batches), num_batches)]
        count = tf.cast(num_batches, tf.float32)
        loss, posterior = (
            tf.add_n(of_parts) / count for of_parts in zip(*sums, strict=True)
        )
        return StepResult(loss, posterior)

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


def _of_one_shape(batches: tf.data.Dataset) -> bool:
    return all(s.shape.is_fully_defined() for s in batches.element_spec)


def _parts(
    batches: tf.data.Dataset,
) -> Iterator[tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
    """Yields images and labels of `_AT_ONCE` mini-batches, how many are."""
    for part in batches.batch(_AT_ONCE):
        count = part[0].shape[0]
        padding = [0, _AT_ONCE - count]
        images, labels = (
            tf.pad(tensor, [padding, *[[0, 0]] * (tensor.shape.rank - 1)])
            for tensor in part
        )
        yield images, labels, tf.constant(count)


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
    num_batches: tf.Tensor,
) -> StepResult:
    return _train(
        train_step,
        num_configurations,
        lambda number: (tf.gather(images, number), tf.gather(labels, number)),
        num_batches,
    )


def _train(
    train_step: Callable[[tf.Tensor, tf.Tensor], StepResult],
    num_configurations: int,
    batch: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    num_batches: tf.Tensor,
) -> StepResult:
    """Returns the sums over mini-batches."""
    loss = tf.zeros([])
    posterior = tf.zeros([num_configurations])
    for number in tf.range(num_batches):
        result = train_step(*batch(number))
        loss += result.loss
        if result.posterior is not None:
            posterior += result.posterior
    return StepResult(loss, posterior)
