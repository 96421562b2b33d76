"""Puts a run together: what learns, what is learned, what is written.

`run` is the door for Python. `run_experiment` is the root of the command
line: gin gives it classes and functions, it makes objects of them. Neither
knows gin.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

import keras
import tensorflow as tf

from lasem_tf.checks import InputError, check_whole_number
from lasem_tf.choices import (
    check_optimizer,
    made,
    set_dtype_policy,
    set_tensor_float_32,
)
from lasem_tf.data.augmentation import Augmentation, check_augmentation
from lasem_tf.evaluation.history import AccuracyHistory
from lasem_tf.export.saved_model import ExportTasks
from lasem_tf.layers import HardParameterSharing, SharingRule
from lasem_tf.methods.lifelong_method import LifelongMethod
from lasem_tf.methods.rmsprop import RMSprop
from lasem_tf.networks.backbones import Backbone, linear_head
from lasem_tf.reports.progress import ProgressBar
from lasem_tf.reports.summary import WriteSummary, read_summary
from lasem_tf.reports.table import results_table
from lasem_tf.reports.tensorboard import TensorBoard
from lasem_tf.tasks import TaskStream, content_digest
from lasem_tf.training.provenance import describe_tasks
from lasem_tf.training.runner import Runner
from lasem_tf.training.workdir import Workdir

# First line of the configuration of a run that no recipe describes.
TOLD_BY_PYTHON = "# Told by lasem_tf.run: this run was put together in Python."


def run_experiment(
    workdir: str | os.PathLike[str] | None,
    *,
    method: Callable[..., LifelongMethod],
    backbone: Backbone,
    sharing: Callable[[], SharingRule],
    stream: Callable[..., TaskStream],
    head: Callable[[int], keras.Layer] = linear_head,
    optimizer: Callable[[], keras.optimizers.Optimizer] = RMSprop,
    learning_rate_decay: float = 0.0,
    num_epochs: int,
    num_tasks: int | None = None,
    batch_size: int = 10,
    seed: int = 0,
    evaluate_all_every: int = 0,
    checkpoint_every: int = 10,
    evaluation_batch_size: int = 250,
    augmentation: Callable[[], Augmentation] | None = None,
    deterministic: bool = False,
    dtype_policy: str = "float32",
    tensor_float_32: bool = False,
    jit_compile: bool | None = None,
    run_name: str = "run",
    config_text: Callable[[], str] | None = None,
) -> AccuracyHistory:
    """Makes a stream and a method, runs them, prints the table of results.

    Args:
        workdir: As in `run`. `None`: `runs/<run_name>_seed<seed>`, below the
            current folder.
        method: Makes the method. It is called with `backbone`, `head`,
            `optimizer`, `learning_rate_decay`, `seed`, `jit_compile` if it is
            not `None`, and, unless it shares in a way of its own, `sharing`.
        backbone: Function from image shape to a Keras model that ends in
            features.
        sharing: Makes the base learner. For a method that shares in a way of
            its own it must be `HardParameterSharing`: plain filters.
        stream: Makes the stream of tasks. It is called with `seed`.
        head: Function from number of classes to the output layer.
        optimizer: Makes an optimizer; each task finds it as if new.
        learning_rate_decay: In the global epoch e the learning rate is the
            optimizer's divided by `1 + e * learning_rate_decay`.
        num_epochs: Epochs for each task.
        num_tasks: Learn the first so many tasks. `None`: all.
        batch_size: Images per mini-batch.
        seed: The one seed of the run: images drawn, initial weights, data
            order, dropout.
        evaluate_all_every: As in `run`.
        checkpoint_every: As in `run`.
        evaluation_batch_size: As in `run`.
        augmentation: Makes what changes training images at random. `None`:
            nothing does.
        deterministic: As in `run`.
        dtype_policy: Keras' name of what networks compute in, such as
            `"mixed_bfloat16"`, with weights in float32; there is no scaling of
            losses. It holds for the rest of the process.
        tensor_float_32: Whether a GPU may round what it multiplies to eleven
            bits, as TensorFlow lets it otherwise. It holds for the rest of
            the process.
        jit_compile: Whether XLA compiles what trains. `None`: on a GPU, if it
            can compile the method.
        run_name: Names the default workdir.
        config_text: Tells every binding in force; called once all that it may
            tell of has been used. `None`: as in `run`.

    Returns:
        Every accuracy measured.

    Raises:
        InputError: If a value, or two of them together, cannot be used.
        Interrupted: As in `run`.
    """
    set_dtype_policy(dtype_policy)
    set_tensor_float_32(tensor_float_32)
    # What needs no data is refused before data are read.
    base_learner = _base_learner(method, sharing)
    tasks = made("stream", stream, TaskStream, seed=seed).first(num_tasks)
    learner = made(
        "method",
        method,
        LifelongMethod,
        backbone=backbone,
        head=head,
        optimizer=optimizer,
        learning_rate_decay=learning_rate_decay,
        seed=seed,
        **({} if jit_compile is None else {"jit_compile": jit_compile}),
        **base_learner,
    )
    # The method calls these two for each task anew. Calling them here as well
    # tells a mistake before anything is written, and what they are bound to.
    made("backbone", backbone, keras.Model, tasks[0].image_shape)
    check_optimizer(optimizer)
    workdir = pathlib.Path(workdir or f"runs/{run_name}_seed{seed}")
    print(f"Workdir: {workdir}", flush=True)
    history = run(
        learner,
        tasks,
        num_epochs=num_epochs,
        workdir=workdir,
        batch_size=batch_size,
        seed=seed,
        evaluate_all_every=evaluate_all_every,
        checkpoint_every=checkpoint_every,
        evaluation_batch_size=evaluation_batch_size,
        augmentation=(
            made("augmentation", augmentation, Augmentation)
            if augmentation is not None
            else None
        ),
        deterministic=deterministic,
        config_text=config_text and config_text(),
    )
    _print_results(workdir)
    return history


def _base_learner(
    method: Callable[..., LifelongMethod], sharing: Callable[[], SharingRule]
) -> dict[str, SharingRule]:
    """Returns the argument `sharing`, for methods that take it."""
    rule = made("sharing", sharing, SharingRule)
    if getattr(method, "has_base_learner", True):
        return {"sharing": rule}
    if not isinstance(rule, HardParameterSharing):
        raise InputError(
            f"{method.__name__} shares in a way of its own and has no use for "
            "a base learner.",
            received=f"run_experiment.sharing={type(rule).__name__}",
            remedy="Put its file on top of a recipe with hard parameter "
            "sharing, such as gin/hps_cifar.gin.",
        )
    return {}


def run(
    method: LifelongMethod,
    stream: TaskStream,
    *,
    num_epochs: int,
    workdir: str | os.PathLike[str],
    batch_size: int = 10,
    seed: int = 0,
    evaluate_all_every: int = 0,
    checkpoint_every: int = 10,
    evaluation_batch_size: int = 250,
    augmentation: Augmentation | None = None,
    deterministic: bool = False,
    actions: Iterable[object] = (),
    config_text: str | None = None,
) -> AccuracyHistory:
    """Lets a method learn a stream of tasks, and writes all of it down.

    Called again with the same arguments it continues where it was stopped,
    and a complete run is not repeated. Each call needs a new `method`. When a
    task begins Python's and NumPy's random numbers are seeded anew.

    Args:
        method: A method that has seen no task yet.
        stream: The tasks to learn.
        num_epochs: Epochs for each task, at least 1.
        workdir: The folder for everything the run writes: a new or empty
            one, or that of the run to continue.
        batch_size: Images per mini-batch.
        seed: Root of the data order. Images drawn and initial weights come
            from the seeds of `stream` and `method`.
        evaluate_all_every: Evaluate every learned task also after each so
            many epochs of a task; 0: at the end of each task only.
        checkpoint_every: Epochs between two checkpoints.
        evaluation_batch_size: Images per evaluation batch; changes memory and
            speed only.
        augmentation: Changes training images at random. `None`: nothing does.
        deterministic: Repeat a run bit by bit, on a GPU too, if slower. It
            holds for the rest of the process.
        actions: Further objects with some of the hooks of
            `lasem_tf.training.actions.Action`.
        config_text: What `operative_config.gin` holds and what a run that is
            continued must agree with. `None`: told from the arguments.

    Returns:
        Every accuracy measured, earlier sittings included.

    Raises:
        InputError: If an argument cannot be used; a workdir that this call
            began, and in which nothing was measured, is then removed again.
        Interrupted: If Ctrl-C or SIGTERM asked to stop; the same call
            continues.
    """
    check_whole_number("seed", seed)
    check_augmentation(augmentation)
    if deterministic:
        _make_deterministic(seed)
    settings = {
        "num_epochs": num_epochs,
        "batch_size": batch_size,
        "seed": seed,
        "evaluate_all_every": evaluate_all_every,
        "checkpoint_every": checkpoint_every,
        "evaluation_batch_size": evaluation_batch_size,
        "augmentation": augmentation,
    }
    if config_text is None:
        told = settings | {
            "deterministic": deterministic,
            "dtype_policy": keras.config.dtype_policy().name,
            "tensor_float_32": (
                tf.config.experimental.tensor_float_32_execution_enabled()
            ),
        }
        config_text = describe(method, stream, told)
    folder = Workdir(workdir)
    # The summary comes last of what we write: where it is, the exports are.
    reports = ProgressBar(), TensorBoard(), ExportTasks(), WriteSummary()
    runner = Runner(
        method, stream, folder, **settings, actions=(*reports, *actions)
    )
    try:
        folder.open(
            config_text, seed, describe_tasks(stream), content_digest(stream)
        )
        return runner.run()
    except InputError:
        # Of any other error the workdir keeps what may explain it.
        folder.remove_if_in_vain()
        raise


def describe(
    method: LifelongMethod, stream: TaskStream, settings: dict[str, Any]
) -> str:
    """Returns a run that was put together in Python as text, like gin's.

    Args:
        method: What learns.
        stream: What is learned.
        settings: The other arguments of `run`, by name.
    """
    of_stream = {
        "name": stream.name,
        "num_tasks": len(stream),
        "seed": stream.seed,
        "content": content_digest(stream),
    }
    groups = {
        "run": {name: repr(value) for name, value in settings.items()},
        type(method).__name__: method.hyperparameters,
        "stream": {name: repr(value) for name, value in of_stream.items()},
    }
    lines = [
        f"{group}.{name} = {text}"
        for group, texts in groups.items()
        for name, text in texts.items()
    ]
    return "\n".join([TOLD_BY_PYTHON, *lines]) + "\n"


def _make_deterministic(seed: int) -> None:
    # TensorFlow wants a seed from then on; parts that care set their own.
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def _print_results(workdir: pathlib.Path) -> None:
    print(f"\n{results_table(read_summary(workdir))}")
    print(f"\nReport: {workdir / 'summary.json'}")
    print(f"Curves: tensorboard --logdir {workdir / 'tensorboard'}", flush=True)
