"""One tensor for several partial configurations, and the rows it is made of.

An activation depends only on the choices made in selective layers before it.
So each tensor carries the layers it depends on and holds one row per distinct
restriction of the candidates to those layers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from lasem_tf.transfer import TransferConfiguration

Restriction = tuple[bool, ...]


@dataclasses.dataclass(frozen=True)
class Branches:
    """A tensor for several partial configurations at once.

    What one slot's filters gave and what the other's did are kept apart for
    as long as every layer takes them one by one: pooling makes them smaller,
    and joining what is small is cheap.

    Attributes:
        parts: One or two, float [num_rows_of_part * batch, ...] each; rows one
            after another.
        layers: The selective layers it depends on, ascending.
        rows: For each row the choices in `layers`.
    """

    parts: tuple[tf.Tensor, ...]
    layers: tuple[int, ...]
    rows: tuple[Restriction, ...]

    def joined(self) -> Branches:
        """The same in one part."""
        if len(self.parts) == 1:
            return self
        tensor = tf.concat(self.parts, axis=0)
        return dataclasses.replace(self, parts=(tensor,))

    def sources(
        self, layers: tuple[int, ...], rows: Sequence[Restriction]
    ) -> list[int]:
        """Says which row each wanted row comes from.

        Args:
            layers: Ascending, those of these branches among them.
            rows: Restrictions to `layers`.
        """
        positions = [layers.index(index) for index in self.layers]
        row_of = {row: number for number, row in enumerate(self.rows)}
        return [row_of[tuple(row[p] for p in positions)] for row in rows]

    def take(self, numbers: list[int], batch: int | tf.Tensor) -> tf.Tensor:
        """Returns some rows, copied only if need be.

        Args:
            numbers: Which.
            batch: Images per row.

        Returns:
            float32 [len(numbers) * batch, ...].
        """
        (tensor,) = self.joined().parts
        if numbers == list(range(len(self.rows))):
            return tensor
        shape = tensor.shape[1:]
        by_row = tf.reshape(tensor, [len(self.rows), batch, *shape])
        return tf.reshape(tf.gather(by_row, numbers), [-1, *shape])

    def row(self, number: tf.Tensor) -> tf.Tensor:
        """Returns one row, float32 [batch, ...], without joining parts.

        Args:
            number: int [].
        """
        batch = sum(tf.shape(part)[0] for part in self.parts) // len(self.rows)

        def of(part: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
            shape = [-1, batch, *part.shape[1:]]
            return tf.gather(tf.reshape(part, shape), number)

        if len(self.parts) == 1:
            return of(self.parts[0], number)
        first, second = self.parts
        size = tf.cast(tf.shape(first)[0] // batch, number.dtype)
        # Not `tf.where`, which would go through what it does not take.
        return tf.cond(
            number < size,
            lambda: of(first, number),
            lambda: of(second, number - size),
        )


def restrict(
    configuration: TransferConfiguration, layers: tuple[int, ...]
) -> Restriction:
    """Returns what a configuration chooses in `layers`."""
    return tuple(configuration.shared[index] for index in layers)
