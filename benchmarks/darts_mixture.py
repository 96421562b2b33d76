"""What DARTS loses by keeping one branch of each layer's mixture.

    python benchmarks/darts_mixture.py \
        --json benchmarks/results/darts_mixture.json

Learns the first tasks of CIFAR-100 with hard parameter sharing as
gin/methods/darts.gin does, and asks, an epoch before each phase ends, the
mixture that was trained and the branches that would be kept then.
"""

from __future__ import annotations

import argparse
import functools
import pathlib
import sys
import tempfile
from typing import Any

import measuring
import numpy as np
import tensorflow as tf

import lasem_tf
from lasem_tf.data import cifar100
from lasem_tf.data.pipeline import evaluation_batches
from lasem_tf.evaluation.evaluator import evaluate
from lasem_tf.methods.rmsprop import RMSprop
from lasem_tf.reports.table import aligned_rows
from lasem_tf.training.actions import Action, RunState


class AskBoth(Action):
    """Asks the mixture and its larger branches before a task ends.

    Attributes:
        found: Per task what was found.
    """

    def __init__(self):
        self.found: list[dict[str, Any]] = []

    def on_epoch_end(self, run: RunState) -> None:
        """Asks once per task, while there still is a mixture."""
        if run.epoch != run.num_epochs - 2:
            return
        task = run.stream[run.task_index]
        batches = evaluation_batches(task.test, task.preprocess, 250)
        trainer = run.method._trainer
        answers = {
            "mixture": tf.function(trainer.mixed_logits),
            "larger_branches": run.method.predictor(run.task_index),
        }
        shares = tf.nn.softmax(trainer.architecture).numpy()
        self.found.append(
            {
                "accuracy": {
                    name: evaluate(predict, batches).accuracy
                    for name, predict in answers.items()
                },
                "shares": np.round(shares, 4).tolist(),
            }
        )


def main() -> None:
    arguments = _parser().parse_args()
    if arguments.num_epochs < 2:
        sys.exit("An epoch before the last of a phase needs --num_epochs 2.")
    asked = AskBoth()
    method = lasem_tf.Darts(
        lasem_tf.backbones.cifar,
        lasem_tf.HardParameterSharing(),
        second_order=not arguments.first_order,
        optimizer=functools.partial(RMSprop, learning_rate=1e-4),
        learning_rate_decay=1 / 4000,
        seed=arguments.seed,
    )
    with tempfile.TemporaryDirectory() as workdir:
        lasem_tf.run(
            method,
            cifar100(seed=arguments.seed).first(arguments.num_tasks),
            num_epochs=arguments.num_epochs,
            workdir=pathlib.Path(workdir) / "run",
            seed=arguments.seed,
            actions=[asked],
        )
    text = "\n".join(table(asked.found))
    print(text)
    measuring.write_report(arguments, {"tasks": asked.found, "table": text})


def table(found: list[dict[str, Any]]) -> list[str]:
    """Returns a row per task, and their mean."""
    rows = [
        [
            str(number),
            *(f"{100 * a:.1f}" for a in task["accuracy"].values()),
            f"{np.max(task['shares'], axis=1).mean():.2f}",
        ]
        for number, task in enumerate(found, 1)
    ]
    columns = np.array([row[1:] for row in rows], float).mean(axis=0)
    mean = ["mean", *(f"{c:.1f}" for c in columns[:2]), f"{columns[2]:.2f}"]
    header = ["task", "mixture %", "larger branches %", "their mean share"]
    return aligned_rows(header, [*rows, mean], 1)


def _parser() -> argparse.ArgumentParser:
    parser = measuring.parser(__doc__)
    parser.add_argument("--num_tasks", type=int, default=5)
    parser.add_argument("--num_epochs", type=int, default=60, help="per task")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first_order", action="store_true")
    return parser


if __name__ == "__main__":
    main()
