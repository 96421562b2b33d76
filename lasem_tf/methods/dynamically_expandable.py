"""DEN for CNNs: one network that grows where tasks ask for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lasem_tf.checks import InputError, check_at_least, check_count
from lasem_tf.layers.growing_conv import GrowingConv
from lasem_tf.methods.den_trainer import DenSettings, DenTrainer
from lasem_tf.methods.lifelong_method import EpochResult
from lasem_tf.methods.model_per_task import ModelPerTask
from lasem_tf.networks.backbones import Backbone
from lasem_tf.networks.widths import ConvolutionChain
from lasem_tf.tasks import Task


class DynamicallyExpandable(ModelPerTask):
    """Retrains what a task needs of one network, and adds what it lacks.

    DEN was published for fully connected networks; this version for CNNs is
    ours. A *unit* is one filter of a convolution, with its bias; the weight
    between two units is a filter's slice for the lower one's channel. All
    tasks share the convolutions, of which there is one growing set; dense
    layers and head belong to each task. The epochs of the first task train
    everything. Those of a later one are divided into four phases:

    1. *Selection.* Only the task's dense layers are trained, with an L1
       penalty. Units that they use are selected, and units of lower layers
       that have a nonzero weight to a selected one.
    2. *Selective retraining.* Weights between selected units are trained,
       pulled to their values before the task by an L2 penalty.
    3. *Expansion*, if the loss of the last epoch is above `loss_threshold`:
       `num_new_units` per layer are added, and weights from or to them alone
       are trained. A group lasso, a new filter being a group, makes useless
       ones zero; these are taken away. Otherwise retraining goes on.
    4. *Split.* An earlier unit that has moved by more than `drift_threshold`
       becomes two: its place gets the values of before the task back, the
       copy keeps the new ones. At most `num_new_units` per layer are split,
       those that moved farthest. Then all weights are trained, the pull on.

    A copy feeds what its original feeds, with the same weights; where this is
    the task's own dense layer, the original's weights become zero, so that
    nothing changes there. In lower layers both feed the same units, as in
    the authors' code.

    As in the authors' code drift is measured as soon as new units are trained;
    in the paper all weights are trained once before, and again after the
    split. Unlike there, weights of a later task are pulled to what they were
    before it, and to nothing else: there is no weight decay besides.

    *Timestamps*: units are only ever appended, and a task sees the units that
    there were when it ended: of each filter the slices up to then. What came
    later is hidden from it. Units that it sees may still be moved by later
    tasks, so DEN forgets. Checkpoints and `num_parameters` hold each filter
    once; in memory every finished task has a copy of those that it sees.

    Source: Yoon, Yang, Lee & Hwang (2018), "Lifelong Learning with
    Dynamically Expandable Networks", Algorithms 1 to 4, Eq. 1 to 5:

        W <- W - step of d/dW (cross-entropy + l2_weight |W - W_before|^2)
        W <- sign(W) max(|W| - l1_weight, 0)
        w_o <- w_o max(1 - rate group_weight / |w_o|, 0), a new filter o

    The penalties of L1 and group lasso are proximal steps after the
    optimizer's, as in the authors' code. There, every step subtracts the
    weights of both penalties themselves. Here the group lasso's is multiplied
    by the learning rate, as for a proximal gradient step: with the weight of
    Lee, Behpour & Eaton (2021), 0.8, any new filter would else be gone after
    two steps.

    A task has places for `2 * num_new_units` more filters per layer than there
    were before it, so that growth needs no compilation; places behind the last
    filter that exists cost nothing.

    Args:
        backbone: See `NetworkMethod`; a chain of convolutions, see
            `ConvolutionChain`.
        num_epochs: Epochs of each task, as the run is told.
        phase_shares: Shares of the epochs for the four phases; one of 0 is
            left out.
        l1_weight: Of the L1 penalty on convolutions and first dense layer.
        l2_weight: Of the squared distance to the values before the task.
        group_weight: Of the group lasso.
        loss_threshold: Nats, of the mean loss of the epoch before: as it is
            descended, dropout on and penalties included.
        drift_threshold: Euclidean distance of a filter from its old values.
        num_new_units: k, per layer.
        **network_method: See `NetworkMethod`.

    Raises:
        InputError: If a number is too small or not whole, or if shares are
            not four that sum to 1; when a task begins whose network is no
            chain or has other kernels than the first one's.
    """

    name = "dynamically_expandable"
    compiles_with_xla = False

    def __init__(
        self,
        backbone: Backbone,
        num_epochs: int,
        phase_shares: Sequence[float] = (0.2, 0.3, 0.3, 0.2),
        l1_weight: float = 1e-6,
        l2_weight: float = 0.01,
        group_weight: float = 0.8,
        loss_threshold: float = 0.01,
        drift_threshold: float = 0.5,
        num_new_units: int = 32,
        **network_method,
    ):
        super().__init__(backbone, **network_method)
        check_count("num_epochs", num_epochs, 1)
        _check_shares(phase_shares)
        check_at_least("l1_weight", l1_weight, 0)
        check_at_least("l2_weight", l2_weight, 0)
        check_at_least("group_weight", group_weight, 0)
        check_at_least("loss_threshold", loss_threshold, 0)
        check_at_least("drift_threshold", drift_threshold, 0)
        check_count("num_new_units", num_new_units, 1)
        self.num_epochs = num_epochs
        self.phase_shares = tuple(phase_shares)
        self.l1_weight = l1_weight
        self.l2_weight = l2_weight
        self.group_weight = group_weight
        self.loss_threshold = loss_threshold
        self.drift_threshold = drift_threshold
        self.num_new_units = num_new_units
        # Of the finished tasks, as large as each sees the network.
        self._chains: list[ConvolutionChain] = []

    # The life of a task.

    def _new_model(self, task: Task) -> keras.Model:
        plain = self._plain_chain(task)
        before = self._chains[-1] if self._chains else None
        widths = plain.widths
        if before is not None:
            _check_alike(task, plain, before)
            widths = [width + 2 * self.num_new_units for width in before.widths]
        self._grown = plain.resized(widths)
        if before is not None:
            self._grown.take_filters(before)
        num_alive = before.widths if before is not None else plain.widths
        self._growing = _growing(self._grown, num_alive)
        grown_by = dict(
            zip(map(id, self._grown.convolutions), self._growing, strict=True)
        )
        return self._grown.graph.model(
            lambda layer: grown_by.get(id(layer), layer)
        )

    def _plain_chain(self, task: Task) -> ConvolutionChain:
        return ConvolutionChain(
            self._networks.new(task.image_shape, task.num_classes)
        )

    def _new_trainer(self) -> DenTrainer:
        return DenTrainer(
            self._models[-1],
            self._grown,
            [layer.alive for layer in self._growing],
            self.optimizer(),
            self._chains[-1].widths if self._chains else None,
            DenSettings(*(getattr(self, name) for name in DenSettings._fields)),
        )

    def train_epoch(
        self, batches: tf.data.Dataset, global_epoch: int
    ) -> EpochResult:
        """See `LifelongMethod.train_epoch`."""
        self._trainer.begin_epoch()
        result = super().train_epoch(batches, global_epoch)
        self._trainer.end_epoch(result.loss)
        return result

    def end_task(self) -> None:
        """See `LifelongMethod.end_task`."""
        self._trainer.remove_useless()
        chain = self._without_dead_units()
        self._keep(chain)
        super().end_task()
        for index in range(len(self._chains) - 1):
            self._refresh(index)

    def selection(self, task_index: int) -> str:
        """Returns the task's filters per layer, such as `"32-48-64-64"`."""
        return "-".join(map(str, self._chains[task_index].widths))

    def rebuild_task(self, task: Task, selection: Any) -> None:
        """See `LifelongMethod.rebuild_task`."""
        widths = [int(width) for width in selection.split("-")]
        self._models.append(None)
        self._keep(self._plain_chain(task).resized(widths))

    def _keep(self, chain: ConvolutionChain) -> None:
        """Puts a finished task's own network in the place of the last one."""
        self._chains.append(chain)
        self._models[-1] = chain.model
        self._predictors.pop(len(self._models) - 1, None)

    def _without_dead_units(self) -> ConvolutionChain:
        """Returns the current task's network, as large as its units."""
        alive = [np.flatnonzero(layer.alive) for layer in self._growing]
        chain = self._plain_chain(self._task).resized(list(map(len, alive)))
        grown = self._trainer.chain
        below = slice(None)
        for new, old, units in zip(
            chain.convolutions, grown.convolutions, alive, strict=True
        ):
            kernel, *bias = (weight.numpy() for weight in old.weights)
            kept = [kernel[:, :, below][..., units], *[b[units] for b in bias]]
            new.set_weights(kept)
            below = units
        rows = np.isin(grown.channels_of_features(), alive[-1])
        kernel, *bias = grown.dense.get_weights()
        chain.dense.set_weights([kernel[rows], *bias])
        # The first of them is the dense layer that has just been done.
        _, *others = grown.own_layers
        for new, old in zip(chain.own_layers[1:], others, strict=True):
            new.set_weights(old.get_weights())
        return chain

    # What is known of a task.

    def _new_weights(self) -> list[list[keras.Variable]]:
        """Filters are the last network's; earlier ones hold copies of them."""
        own = [
            [weight for layer in chain.own_layers for weight in layer.weights]
            for chain in self._chains[: len(self._models) - 1]
        ]
        return own + [list(model.weights) for model in self._models[-1:]]

    def _refresh(self, task_index: int) -> None:
        """Gives an earlier task the filters as they are now."""
        now = self._trainer.chain if self._trainer else self._chains[-1]
        self._chains[task_index].take_filters(now)

    def task_model(self, task_index: int) -> keras.Model:
        """See `LifelongMethod.task_model`."""
        self._model(task_index)
        if task_index == len(self._chains):
            return self._without_dead_units().model
        self._refresh(task_index)
        return super().task_model(task_index)

    def predictor(self, task_index: int) -> Callable[[tf.Tensor], tf.Tensor]:
        """See `LifelongMethod.predictor`."""
        if 0 <= task_index < len(self._chains):
            self._refresh(task_index)
        return super().predictor(task_index)

    @property
    def num_parameters(self) -> int:
        """See `LifelongMethod.num_parameters`."""
        if not self._chains:
            return 0
        own = [layer for chain in self._chains for layer in chain.own_layers]
        return sum(
            math.prod(weight.shape)
            for layer in (*self._chains[-1].convolutions, *own)
            for weight in layer.weights
        )


