"""What every way of learning a stream of tasks looks like from outside."""

from __future__ import annotations

import abc
import dataclasses
import functools
import hashlib
import inspect
import re
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lasem_tf.layers.filter_source import SharingRule
from lasem_tf.tasks import Task
from lasem_tf.transfer import TransferConfiguration

_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")


@dataclasses.dataclass(frozen=True)
class EpochResult:
    """What a method tells about one epoch of training.

    Attributes:
        loss: Mean over the mini-batches of the loss that was minimised.
        learning_rate: The learning rate in force during the epoch.
        configurations: The candidates, in the order of the arrays below;
            empty for methods that choose nothing.
        prior: float32 [num_configurations]. Prior after the epoch.
        posterior: float32 [num_configurations]. Mean posterior over the
            epoch's mini-batches.
    """

    loss: float
    learning_rate: float
    configurations: tuple[TransferConfiguration, ...] = ()
    prior: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    posterior: np.ndarray = dataclasses.field(
        default_factory=lambda: np.zeros(0)
    )

    @property
    def most_probable(self) -> str:
        """The configuration with the highest prior, `""` if there is none."""
        if not self.configurations:
            return ""
        return str(self.configurations[int(np.argmax(self.prior))])


def compiled_predictor(
    model: keras.Model,
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a compiled function from images to logits, dropout off.

    Args:
        model: Images -> logits; later changes of its weights are followed.
    """
    return tf.function(
        functools.partial(model, training=False),
        reduce_retracing=True,
        autograph=False,
    )


def described(thing: object, function: Callable) -> dict[str, str]:
    """Returns the attributes named like `function`'s parameters, as text.

    Args:
        thing: Keeps each argument of `function` under the argument's name.
        function: Usually a constructor.
    """
    return {
        parameter.name: _text(getattr(thing, parameter.name))
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name != "self"
        and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }


def _text(value: Any, within: tuple[int, ...] = ()) -> str:
    """Returns a text that is the same in every process.

    Args:
        value: Anything.
        within: The ids of what holds it, which may hold itself.
    """
    if id(value) in within:
        return "..."
    within = (*within, id(value))

    def texts(values: Iterable[Any]) -> list[str]:
        return [_text(v, within) for v in values]

    def pairs(of: Mapping[str, Any]) -> list[str]:
        return [f"{k}={t}" for k, t in zip(of, texts(of.values()), strict=True)]

    if isinstance(value, functools.partial):
        arguments = texts(value.args) + pairs(value.keywords)
        return f"{_text(value.func, within)}({', '.join(arguments)})"
    if inspect.ismethod(value):
        of = _text(value.__self__, within)
        return f"{value.__module__}.{value.__qualname__} of {of}"
    if callable(value) and hasattr(value, "__qualname__"):
        told = ""
        if "<" in value.__qualname__ and hasattr(value, "__code__"):
            # Nameless functions are told apart by what they do, with what.
            held = [_held_in(cell) for cell in value.__closure__ or ()]
            held += value.__defaults__ or ()
            held += (value.__kwdefaults__ or {}).values()
            told = repr((_code(value.__code__), texts(held))).encode()
            told = f"#{hashlib.sha256(told).hexdigest()[:8]}"
        return f"{value.__module__}.{value.__qualname__}{told}"
    if type(value) in (list, tuple):
        return repr(value)[0] + ", ".join(texts(value)) + repr(value)[-1]
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(texts(value))) + "}"
    if isinstance(value, Mapping):
        items = zip(texts(value), texts(value.values()), strict=True)
        return "{" + ", ".join(f"{k}: {v}" for k, v in items) + "}"
    if isinstance(value, tf.Tensor | tf.Variable | keras.Variable):
        value = np.asarray(value)
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return _text(value.tolist(), within)
        digest = hashlib.sha256(value.tobytes()).hexdigest()[:8]
        return f"{value.dtype}{list(value.shape)}#{digest}"
    parts = _parts(value)
    if parts is None:
        return _ADDRESS.sub("", repr(value))
    return f"{type(value).__qualname__}({', '.join(pairs(parts))})"


def _parts(value: Any) -> Mapping[str, Any] | None:
    """Returns what an object is made of; `None`: its own text tells."""
    if isinstance(value, keras.initializers.Initializer):
        config = value.get_config()  # Its attributes hold a random seed.
        return config or vars(value)
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: getattr(value, name) for name in names}
    # Python's own text would tell where in memory the object lies, and so
    # may that of what a base learner holds.
    if type(value).__repr__ in (object.__repr__, SharingRule.__repr__):
        return getattr(value, "__dict__", {})
    return None


def _held_in(cell: types.CellType) -> Any:
    """Returns what a nameless function took from around it."""
    try:
        return cell.cell_contents
    except ValueError:  # It is yet to be filled.
        return None


def _code(code: types.CodeType) -> tuple:
    """Returns what a function does, and those that it defines."""
    constants = [
        _code(c) if isinstance(c, types.CodeType) else c for c in code.co_consts
    ]
    return code.co_code, code.co_names, constants


class LifelongMethod(abc.ABC):
    """Learns tasks one after another; owns parameters and update rule.

    A method never touches files and never asks where images come from. The
    runner calls, for each task in turn: `begin_task`, then `train_epoch` once
    per epoch, then `end_task`. Tasks are numbered from 0 in the order in
    which they began, and the current task counts as one of them.

    To continue an interrupted run the runner calls `rebuild_task` for each
    finished task, `begin_task` for the current one, and restores `state`.

    Attributes:
        has_base_learner: Whether the constructor takes `sharing`, a base
            learner; else the method shares in a way of its own.
        num_epochs: For how many epochs of each task it was made; `None` if
            that does not matter.
    """

    has_base_learner = True
    num_epochs: int | None = None

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """Name of the method in tables, such as `"lasem"`."""

    @property
    @abc.abstractmethod
    def learner(self) -> str:
        """Name of the base learner in tables, such as `"dfcnn"`.

        `"none"` where the method shares in a way of its own.
        """

    @property
    def hyperparameters(self) -> dict[str, str]:
        """The constructor's arguments as text, to tell runs apart.

        Constructors keep their arguments under the arguments' own names.
        """
        return described(self, type(self).__init__)

    @property
    def approximations(self) -> tuple[str, ...]:
        """Settings in force that change the method's arithmetic, as text.

        For speed, such as lower precision; none unless asked for.
        """
        return ()

    @abc.abstractmethod
    def begin_task(self, task: Task) -> None:
        """Makes ready to learn a new task, with initial weights of its own.

        Args:
            task: The task to learn next.
        """

    @abc.abstractmethod
    def train_epoch(
        self, batches: tf.data.Dataset, global_epoch: int
    ) -> EpochResult:
        """Trains the current task on every mini-batch, in one compiled call.

        Args:
            batches: Elements `(images, labels)`: float32 [batch, height,
                width, channels] and int32 [batch]; of known number.
            global_epoch: Epochs trained so far, over all tasks.
        """

    @abc.abstractmethod
    def end_task(self) -> None:
        """Selects, rolls back and drops what the task no longer needs."""

    @abc.abstractmethod
    def selection(self, task_index: int) -> Any:
        """What was chosen for a finished task, as JSON can hold it.

        It is what `rebuild_task` needs to rebuild the task's parameters:
        a configuration such as `"TSTS"`, or `None` if nothing was chosen.
        """

    @abc.abstractmethod
    def rebuild_task(self, task: Task, selection: Any) -> None:
        """Rebuilds a finished task's parameters, to be restored afterwards.

        Args:
            task: The task that was learned.
            selection: What `selection` said of it.
        """

    @property
    @abc.abstractmethod
    def state(self) -> dict[str, tf.Module | keras.layers.Layer | tf.Variable]:
        """Everything that training changes, by name, for a checkpoint."""

    @abc.abstractmethod
    def task_model(self, task_index: int) -> keras.Model:
        """Returns a task's network as a plain Keras model with own weights.

        Args:
            task_index: Number of a finished or the current task.

        Returns:
            float32 images [batch, height, width, channels] -> float32 logits
            [batch, num_classes]. Later training does not change it.
        """

    def predictor(self, task_index: int) -> Callable[[tf.Tensor], tf.Tensor]:
        """Returns a compiled function from images to a task's logits.

        It computes what `task_model` computes, for evaluation during
        training: valid until the method is called again, and free to use one
        compiled function for many tasks.

        Args:
            task_index: Number of a finished or the current task.
        """
        return compiled_predictor(self.task_model(task_index))

    @property
    @abc.abstractmethod
    def num_parameters(self) -> int:
        """Numbers that the finished tasks need, each counted once.

        Of the knowledge base: what some finished task uses.
        """
