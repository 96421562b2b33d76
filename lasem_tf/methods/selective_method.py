"""The life of a task whose layers are shared or not: begin, end, rebuild."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from lasem_tf.layers.filter_source import SharingRule
from lasem_tf.methods.network_method import NetworkMethod, no_such_task
from lasem_tf.methods.selective_trainer import SelectiveTrainer
from lasem_tf.methods.task_parameters import TaskParameters, Variables
from lasem_tf.networks.backbones import Backbone
from lasem_tf.networks.selective_network import SelectiveNetwork
from lasem_tf.tasks import Task
from lasem_tf.transfer import TransferConfiguration


class SelectiveMethod(NetworkMethod):
    """A method whose tasks are selective networks over one knowledge base.

    It makes a new network for each task, trains it in the place of those
    before it (see `SelectiveTrainer`), and when the task ends keeps only the
    filter sources of the selected configuration: storage per task is that of
    one network. Layers that the task does not share get the knowledge base
    back as it was before the task, so that the task leaves no trace where it
    shares nothing. Subclasses say how an epoch is trained and what is
    selected.

    What trains the tasks of one image shape and number of classes stays in
    memory with all of its parameters, once for each such architecture.

    Source of roll-back and dropping: the authors' code; storage: Lee, Behpour
    & Eaton (2021), Appendix F.

    Args:
        backbone: See `NetworkMethod`.
        sharing: The base learner: what fills the shared slot.
        **network_method: See `NetworkMethod`.
    """

    def __init__(
        self, backbone: Backbone, sharing: SharingRule, **network_method
    ):
        super().__init__(backbone, **network_method)
        self.sharing = sharing
        self._knowledge_base: list[list[keras.Variable]] | None = None
        self._finished: list[TaskParameters] = []
        self._selected: list[TransferConfiguration] = []
        self._trainers: dict[tuple, SelectiveTrainer] = {}
        # Of the current task: what it is, and its own network, which holds
        # the initial weights until the task ends.
        self._task: Task | None = None
        self._network: SelectiveNetwork | None = None

    @property
    def learner(self) -> str:
        """Name of the base learner, such as `"dfcnn"`."""
        return self.sharing.name

    # What subclasses say.

    @abc.abstractmethod
    def _candidates(self, num_layers: int) -> tuple[TransferConfiguration, ...]:
        """Returns the configurations that are trained."""

    @abc.abstractmethod
    def _new_trainer(
        self,
        network: SelectiveNetwork,
        configurations: tuple[TransferConfiguration, ...],
    ) -> SelectiveTrainer:
        """Returns what trains the tasks of one architecture.

        Args:
            network: Of that architecture.
            configurations: What `_candidates` said.
        """

    @abc.abstractmethod
    def _selected_configuration(self) -> TransferConfiguration:
        """Returns the configuration that would be selected now."""

    # The life of a task.

    def begin_task(self, task: Task) -> None:
        """See `LifelongMethod.begin_task`."""
        self._begin(task)
        architecture = (task.image_shape, task.num_classes)
        if architecture not in self._trainers:
            self._trainers[architecture] = self._new_trainer(
                self._new_network(task),
                self._candidates(self._network.num_layers),
            )
        self._trainer = self._trainers[architecture]
        self._trainer.begin(self._network)

    def end_task(self) -> None:
        """See `LifelongMethod.end_task`."""
        selected = self._selected_configuration()
        self._trainer.roll_back(selected)
        self._network.take_over(self._trainer.network)
        self._keep(selected)

    def selection(self, task_index: int) -> str:
        """See `LifelongMethod.selection`."""
        return str(self._selected[task_index])

    def rebuild_task(self, task: Task, selection: Any) -> None:
        """See `LifelongMethod.rebuild_task`."""
        self._begin(task)
        self._keep(
            TransferConfiguration.parse(selection, self._network.num_layers)
        )

    def _begin(self, task: Task) -> None:
        self._seed_initial_weights(len(self._finished))
        self._task = task
        self._network = self._new_network(task)
        self._knowledge_base = self._network.knowledge_base

    def _new_network(self, task: Task) -> SelectiveNetwork:
        return SelectiveNetwork(
            self._networks.new(task.image_shape, task.num_classes),
            self.sharing,
            self._knowledge_base,
        )

    def _keep(self, selected: TransferConfiguration) -> None:
        """Keeps the selected sources and drops all else of the task."""
        self._finished.append(self._parameters(self._network, selected))
        self._selected.append(selected)
        self._task = self._network = self._trainer = None

    def _parameters(
        self, network: SelectiveNetwork, selected: TransferConfiguration
    ) -> TaskParameters:
        return TaskParameters(
            sources=tuple(
                layer.shared if shared else layer.task
                for shared, layer in zip(
                    selected.shared, network.selective_layers, strict=True
                )
            ),
            others=tuple(network.other_weights),
            image_shape=self._task.image_shape,
            num_classes=self._task.num_classes,
        )

    # What is known of a task.

    def parameters(self, task_index: int) -> TaskParameters:
        """Returns what is kept of a finished task, or would be of this one.

        What it says of this one holds until the method is called again.

        Args:
            task_index: Number of a finished or the current task.

        Raises:
            InputError: If no such task has begun.
        """
        if 0 <= task_index < len(self._finished):
            return self._finished[task_index]
        if task_index == len(self._finished) and self._trainer is not None:
            return self._parameters(
                self._trainer.network, self._selected_configuration()
            )
        raise no_such_task(task_index, len(self._finished))

    def task_model(self, task_index: int) -> keras.Model:
        """See `LifelongMethod.task_model`."""
        return self._networks.model(self.parameters(task_index))

    def predictor(self, task_index: int) -> Callable[[tf.Tensor], tf.Tensor]:
        """See `LifelongMethod.predictor`."""
        return self._networks.predictor(self.parameters(task_index))

    @property
    def state(self) -> dict[str, tf.Module]:
        """See `LifelongMethod.state`."""
        groups = {
            "knowledge_base": [
                v for vs in self._knowledge_base or [] for v in vs
            ]
        }
        for index, parameters in enumerate(self._finished):
            groups[f"task_{index}"] = parameters.own_weights
        if self._trainer is not None:
            groups |= self._trainer.state
        return {name: Variables(group) for name, group in groups.items()}

    @property
    def num_parameters(self) -> int:
        """See `LifelongMethod.num_parameters`."""
        variables = {}
        for parameters in self._finished:
            for variable in parameters.all_weights:
                variables[id(variable)] = variable
        return sum(math.prod(v.shape) for v in variables.values())
