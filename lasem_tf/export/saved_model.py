"""Writes each finished task as a SavedModel and reads it back.

What an export folder holds, `task_03/` for example:

    saved_model.pb, variables/   network and preprocessing; needs TensorFlow
                                 only, neither Keras code nor this library
    assets/class_names.txt       one class name per line, label 0 first
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.data.task_checks import check_names_fit_on_a_line
from lasem_tf.tasks import Task

_SIGNATURE = "serving_default"
_CLASS_NAMES = "class_names.txt"


class ExportedTask:
    """A task's exported model, ready to be asked.

    Attributes:
        class_names: One name per class; `class_index` k means
            `class_names[k]`.
        image_shape: Height, width and channels of the images it takes.
    """

    def __init__(self, loaded: tf.Module, class_names: tuple[str, ...]):
        self.class_names = class_names
        # The signature is valid only as long as what was loaded lives.
        self._loaded = loaded
        self._predict = loaded.signatures[_SIGNATURE]
        (spec,) = self._predict.structured_input_signature[1].values()
        self.image_shape = tuple(spec.shape[1:])

    def __call__(self, images: np.ndarray | tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers for a batch of images.

        Args:
            images: uint8 [batch, height, width, channels]. Raw pixels.

        Returns:
            `logits` and `probabilities`, float32 [batch, num_classes], and
            `class_index`, int64 [batch].

        Raises:
            InputError: If `images` has another dtype or shape.
        """
        images = tf.convert_to_tensor(images)
        expected = tf.TensorShape([None, *self.image_shape])
        if images.dtype != tf.uint8 or not expected.is_compatible_with(
            images.shape
        ):
            raise InputError(
                "`images` must be raw pixels, uint8 "
                f"[batch, {', '.join(map(str, self.image_shape))}].",
                received=f"{images.dtype.name} {list(images.shape)}",
                remedy="Pass the pixels as they are, without scaling, and "
                "resized to this height and width.",
            )
        return self._predict(images=images)


class ExportTasks:
    """Action: exports every task as it stands at the end of the run."""

    def on_run_end(self, run) -> None:
        """Writes `exports/task_00`, `exports/task_01`, ... in the workdir.

        Args:
            run: The state of the run: `method`, `stream` and `workdir`.
        """
        for task_index, task in enumerate(run.stream):
            export_task(
                run.method.task_model(task_index),
                task,
                pathlib.Path(run.workdir) / "exports" / _name(task_index),
            )


def export_task(
    model: keras.Model, task: Task, path: str | os.PathLike
) -> None:
    """Writes a task's network as a SavedModel that takes raw pixels.

    Its signature `serving_default` takes `images`, uint8 [batch, height,
    width, channels], and returns `logits` and `probabilities`, float32
    [batch, num_classes], and `class_index`, int64 [batch]. The export appears
    under its name only when it is whole; an earlier one there is replaced.

    Args:
        model: float32 preprocessed images -> float32 logits [batch,
            num_classes], such as `method.task_model(3)`.
        task: Says image shape, preprocessing and class names.
        path: Folder to write; the folders above it are made.

    Raises:
        InputError: If a class name holds a line break, or if `path` holds
            something that is not an export.
    """
    path = pathlib.Path(path)
    check_names_fit_on_a_line(task)
    _check_replaceable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _whole_or_absent(path) as partial:
        with tempfile.TemporaryDirectory() as folder:
            asset = pathlib.Path(folder) / _CLASS_NAMES
            asset.write_text("\n".join(task.class_names) + "\n", "utf-8")
            _save(model, task, asset, partial)


def exported_tasks(workdir: str | os.PathLike) -> tuple[pathlib.Path, ...]:
    """Returns the export folders of a run, task 0 first.

    Args:
        workdir: What the run was told to write to.

    Raises:
        InputError: If the run has left no export.
    """
    folder = pathlib.Path(workdir) / "exports"
    # Two digits are a minimum: task 100 follows task 99.
    numbered = {
        int(path.name.removeprefix("task_")): path
        for path in folder.glob("task_*")
        if re.fullmatch(r"task_\d+", path.name)
    }
    if not numbered:
        raise InputError(
            "A finished run must have left its tasks in `exports/`.",
            received=f"{folder} without any",
            remedy="Name the workdir of a finished run; the command that "
            "began it continues an unfinished one.",
        )
    return tuple(numbered[index] for index in sorted(numbered))


