"""Time and files: a stream is learned, saved and continued."""

from lasem_tf.training.actions import Action, RunState
from lasem_tf.training.interruption import Interrupted
from lasem_tf.training.runner import Runner
from lasem_tf.training.workdir import Workdir

__all__ = ["Action", "Interrupted", "RunState", "Runner", "Workdir"]
