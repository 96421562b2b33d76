"""Seconds to learn whole tasks of CIFAR-100: one network, and LASEM's search.

    python benchmarks/task_time.py
    python benchmarks/task_time.py --num_epochs 60 --num_tasks 3 --learner tf

Variants learn the same tasks at the paper's learning rate, epoch by epoch in
turns, so that a noisy machine is noisy for all. "first epoch" is from the
beginning of the task to the end of its first epoch, compilation included, but
not the start of TensorFlow; "task" is all of it, selection
included, but neither drawing of mini-batches nor evaluation. Accuracy is that
on the test images at the end of the task.

    static          all shared
    LASEM           as it is by default
    rare E-steps    LASEM with methods/lasem_rare_e_steps.gin's setting
    in bfloat16     the same, the E-step's convolutions in bfloat16
"""

from __future__ import annotations

import argparse
import functools
import time
from typing import Any

import measuring
import step_time

from lasem_tf import backbones, data, methods
from lasem_tf.data.pipeline import training_batches
from lasem_tf.reports.table import aligned_rows
from lasem_tf.seeding import derive_seed
from lasem_tf.tasks import TaskStream
from lasem_tf.training.stream_evaluation import StreamEvaluation

VARIANTS = {
    "static": methods.Static,
    "LASEM": methods.Lasem,
    "rare E-steps": functools.partial(methods.Lasem, e_step_tolerance=0.5),
    "in bfloat16": functools.partial(
        methods.Lasem, e_step_tolerance=0.5, e_step_dtype="bfloat16"
    ),
}
BATCH_SIZE = 10


def main() -> None:
    arguments = _parser().parse_args()
    stream = data.cifar100(
        seed=arguments.seed,
        data_dir=arguments.data_dir,
        num_tasks=arguments.num_tasks,
    )
    step_time.begin_second_task("cifar", arguments.learner, methods.Static)
    made = {name: _made(name, arguments) for name in arguments.variants}
    evaluation = StreamEvaluation(stream, batch_size=250)
    found = []
    for task_index in range(len(stream)):
        found += _learn(made, stream, task_index, evaluation, arguments)
        print(_table(found), end="\n\n", flush=True)
    measuring.write_report(arguments, {"tasks": found, "table": _table(found)})


def _made(variant: str, arguments: argparse.Namespace) -> methods.Lasem:
    return VARIANTS[variant](
        backbones.cifar,
        step_time.LEARNERS[arguments.learner](),
        optimizer=functools.partial(methods.RMSprop, learning_rate=1e-4),
        learning_rate_decay=1 / 4000,
        seed=arguments.seed,
    )


def _learn(
    made: dict[str, methods.Lasem],
    stream: TaskStream,
    task_index: int,
    evaluation: StreamEvaluation,
    arguments: argparse.Namespace,
) -> list[dict[str, Any]]:
    """Learns one task with every variant; returns what each one took."""
    epochs = {name: [] for name in made}
    for epoch in range(arguments.num_epochs):
        for name, method in made.items():
            batches = training_batches(
                stream[task_index],
                BATCH_SIZE,
                derive_seed(arguments.seed, "data_order", task_index),
                epoch,
            )
            began = time.perf_counter()
            if epoch == 0:
                method.begin_task(stream[task_index])
            global_epoch = task_index * arguments.num_epochs + epoch
            method.train_epoch(batches, global_epoch)
            epochs[name].append(time.perf_counter() - began)
    return [
        _end(name, method, task_index, epochs[name], evaluation)
        for name, method in made.items()
    ]


def _end(
    name: str,
    method: methods.Lasem,
    task_index: int,
    epochs: list[float],
    evaluation: StreamEvaluation,
) -> dict[str, Any]:
    """Ends one variant's task; returns what it took and reached."""
    began = time.perf_counter()
    method.end_task()
    end = time.perf_counter() - began
    results = dict(evaluation.evaluate(method, task_index))
    return {
        "task": task_index + 1,
        "variant": name,
        "selected": method.selection(task_index),
        "accuracy": results["test"].accuracy,
        "first_epoch_seconds": epochs[0],
        "task_seconds": sum(epochs) + end,
        "epoch_seconds": epochs,
        "spread": measuring.spread(epochs),
    }


def _table(found: list[dict[str, Any]]) -> str:
    """Returns a row per task and variant, and the ratios to static."""
    header = ["variant", "selected", "task"]
    header += ["first epoch s", "task s", "to static", "accuracy %"]
    static = {
        result["task"]: result["task_seconds"]
        for result in found
        if result["variant"] == "static"
    }
    rows = []
    for result in found:
        one = static.get(result["task"])
        ratio = f"{result['task_seconds'] / one:.2f}" if one else ""
        rows.append(
            [
                result["variant"],
                result["selected"],
                str(result["task"]),
                f"{result['first_epoch_seconds']:.1f}",
                f"{result['task_seconds']:.1f}",
                ratio,
                f"{100 * result['accuracy']:.1f}",
            ]
        )
    return "\n".join(aligned_rows(header, rows, num_text_columns=2))


def _parser() -> argparse.ArgumentParser:
    parser = measuring.parser(__doc__)
    parser.add_argument("--learner", choices=step_time.LEARNERS, default="hps")
    parser.add_argument("--num_epochs", type=int, default=200, help="per task")
    parser.add_argument("--num_tasks", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS)
    )
    parser.add_argument(
        "--data_dir", help="of TensorFlow Datasets; as for bin/train"
    )
    return parser


if __name__ == "__main__":
    main()
