"""Measuring: answers counted, remembered, and turned into the measures."""

from lasem_tf.evaluation.evaluator import Evaluation, evaluate
from lasem_tf.evaluation.history import AccuracyHistory, HistoryRow

__all__ = ["AccuracyHistory", "Evaluation", "HistoryRow", "evaluate"]
