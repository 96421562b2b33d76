"""Finished tasks as SavedModels: raw pixels in, probabilities out."""

from lasem_tf.data.image_files import ImageFile, read_image
from lasem_tf.export.prediction import Prediction, predict_files
from lasem_tf.export.saved_model import (
    ExportedTask,
    ExportTasks,
    export_task,
    exported_task,
    exported_tasks,
    load_task,
)
from lasem_tf.export.verification import (
    disagreements,
    evaluate_exports,
    remeasured,
)

__all__ = [
    "ExportTasks",
    "ExportedTask",
    "ImageFile",
    "Prediction",
    "disagreements",
    "evaluate_exports",
    "export_task",
    "exported_task",
    "exported_tasks",
    "load_task",
    "predict_files",
    "read_image",
    "remeasured",
]
