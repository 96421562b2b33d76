"""Streams of tasks: where the images come from."""

from lasem_tf.data.arrays import ArrayTask, from_arrays
from lasem_tf.data.cifar100 import cifar100
from lasem_tf.data.digits import digits
from lasem_tf.data.synthetic import synthetic

__all__ = ["ArrayTask", "cifar100", "digits", "from_arrays", "synthetic"]