def _growing(
    chain: ConvolutionChain, num_alive: Sequence[int]
) -> list[GrowingConv]:
    """Returns what takes the places of the convolutions."""
    layers = []
    for convolution, number in zip(chain.convolutions, num_alive, strict=True):
        layers.append(GrowingConv(convolution, number, *layers[-1:]))
    return layers


def _check_alike(
    task: Task, plain: ConvolutionChain, before: ConvolutionChain
) -> None:
    expected, received = (
        [layer.kernel.shape[:2] for layer in chain.convolutions]
        + [chain.convolutions[0].kernel.shape[2]]
        for chain in (before, plain)
    )
    if expected != received:
        raise InputError(
            "A later task's convolutions must be as many and as large as the "
            f"first one's, of sizes and channels {expected}.",
            received=f"{received} for task '{task.name}'",
            remedy="Give all tasks images of one number of channels, and a "
            "backbone of the same layers.",
        )


def _check_shares(shares: Any) -> None:
    fits = isinstance(shares, list | tuple) and len(shares) == 4
    if fits and all(isinstance(share, int | float) for share in shares):
        if min(shares) >= 0 and math.isclose(sum(shares), 1):
            return
    raise InputError(
        "`phase_shares` must be four numbers, none negative, that sum to 1.",
        received=f"phase_shares={shares}",
        remedy="Pass for example (0.2, 0.3, 0.3, 0.2).",
    )