def exported_task(workdir: str | os.PathLike, task_index: int) -> pathlib.Path:
    """Returns the export folder of one task of a run.

    Args:
        workdir: What the run was told to write to.
        task_index: Number of the task, counted from 0.

    Raises:
        InputError: If the run has left no export of that task.
    """
    paths = {path.name: path for path in exported_tasks(workdir)}
    if _name(task_index) not in paths:
        raise InputError(
            "The task must be one that this run has exported: "
            f"{', '.join(paths)}.",
            received=f"task {task_index}",
            remedy="Name one of these.",
        )
    return paths[_name(task_index)]


def load_task(path: str | os.PathLike) -> ExportedTask:
    """Reads what `export_task` wrote.

    Args:
        path: The export's folder.

    Returns:
        The exported task: call it with raw uint8 images.

    Raises:
        InputError: If `path` is not an export, or cannot be read as one.
    """
    path = pathlib.Path(path)
    asset = path / "assets" / _CLASS_NAMES
    if not (path / "saved_model.pb").is_file() or not asset.is_file():
        raise InputError(
            "An exported task must be a folder that holds saved_model.pb and "
            f"assets/{_CLASS_NAMES}.",
            received=str(path),
            remedy="Name a folder such as WORKDIR/exports/task_00.",
        )
    try:
        loaded = tf.saved_model.load(str(path))
        class_names = asset.read_text("utf-8").removesuffix("\n").split("\n")
        return ExportedTask(loaded, tuple(class_names))
    except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
        raise InputError(
            "An exported task must be a whole SavedModel with the signature "
            f"{_SIGNATURE}.",
            received=f"{path} ({type(error).__name__})",
            remedy="Export the task again.",
        ) from error


def _save(
    model: keras.Model, task: Task, asset: pathlib.Path, path: pathlib.Path
) -> None:
    """Writes the SavedModel itself."""
    # Some preprocessing layers make their constants on the first call, and
    # constants made while tracing cannot be used afterwards.
    task.preprocess(tf.zeros([1, *task.image_shape], tf.uint8))
    pixels = tf.TensorSpec([None, *task.image_shape], tf.uint8, name="images")

    @tf.function(input_signature=[pixels])
    def serve(images: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = model(task.preprocess(images), training=False)
        return {
            "logits": logits,
            "probabilities": tf.nn.softmax(logits),
            "class_index": tf.argmax(logits, axis=-1),
        }

    module = tf.Module()
    module.model = model
    module.preprocess = task.preprocess
    module.class_names = tf.saved_model.Asset(str(asset))
    tf.saved_model.save(module, str(path), signatures={_SIGNATURE: serve})


@contextlib.contextmanager
def _whole_or_absent(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a folder that takes the name `path` once it has been filled."""
    partial = path.with_name(f".{path.name}.partial")
    replaced = path.with_name(f".{path.name}.replaced")
    for leftover in (partial, replaced):
        shutil.rmtree(leftover, ignore_errors=True)
    yield partial
    # A folder cannot be renamed onto one that holds something.
    if path.exists():
        os.rename(path, replaced)
    os.rename(partial, path)
    shutil.rmtree(replaced, ignore_errors=True)


def _check_replaceable(path: pathlib.Path) -> None:
    """Refuses to replace a folder that `export_task` did not write."""
    if not path.exists() or (path / "saved_model.pb").is_file():
        return
    if not path.is_dir() or any(path.iterdir()):
        raise InputError(
            "`path` must be a new folder or an earlier export.",
            received=f"path={str(path)!r}, which holds something else",
            remedy="Choose a folder that does not exist yet.",
        )


def _name(task_index: int) -> str:
    return f"task_{task_index:02d}"
