"""One task's network with a shared and a task-specific slot per layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.layers.filter_source import Filters, FilterSource, SharingRule
from lasem_tf.layers.selective_conv import (
    Convolve,
    SelectiveConv2D,
    SlotFilters,
    pick,
    plainly,
)
from lasem_tf.networks.convolutions import convolutions
from lasem_tf.networks.layer_graph import (
    LayerGraph,
    Step,
    Value,
    added_losses,
    seed_states,
    takes_training,
)
from lasem_tf.transfer import TransferConfiguration


class SelectiveNetwork(keras.Model):
    """Any Keras functional network whose convolutions choose their filters.

    Every `Conv2D` becomes a `SelectiveConv2D`: the convolution's own variables
    fill its task-specific slot, the sharing rule fills the shared one. All
    other layers stay as they are and belong to the task.

    Called with a mask it is one network and costs one network. To evaluate
    many configurations at once see `BranchedEvaluation`.

    Args:
        model: Functional or Sequential model, images -> logits. Its layers
            are taken over: make a new one for each task.
        sharing: The base learner.
        knowledge_base: Per selective layer the variables that all tasks hold
            in common; `None` for the first task, which creates them.

    Call arguments:
        images: float32 [batch, height, width, channels].
        mask: bool [num_layers], True where the layer shares, in the order of
            `convolutions`: input side first.
        training: bool. Whether dropout is on.

    Output shape: float32 [batch, num_classes] logits.

    Raises:
        InputError: If the model has no convolution to share, one that cannot
            take its filters from elsewhere, or others than the knowledge base
            or the base learner were made for; if a mask does not hold one
            flag per selective layer.
    """

    def __init__(
        self,
        model: keras.Model,
        sharing: SharingRule,
        knowledge_base: Sequence[list[keras.Variable]] | None = None,
    ):
        super().__init__(name=f"selective_{model.name}")
        self.built = True
        self.image_shape = tuple(model.inputs[0].shape[1:])
        found = convolutions(model)
        _check_depth(model, len(found), knowledge_base)
        sharing.check_fits(len(found))
        self.selective_layers = [
            SelectiveConv2D(
                layer,
                sharing.filter_source(
                    index, layer, knowledge_base and knowledge_base[index]
                ),
            )
            for index, layer in enumerate(found)
        ]
        selective = dict(
            zip(map(id, found), self.selective_layers, strict=True)
        )
        self.graph = LayerGraph(
            model, lambda layer: selective.get(id(layer), layer)
        )
        # Never read: through it Keras finds the seeds of random layers.
        self._other_layers = [
            layer
            for layer in self.graph.layers()
            if isinstance(layer, keras.Layer)
            and not isinstance(layer, SelectiveConv2D)
        ]
        convolution_weights = {id(v) for c in found for v in c.weights}
        self.other_weights = [
            w for w in model.weights if id(w) not in convolution_weights
        ]

    @property
    def num_layers(self) -> int:
        """How many layers can share."""
        return len(self.selective_layers)

    @property
    def knowledge_base(self) -> list[list[keras.Variable]]:
        """Per selective layer the variables that all tasks hold in common."""
        return [
            list(layer.shared.knowledge_base) for layer in self.selective_layers
        ]

    @property
    def own_weights(self) -> list[keras.Variable]:
        """All but the knowledge base: the weights of this network alone."""
        mappings = [
            variable
            for layer in self.selective_layers
            for source in (layer.shared, layer.task)
            for variable in source.task_mapping
        ]
        return [*mappings, *self.other_weights]

    def take_over(self, network: SelectiveNetwork) -> None:
        """Puts another network's own weights in place, as they are now.

        Args:
            network: Of the same architecture.

        Raises:
            InputError: If it is of another one.
        """
        expected, received = (
            [tuple(weight.shape) for weight in n.own_weights]
            for n in (self, network)
        )
        if received != expected:
            raise InputError(
                "For images of one shape a backbone must always be the same "
                f"network, here with weights of shapes {expected}.",
                received=f"one with weights of shapes {received}",
                remedy="Take out what differs between its calls.",
            )
        for own, new in zip(self.own_weights, network.own_weights, strict=True):
            own.assign(new)

    @property
    def seed_states(self) -> list[keras.Variable]:
        """States of the random number generators of dropout and the like."""
        return seed_states(self)

    def filters(self) -> list[SlotFilters]:
        """Generates the filters of both slots of every selective layer."""
        return [layer.filters() for layer in self.selective_layers]

    def regularization(self) -> tf.Tensor:
        """Returns the penalties, float32 [2, num_layers]: shared, own slot."""
        return tf.stack(
            [
                [
                    layer.shared.regularization()
                    for layer in self.selective_layers
                ],
                [
                    layer.task.regularization()
                    for layer in self.selective_layers
                ],
            ]
        )

    def other_regularization(self) -> tf.Tensor:
        """Returns the penalties of weights that never share, float32 []."""
        penalties = [
            weight.regularizer(weight)
            for weight in self.other_weights
            if weight.trainable and weight.regularizer is not None
        ]
        return tf.add_n(penalties) if penalties else tf.zeros([])

    def sources_used(
        self, configurations: Sequence[TransferConfiguration]
    ) -> list[FilterSource]:
        """Returns the filter sources that some configuration uses."""
        sources = []
        for index, layer in enumerate(self.selective_layers):
            choices = {c.shared[index] for c in configurations}
            sources += [layer.shared] if True in choices else []
            sources += [layer.task] if False in choices else []
        return sources

    def trainable_weights_of(
        self, configurations: Sequence[TransferConfiguration]
    ) -> list[keras.Variable]:
        """Returns the weights that training these configurations can move."""
        others = {id(v): v for v in self.other_weights if v.trainable}
        for source in self.sources_used(configurations):
            for variable in (*source.knowledge_base, *source.task_mapping):
                if variable.trainable:
                    others[id(variable)] = variable
        return list(others.values())

    def __call__(
        self, images: tf.Tensor, mask: tf.Tensor, **kwargs: Any
    ) -> tf.Tensor:
        """Checks the mask where Keras does not rewrite our error."""
        mask = tf.convert_to_tensor(mask)
        if not mask.shape.is_compatible_with([self.num_layers]):
            raise InputError(
                "`mask` must hold one flag per convolutional layer, here "
                f"{self.num_layers}.",
                received=f"a mask of shape {tuple(mask.shape)}",
                remedy="Pass for example the `shared` of a "
                "TransferConfiguration.",
            )
        return super().__call__(images, mask, **kwargs)

    def call(
        self,
        images: tf.Tensor,
        mask: tf.Tensor,
        training: bool = False,
    ) -> tf.Tensor:
        """Returns the logits of the configuration that the mask says."""
        mask = tf.ensure_shape(tf.cast(mask, tf.bool), [self.num_layers])
        picked = [
            pick(filters, mask[index])
            for index, filters in enumerate(self.filters())
        ]
        return self.logits(images, picked, training)

    def logits(
        self,
        images: tf.Tensor,
        filters: Sequence[Filters],
        training: bool,
        convolve: Convolve = plainly,
        added: list[tf.Tensor] | None = None,
    ) -> tf.Tensor:
        """Returns the logits of a plain network with the given filters.

        Args:
            images: float32 [batch, height, width, channels].
            filters: `(kernel, bias)` per selective layer.
            training: Whether dropout is on.
            convolve: As in `activations`.
            added: As in `activations`.
        """
        values = self.activations(images, filters, training, convolve, added)
        return values[self.graph.output]

    def activations(
        self,
        images: tf.Tensor,
        filters: Sequence[Filters],
        training: bool | Callable[[Any], bool],
        convolve: Convolve = plainly,
        added: list[tf.Tensor] | None = None,
    ) -> dict[Value, Any]:
        """Returns every value of a plain network with the given filters.

        Args:
            images: As in `logits`.
            filters: As in `logits`.
            training: As in `logits`, or a function that says it of a layer.
            convolve: Called in place of `layer.convolve`, with a key besides
                that stands for the output: its value.
            added: Is given the losses that layers add, float32 [] each.
        """
        of_layer = {
            id(layer): f
            for layer, f in zip(self.selective_layers, filters, strict=True)
        }

        def call(step: Step, args: tuple, kwargs: dict) -> Any:
            layer = step.layer
            if isinstance(layer, SelectiveConv2D):
                picked = of_layer[id(layer)]
                return convolve(layer, args[0], picked, step.outputs[0])
            active = training(layer) if callable(training) else training
            outputs = layer(*args, **with_training(layer, kwargs, active))
            if added is not None:
                added.extend(added_losses(layer))
            return outputs

        return self.graph.run(images, call)


def _check_depth(
    model: keras.Model,
    depth: int,
    knowledge_base: Sequence[list[keras.Variable]] | None,
) -> None:
    """Refuses a model without layers to share, or with other ones."""
    if not depth:
        raise InputError(
            "The backbone needs at least one `keras.layers.Conv2D`.",
            received=f"layers {[layer.name for layer in model.layers]}",
            remedy="Only Conv2D layers can share filters.",
        )
    if knowledge_base is not None and depth != len(knowledge_base):
        raise InputError(
            "A later task's network must have as many convolutions as the "
            f"first one's, {len(knowledge_base)}.",
            received=f"{depth} convolutions",
            remedy="Use a backbone whose depth does not depend on the image.",
        )


def with_training(layer: Any, kwargs: dict, training: bool) -> dict:
    """Returns the keyword arguments with `training` set if it is understood.

    Args:
        layer: The layer to be called.
        kwargs: Its recorded keyword arguments.
        training: Whether dropout is on.
    """
    return {**kwargs, "training": training} if takes_training(layer) else kwargs
