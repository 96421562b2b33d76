"""Tasks as plain Keras networks, their chosen kernels put in place."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.methods.lifelong_method import compiled_predictor
from lasem_tf.methods.task_parameters import TaskParameters
from lasem_tf.networks.backbones import Backbone
from lasem_tf.networks.convolutions import convolutions


class PlainNetwork:
    """A plain Keras network in which tasks of one shape take turns.

    Args:
        model: A network of the tasks' backbone and head.
    """

    def __init__(self, model: keras.Model):
        self.model = model
        # Looking for the convolutions calls every layer, so it is done once.
        self._layers = convolutions(model)
        of_layers = {id(w) for layer in self._layers for w in layer.weights}
        self._others = [w for w in model.weights if id(w) not in of_layers]

    def take_over(self, parameters: TaskParameters) -> None:
        """Puts a task's kernels and other weights in place, as they are now.

        Args:
            parameters: Of the task.
        """
        for layer, source in zip(self._layers, parameters.sources, strict=True):
            kernel, bias = source()
            layer.kernel.assign(kernel)
            if bias is not None:
                layer.bias.assign(bias)
        for weight, value in zip(self._others, parameters.others, strict=True):
            weight.assign(value)


class TaskNetworks:
    """Makes the plain Keras network of a task from its parameters.

    Args:
        backbone: Function from image shape to a Keras model that ends in
            features [batch, features].
        head: Function from number of classes to the output layer.
    """

    def __init__(
        self, backbone: Backbone, head: Callable[[int], keras.layers.Layer]
    ):
        self._backbone = backbone
        self._head = head
        self._used: weakref.WeakSet[keras.Layer] = weakref.WeakSet()
        self._compiled: dict[tuple, tuple[PlainNetwork, Callable]] = {}

    def new(
        self, image_shape: tuple[int, int, int], num_classes: int
    ) -> keras.Model:
        """Returns a new network, images -> logits, with initial weights.

        Args:
            image_shape: Height, width and channels.
            num_classes: Number of logits.

        Raises:
            InputError: If the backbone does not map one image to one vector,
                or returns layers that it returned before.
        """
        backbone = self._backbone(image_shape)
        check_is_model(backbone)
        self._check_is_new(backbone)
        shapes = [tuple(tensor.shape) for tensor in backbone.outputs]
        one_to_one = len(backbone.inputs) == len(shapes) == 1
        if not one_to_one or len(shapes[0]) != 2:
            raise InputError(
                "A backbone must take one image and end in one vector of "
                "features for it.",
                received=f"{len(backbone.inputs)} inputs, outputs of shape "
                f"{shapes}",
                remedy="End it with Flatten or GlobalAveragePooling2D.",
            )
        head = self._head(num_classes)
        if head.name in {layer.name for layer in backbone.layers}:
            raise InputError(
                "The layers of a backbone must have other names than the "
                "head that is added to it.",
                received=f"a layer '{head.name}'",
                remedy="Rename the backbone's layer.",
            )
        logits = head(backbone.outputs[0])
        if logits.dtype in ("bfloat16", "float16"):
            # Losses and probabilities would suffer.
            logits = keras.ops.cast(logits, "float32")
        return keras.Model(backbone.inputs[0], logits, name=backbone.name)

    def _check_is_new(self, backbone: keras.Model) -> None:
        """Refuses a layer that another network trains already."""
        for layer in backbone.layers:
            if layer in self._used and layer.trainable_weights:
                raise InputError(
                    "A backbone must be a function that makes new layers each "
                    "time it is called: tasks would overwrite each other.",
                    received=f"the layer '{layer.name}' once more",
                    remedy="Make the layers inside the function, or copy them "
                    "there with `keras.models.clone_model`.",
                )
            self._used.add(layer)

    def model(self, parameters: TaskParameters) -> keras.Model:
        """Returns a task's network with weights of its own.

        Args:
            parameters: Of the task.
        """
        model = self.new(parameters.image_shape, parameters.num_classes)
        PlainNetwork(model).take_over(parameters)
        return model

    def predictor(
        self, parameters: TaskParameters
    ) -> Callable[[tf.Tensor], tf.Tensor]:
        """Returns a compiled function, valid until the next one is asked for.

        Tasks of one image shape and number of classes take turns in one
        compiled network, so a new task costs no new trace.

        Args:
            parameters: Of the task.
        """
        shape = (parameters.image_shape, parameters.num_classes)
        if shape not in self._compiled:
            model = self.new(*shape)
            compiled = compiled_predictor(model)
            self._compiled[shape] = PlainNetwork(model), compiled
        plain, compiled = self._compiled[shape]
        plain.take_over(parameters)
        return compiled


def check_is_model(backbone: Any) -> None:
    """Raises an `InputError` if it is no network whose ends are known.

    Args:
        backbone: What a function that makes backbones returned.
    """
    known = isinstance(backbone, keras.Model)
    if not known or not getattr(backbone, "outputs", None):
        raise InputError(
            "A backbone must be a function from the images' shape to a "
            "functional or Sequential Keras model.",
            received=f"a {type(backbone).__name__} without known outputs"
            if known
            else f"a {type(backbone).__name__}",
            remedy="Return `keras.Model(inputs, features)`, or begin a "
            "Sequential model with a `keras.Input`.",
        )
