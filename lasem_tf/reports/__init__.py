"""What a run shows: summary, tables, curves, progress."""

from lasem_tf.reports.progress import ProgressBar
from lasem_tf.reports.summary import WriteSummary, read_summary, summarize
from lasem_tf.reports.table import comparison_table, results_table
from lasem_tf.reports.tensorboard import TensorBoard

__all__ = [
    "ProgressBar",
    "TensorBoard",
    "WriteSummary",
    "comparison_table",
    "read_summary",
    "results_table",
    "summarize",
]
