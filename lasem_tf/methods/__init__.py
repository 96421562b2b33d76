"""Ways of learning a stream of tasks."""

from lasem_tf.methods.lasem import Lasem
from lasem_tf.methods.lifelong_method import EpochResult, LifelongMethod
from lasem_tf.methods.rmsprop import RMSprop
from lasem_tf.methods.static import FixedPosterior, Static

__all__ = [
    "EpochResult",
    "FixedPosterior",
    "Lasem",
    "LifelongMethod",
    "RMSprop",
    "Static",
]
