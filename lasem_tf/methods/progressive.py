"""Progressive networks: a frozen column for every task that was learned."""

from __future__ import annotations

import functools
from typing import Any

import keras
import tensorflow as tf

from lasem_tf.checks import InputError, check_at_least
from lasem_tf.layers.filter_source import fresh
from lasem_tf.methods.model_per_task import ModelPerTask
from lasem_tf.networks.backbones import Backbone
from lasem_tf.networks.convolutions import convolutions
from lasem_tf.networks.layer_graph import LayerGraph, Step
from lasem_tf.networks.selective_network import with_training
from lasem_tf.tasks import Task


class Progressive(ModelPerTask):
    """Adds one network per task, fed by the frozen ones of earlier tasks.

    Every task has a column: a network of its own. The activation with which
    an earlier column feeds its convolution l also feeds, through an adapter
    that belongs to the new task, the new column's convolution l, from the
    second convolution on. Columns are frozen when their task ends, so nothing
    is ever forgotten; parameters and time grow with the square of the number
    of tasks.

    Source: Rusu et al. (2016), Eq. 2, with the adapters of their Section 2.1
    as Lee, Behpour & Eaton (2021) have them for convolutions, one for each
    pair of columns:

        h_l^(k) = f(W_l h_(l-1)^(k) + sum_(j<k) U_j relu(V_j a_j h_(l-1)^(j)))

    Symbols: a = learned scalar, V = 1x1 convolution to 1 / `compression` as
    many channels, U = convolution as W_l is, ungrouped; h_(l-1) = what feeds
    convolution l, pooling included. Dense layers get nothing from other
    columns: in this library they belong to their task alone.

    Args:
        backbone: See `NetworkMethod`.
        compression: By how much adapters reduce the channels, at least 1.
        **network_method: See `NetworkMethod`.

    Raises:
        InputError: If `compression` is below 1; when a task begins whose
            images are of another shape than the first one's.
    """

    name = "progressive"

    def __init__(
        self, backbone: Backbone, compression: float = 2, **network_method
    ):
        super().__init__(backbone, **network_method)
        check_at_least("compression", compression, 1)
        self.compression = compression
        self._images: Any = None
        # Per column and convolution, what feeds each of its calls.
        self._inputs: list[list[list[Any]]] = []
        # The current task's model as in training: own column alone, since
        # Keras' `training` would turn on the dropout of all columns.
        self._training_model: keras.Model | None = None

    def _new_model(self, task: Task) -> keras.Model:
        if self._images is None:
            self._images = keras.Input(task.image_shape)
        if tuple(self._images.shape[1:]) != task.image_shape:
            raise InputError(
                "Progressive networks need images of one shape, here "
                f"{tuple(self._images.shape[1:])}.",
                received=f"task '{task.name}' with {task.image_shape}",
                remedy="Resize the images.",
            )
        plain = self._networks.new(task.image_shape, task.num_classes)
        column = _Column(plain, self._inputs, self.compression)
        training, _ = column.run(self._images, True)
        logits, inputs = column.run(self._images, False)
        self._training_model = keras.Model(self._images, training)
        self._inputs.append(inputs)
        return keras.Model(self._images, logits)

    def _own_layers(self) -> list[keras.Layer]:
        """Returns the current task's column and its adapters."""
        *earlier, current = self._models
        frozen = {id(layer) for model in earlier for layer in model.layers}
        return [layer for layer in current.layers if id(layer) not in frozen]

    def _trained_weights(self) -> list[keras.Variable]:
        return [w for la in self._own_layers() for w in la.trainable_weights]

    def _penalties(self) -> list[tf.Tensor]:
        # Those of earlier columns would only be constants in the loss.
        return [loss for la in self._own_layers() for loss in la.losses]

    def _logits(self, images):
        return self._training_model(images)


@keras.saving.register_keras_serializable(package="lasem_tf")
class LearnedScale(keras.layers.Layer):
    """Multiplies by one learned number, small at first.

    Call arguments:
        inputs: float32, of any shape.

    Output shape: That of `inputs`.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the number."""
        self.scale = self.add_weight(
            shape=(),
            initializer=keras.initializers.RandomNormal(stddev=0.05),
            name="scale",
        )

    def call(self, inputs: Any) -> Any:
        """Multiplies."""
        return inputs * self.scale


class _Column:
    """The layers of one task, and how they are connected.

    Args:
        model: A new network; its layers are taken over.
        earlier: Per earlier column and convolution, what feeds its calls.
        compression: Of the adapters.
    """

    def __init__(
        self,
        model: keras.Model,
        earlier: list[list[list[Any]]],
        compression: float,
    ):
        found = convolutions(model)
        self._number = {id(layer): n for n, layer in enumerate(found)}
        self._graph = LayerGraph(model)
        self._earlier = earlier
        # A model's layers must have names of their own.
        for layer in self._graph.layers():
            layer.name = f"column_{len(earlier)}_{layer.name}"
        self._activations = []
        self._adapters = []
        for number, layer in enumerate(found):
            self._activations.append(layer.activation)
            if number and earlier:
                layer.activation = keras.activations.linear
            self._adapters.append(
                [
                    _adapter(layer, column[number][0], compression)
                    for column in (earlier if number else [])
                ]
            )

    def run(self, images: Any, training: bool) -> tuple[Any, list[list[Any]]]:
        """Returns logits and what feeds each convolution's calls, symbolic.

        Args:
            images: Symbolic too.
            training: Whether this column's dropout is on.
        """
        inputs: list[list[Any]] = [[] for _ in self._number]

        def call(step: Step, args: tuple, kwargs: dict) -> Any:
            number = self._number.get(id(step.layer))
            outputs = step.layer(
                *args, **with_training(step.layer, kwargs, training)
            )
            if number is None:
                return outputs
            so_far = len(inputs[number])
            inputs[number].append(args[0])
            if not self._adapters[number]:
                return outputs
            laterals = [
                functools.reduce(_call, adapter, column[number][so_far])
                for adapter, column in zip(
                    self._adapters[number], self._earlier, strict=True
                )
            ]
            total = keras.ops.sum(keras.ops.stack([outputs, *laterals]), axis=0)
            return self._activations[number](total)

        values = self._graph.run(images, call)
        return values[self._graph.output], inputs


def _call(value: Any, layer: keras.layers.Layer) -> Any:
    return layer(value)


def _adapter(
    convolution: keras.layers.Conv2D, lateral: Any, compression: float
) -> list[keras.layers.Layer]:
    """Returns what goes from an earlier column to one convolution."""
    channels_first = convolution.data_format == "channels_first"
    num_channels = lateral.shape[1 if channels_first else -1]
    compress = keras.layers.Conv2D(
        max(1, round(num_channels / compression)),
        1,
        activation="relu",
        data_format=convolution.data_format,
        kernel_initializer=fresh(convolution.kernel_initializer),
        bias_initializer=fresh(convolution.bias_initializer),
    )
    project = keras.layers.Conv2D(
        convolution.filters,
        convolution.kernel_size,
        strides=convolution.strides,
        padding=convolution.padding,
        dilation_rate=convolution.dilation_rate,
        data_format=convolution.data_format,
        use_bias=False,
        kernel_initializer=fresh(convolution.kernel_initializer),
    )
    return [LearnedScale(), compress, project]
