"""Asks an exported task about image files."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from lasem_tf.checks import check_count
from lasem_tf.data.image_files import read_image
from lasem_tf.export.saved_model import ExportedTask


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a task's model says of one image file.

    Attributes:
        path: The file.
        note: What was done to make the image fit, `""` if nothing was.
        class_names: The most probable classes, most probable first.
        probabilities: float32 [top_k]. Their probabilities, in [0, 1].
    """

    path: str
    note: str
    class_names: tuple[str, ...]
    probabilities: np.ndarray

    def __str__(self) -> str:
        note = f" ({self.note})" if self.note else ""
        answers = zip(self.probabilities, self.class_names, strict=True)
        lines = [f"{100 * p:6.1f} %  {name}" for p, name in answers]
        return "\n".join([f"{self.path}{note}", *lines])


def predict_files(
    exported: ExportedTask,
    paths: Sequence[str | os.PathLike],
    top_k: int = 3,
    batch_size: int = 100,
) -> tuple[Prediction, ...]:
    """Returns the most probable classes of every image file.

    Every file is read before the first one is answered, so that a bad one
    is known at once.

    Args:
        exported: From `load_task`.
        paths: Image files of any size and mode, as `read_image` takes them.
        top_k: How many classes to name; a task with fewer names them all.
        batch_size: Images per call; changes speed and memory only.

    Raises:
        InputError: If a file cannot be read as an image, or `top_k` is not
            positive.
    """
    check_count("top_k", top_k, 1)
    images = [read_image(path, exported.image_shape) for path in paths]
    predictions = []
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        answers = exported(np.stack([image.pixels for image in batch]))
        for image, probabilities in zip(
            batch, answers["probabilities"].numpy(), strict=True
        ):
            # Stable, so that ties are told in the order of the labels.
            order = np.argsort(-probabilities, kind="stable")[:top_k]
            predictions.append(
                Prediction(
                    path=os.fspath(paths[len(predictions)]),
                    note=image.note,
                    class_names=tuple(exported.class_names[k] for k in order),
                    probabilities=probabilities[order],
                )
            )
    return tuple(predictions)
