"""Streams of tasks: where the images come from."""

from lasem_tf.data.array_task import ArrayTask
from lasem_tf.data.arrays import from_arrays
from lasem_tf.data.augmentation import Augmentation
from lasem_tf.data.cifar100 import cifar100
from lasem_tf.data.digits import digits
from lasem_tf.data.image_folder import image_folder
from lasem_tf.data.office_home import office_home, office_home_incremental
from lasem_tf.data.stl10 import stl10
from lasem_tf.data.synthetic import synthetic
from lasem_tf.data.tfds_classes import tfds_classes

__all__ = [
    "ArrayTask",
    "Augmentation",
    "cifar100",
    "digits",
    "from_arrays",
    "image_folder",
    "office_home",
    "office_home_incremental",
    "stl10",
    "synthetic",
    "tfds_classes",
]
