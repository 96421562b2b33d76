"""Channel-gated networks: tasks choose among the filters of one network."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lasem_tf.checks import (
    InputError,
    check_at_least,
    check_count,
    check_fraction,
)
from lasem_tf.layers.channel_gates import ChannelGates, GatedChannels
from lasem_tf.layers.freezable_filters import FreezableFilters
from lasem_tf.methods.compiled_epoch import StepResult
from lasem_tf.methods.model_per_task import ModelPerTask
from lasem_tf.methods.task_parameters import Variables
from lasem_tf.methods.trainer import total_loss
from lasem_tf.networks.backbones import Backbone
from lasem_tf.networks.convolutions import convolutions
from lasem_tf.networks.layer_graph import LayerGraph, Step
from lasem_tf.seeding import derive_seed
from lasem_tf.tasks import Task
from lasem_tf.tf_data import untuned

_RELEVANCE_BATCH_SIZE = 100


class ChannelGated(ModelPerTask):
    """Gives every task gates that choose filters of one shared network.

    All tasks share the convolutions of the first one's network; dense layers,
    head and whatever else the backbone has belong to each task alone. For
    each convolution a task has a gating module, which opens or closes the
    convolution's channels image by image. Filters whose gates open on the
    task's validation images (on its training images if there are none) are
    frozen when the task ends: later tasks may use them, but not change them.
    The others are drawn anew, and the task's own gates to them are closed for
    good; so what a finished task answers never changes by a bit. Once all
    filters of a convolution are frozen, later tasks can only choose among
    them: nothing is said, and learning goes on.

    A gate stands right behind its `Conv2D` layer, the layer's activation
    included; what follows, pooling or normalization, belongs to the task.

    Deviations: layer normalization in the gating module, and gates that start
    open, see `ChannelGates`; the number of open gates is penalised from the
    first step on. The paper's network that guesses the task is left out: here
    the task is known.

    Source: Abati et al. (2020), with the task known at test time:

        h_(l+1) = G_l(h_l) * conv_l(h_l)
        loss = cross-entropy
            + sparsity_weight * mean over l of the share of open gates in G_l
        relevance of a channel = share of the validation images that open it

    Args:
        backbone: See `NetworkMethod`.
        sparsity_weight: lambda_s, at least 0, in nats per share of open
            gates. The higher, the fewer filters a task takes.
        relevance_threshold: Channels of higher relevance are kept, in [0, 1].
            Above 0 a task loses filters that it seldom uses when it ends.
        gate_units: Hidden units of a gating module.
        **network_method: See `NetworkMethod`.

    Raises:
        InputError: If an argument is outside its range; when a task begins
            without a convolution, or with others than the first task's.
    """

    name = "channel_gated"

    def __init__(
        self,
        backbone: Backbone,
        sparsity_weight: float = 0.5,
        relevance_threshold: float = 0.0,
        gate_units: int = 16,
        **network_method,
    ):
        super().__init__(backbone, **network_method)
        check_at_least("sparsity_weight", sparsity_weight, 0)
        check_fraction("relevance_threshold", relevance_threshold)
        check_count("gate_units", gate_units, 1)
        self.sparsity_weight = sparsity_weight
        self.relevance_threshold = relevance_threshold
        self.gate_units = gate_units
        # Of each convolution, shared by all tasks.
        self._filters: list[FreezableFilters] = []
        # Of the current task: its gating modules, and its model with the
        # gates as further outputs, per convolution and call of it.
        self._gates: list[ChannelGates] = []
        self._model_with_gates: keras.Model | None = None

    def _new_model(self, task: Task) -> keras.Model:
        plain = self._networks.new(task.image_shape, task.num_classes)
        found = convolutions(plain)
        if not self._models:
            _prefix_names("shared", found)
            self._filters = [FreezableFilters(layer) for layer in found]
        _check_alike(task, found, [f.convolution for f in self._filters])
        self._gates = [
            ChannelGates(
                layer.filters,
                self.gate_units,
                data_format=layer.data_format,
                name=f"gates_{number}",
            )
            for number, layer in enumerate(found)
        ]
        images = keras.Input(task.image_shape)
        logits, gates = self._gated(plain, found, images)
        self._model_with_gates = keras.Model(images, [logits, gates])
        return keras.Model(images, logits)

    def _gated(
        self, plain: keras.Model, found: list[keras.layers.Conv2D], images: Any
    ) -> tuple[Any, list[list[Any]]]:
        """Runs a network with shared convolutions, and gates behind them.

        Args:
            plain: The network, whose other layers are taken over.
            found: Its convolutions, in the place of which others are called.
            images: Symbolic.

        Returns:
            Logits, and per convolution its gates in each call, symbolic.
        """
        graph = LayerGraph(plain)
        shared = [filters.convolution for filters in self._filters]
        apply = [
            GatedChannels(layer.data_format, name=f"gated_{number}")
            for number, layer in enumerate(found)
        ]
        number_of = {id(layer): n for n, layer in enumerate(found)}
        own = [layer for layer in graph.layers() if id(layer) not in number_of]
        _prefix_names("own", own)
        opened: list[list[Any]] = [[] for _ in found]

        def call(step: Step, args: tuple, kwargs: dict) -> Any:
            number = number_of.get(id(step.layer))
            if number is None:
                return step.layer(*args, **kwargs)
            gates = self._gates[number](args[0])
            opened[number].append(gates)
            return apply[number](shared[number](args[0]), gates)

        return graph.run(images, call)[graph.output], opened

    def _loss(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        model = self._model_with_gates
        logits, gates = model(images, training=True)
        sparsity = self.sparsity_weight * open_share(gates)
        return total_loss(labels, logits, [sparsity, *model.losses])

    def _train_step(self, images: tf.Tensor, labels: tf.Tensor) -> StepResult:
        before = [filters.values() for filters in self._filters]
        result = super()._train_step(images, labels)
        for filters, values in zip(self._filters, before, strict=True):
            filters.put_back(values)
        return result

    def end_task(self) -> None:
        """See `LifelongMethod.end_task`."""
        relevance = self._relevance()
        # So a continued run draws the same filters.
        number = len(self._models) - 1
        keras.utils.set_random_seed(
            derive_seed(self.seed, "renewed_filters", number)
        )
        for gates, filters, share in zip(
            self._gates, self._filters, relevance, strict=True
        ):
            relevant = share > self.relevance_threshold
            gates.close_all_but(relevant)
            filters.freeze(relevant)
            filters.renew()
        self._model_with_gates = None
        super().end_task()

    def _relevance(self) -> list[np.ndarray]:
        """Returns how often gates open on the current task's images.

        Returns:
            Per convolution float64 [filters], in [0, 1].
        """
        task = self._task
        has_validation = int(task.validation.cardinality()) > 0
        examples = task.validation if has_validation else task.train
        counts = [np.zeros(gates.filters) for gates in self._gates]
        for images, _ in untuned(examples.batch(_RELEVANCE_BATCH_SIZE)):
            _, opened = self._model_with_gates(
                task.preprocess(images), training=False
            )
            for count, calls in zip(counts, opened, strict=True):
                # A convolution called twice needs what either call opens.
                count += np.max(calls, axis=0).astype(bool).sum(axis=0)
        return [count / int(examples.cardinality()) for count in counts]

    @property
    def state(self) -> dict[str, tf.Module]:
        """See `LifelongMethod.state`."""
        frozen = Variables([filters.frozen for filters in self._filters])
        return {**super().state, "frozen": frozen}

    @property
    def num_parameters(self) -> int:
        """See `LifelongMethod.num_parameters`."""
        if not self._num_finished:
            return 0
        # Filters that are not frozen are of no use to a finished task.
        free = sum(filters.num_free for filters in self._filters)
        return super().num_parameters - free


def open_share(gates: list[list[tf.Tensor]]) -> tf.Tensor:
    """Returns the share of open gates, each convolution counted alike.

    Args:
        gates: Per convolution and call of it float [batch, filters].

    Returns:
        float32 []. In [0, 1].
    """
    shares = [
        tf.reduce_mean(tf.cast(tf.stack(calls), tf.float32)) for calls in gates
    ]
    return tf.add_n(shares) / len(shares)


def _prefix_names(role: str, layers: list[Any]) -> None:
    """Makes names unique: a model refuses two layers of one name."""
    for number, layer in enumerate(layers):
        layer.name = f"{role}_{number}_{layer.name}"


def _check_alike(
    task: Task,
    found: list[keras.layers.Conv2D],
    shared: list[keras.layers.Conv2D],
) -> None:
    """Refuses a network that cannot do with the shared convolutions."""
    if not found:
        raise InputError(
            "The backbone needs at least one `keras.layers.Conv2D`.",
            received=f"none for task '{task.name}'",
            remedy="Only Conv2D layers have channels that gates can close.",
        )
    remedy = (
        "Give all tasks images of one number of channels, and a backbone of "
        "the same convolutions."
    )
    if len(found) != len(shared):
        raise InputError(
            "The backbone must have as many convolutions for each task, here "
            f"{len(shared)}.",
            received=f"{len(found)} for task '{task.name}'",
            remedy=remedy,
        )
    for number, (new, old) in enumerate(zip(found, shared, strict=True), 1):
        if _geometry(new) != _geometry(old):
            raise InputError(
                f"Convolution {number} of a later task must be like the one "
                f"that earlier tasks share, with {_geometry(old)}.",
                received=f"{_geometry(new)} for task '{task.name}'",
                remedy=remedy,
            )


def _geometry(layer: keras.layers.Conv2D) -> str:
    """Says what two convolutions must agree in to do with one's filters."""
    told = {"kernel": tuple(layer.kernel.shape)}
    for name in ("strides", "padding", "dilation_rate", "groups", "use_bias"):
        told[name] = getattr(layer, name)
    return ", ".join(f"{name} {value}" for name, value in told.items())
