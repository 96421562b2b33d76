"""Backbones, and the networks that choose filters layer by layer."""

from lasem_tf.networks.branched_evaluation import BranchedEvaluation
from lasem_tf.networks.selective_network import SelectiveNetwork

__all__ = ["BranchedEvaluation", "SelectiveNetwork"]
