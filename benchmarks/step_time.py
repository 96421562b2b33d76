"""Milliseconds per training step: one network, and LASEM's whole search.

    python benchmarks/step_time.py
    python benchmarks/step_time.py --networks cifar --batch_sizes 10 50 \
        --json benchmarks/results/step_time.json

Variants take turns in one process on images of noise, each on the second task
of its own stream, so that there is something to share. A sample is an epoch of
--steps steps, beginning and end included. On a GPU the library lets XLA compile
an epoch, in which no candidate is left out; --jit_compile says otherwise.

    static             all shared
    one network each   LASEM as first published, never with XLA; left out where
                       there are more than --max_networks
    prefix tree        LASEM that neglects nothing
    undecided          LASEM as it is by default, all configurations probable
    few                the same, as many of them probable as are pruned to
    decided            the same, one of them
    settled            decided, and mini-batches go without an E-step

With --bfloat16 also, slower than float32 where the processor lacks it:

    bfloat16 E-step    decided, the E-step's convolutions in bfloat16
    mixed static       static with Keras' dtype policy mixed_bfloat16
    mixed decided      decided with it
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from typing import Any

import keras
import measuring
import numpy as np
import tensorflow as tf
from one_network_per_configuration import OneNetworkPerConfiguration

from lasem_tf import layers, methods
from lasem_tf.data.in_memory import in_memory_task
from lasem_tf.data.pipeline import training_batches
from lasem_tf.data.preprocessing import standardisation
from lasem_tf.networks import backbones
from lasem_tf.networks.convolutions import convolutions
from lasem_tf.reports.table import aligned_rows
from lasem_tf.tasks import Task

LEARNERS = {
    "hps": layers.HardParameterSharing,
    "tf": layers.TensorFactorization,
    "dfcnn": layers.DeconvFactorization,
}
# Backbone and image size.
NETWORKS = {
    "cifar": (backbones.cifar, 32),
    "stl10": (backbones.stl10, 96),
    "stl10_nine_layers": (backbones.stl10_nine_layers, 96),
}
NUM_CLASSES = 10
JIT_COMPILE = {"auto": None, "on": True, "off": False}

# As in runs of bin/train; of use to GPUs only.
tf.config.experimental.enable_tensor_float_32_execution(False)


def main() -> None:
    arguments = _parser().parse_args()
    cases = [
        (network, learner, batch_size)
        for network in arguments.networks
        for learner in arguments.learners
        for batch_size in arguments.batch_sizes
    ]
    found, rows = [], []
    for case in cases:
        samples = _measure(*case, arguments)
        relative = measuring.ratios(samples, to="static")
        found.append(
            {
                "network": case[0],
                "learner": case[1],
                "batch_size": case[2],
                "milliseconds": samples,
                "spread": {n: measuring.spread(s) for n, s in samples.items()},
                "ratio_to_static": relative,
            }
        )
        rows += _rows(case, samples, relative)
    header = ["network", "learner", "batch", "variant", "ms", "to static"]
    text = "\n".join(aligned_rows(header, rows, num_text_columns=4))
    print(text)
    measuring.write_report(arguments, {"cases": found, "table": text})


def _measure(
    network: str, learner: str, batch_size: int, arguments: argparse.Namespace
) -> dict[str, list[float]]:
    """Returns milliseconds per step, one sample per round, by variant."""
    batches = make_batches(network, batch_size, arguments.steps)
    begun = functools.partial(
        begin_second_task,
        network,
        learner,
        jit_compile=JIT_COMPILE[arguments.jit_compile],
    )
    variants = _variants(network, begun, arguments)
    seconds = measuring.interleaved(
        {
            name: functools.partial(method.train_epoch, batches, 0)
            for name, method in variants.items()
        },
        arguments.rounds,
    )
    return {
        name: [1000 * s / arguments.steps for s in of_variant]
        for name, of_variant in seconds.items()
    }


def _variants(
    network: str,
    begun: Callable[..., methods.Lasem],
    arguments: argparse.Namespace,
) -> dict[str, methods.Lasem]:
    """Returns methods that have begun their second task, by name."""
    variants = {"static": begun(methods.Static)}
    if 2 ** depth(network) <= arguments.max_networks:
        variants["one network each"] = begun(
            OneNetworkPerConfiguration, jit_compile=False
        )
    variants["prefix tree"] = begun(methods.Lasem, pruning_floor=None)
    # With this likelihood all that hold the posterior go on sharing it.
    lasem = functools.partial(begun, methods.Lasem, likelihood="mean")
    variants["undecided"] = lasem()
    few = lasem()
    if few._trainer.m_step.max_one_by_one:
        variants["few"] = _decide(few, few._trainer.m_step.max_one_by_one)
    variants["decided"] = _decide(lasem())
    variants["settled"] = _decide(lasem(e_step_tolerance=0.5))
    if arguments.bfloat16:
        low = lasem(e_step_dtype="bfloat16")
        variants["bfloat16 E-step"] = _decide(low)
        keras.config.set_dtype_policy("mixed_bfloat16")
        variants["mixed static"] = begun(methods.Static)
        variants["mixed decided"] = _decide(lasem())
        keras.config.set_dtype_policy("float32")
    return variants


def make_batches(network: str, batch_size: int, steps: int) -> tf.data.Dataset:
    return training_batches(
        noise_task(network, batch_size * steps), batch_size, seed=0, epoch=0
    )


def noise_task(network: str, num_images: int) -> Task:
    size = NETWORKS[network][1]
    generator = np.random.default_rng(0)
    shape = (num_images, size, size, 3)
    images = generator.integers(0, 256, shape, np.uint8)
    examples = images, np.arange(num_images) % NUM_CLASSES
    return in_memory_task(
        "noise",
        tuple(map(str, range(NUM_CLASSES))),
        train=examples,
        validation=examples,
        test=examples,
        preprocess=standardisation(images),
    )


def _decide(method: methods.Lasem, num_holders: int = 1) -> methods.Lasem:
    """Lets so many configurations alone be probable from now on."""
    counts = np.zeros(len(method._trainer.configurations), np.float32)
    holders = np.linspace(0, len(counts) - 1, num_holders + 2)[1:-1]
    counts[holders.astype(int)] = 1e30
    method._trainer.evidence.assign(counts)
    return method


def begin_second_task(
    network: str, learner: str, method: type[methods.Lasem], **kwargs: Any
) -> methods.Lasem:
    """Returns a method that has begun its second task."""
    made = method(NETWORKS[network][0], LEARNERS[learner](), **kwargs)
    task = noise_task(network, NUM_CLASSES)
    made.begin_task(task)
    made.end_task()
    made.begin_task(task)
    return made


def depth(network: str) -> int:
    backbone, size = NETWORKS[network]
    return len(convolutions(backbone((size, size, 3))))


def _rows(
    case: tuple[str, str, int],
    samples: dict[str, list[float]],
    relative: dict[str, dict[str, float]],
) -> list[list[str]]:
    rows = []
    for name, of_variant in samples.items():
        ratio = relative[name]
        spread = (
            f"{ratio['median']:.2f} ({ratio['low']:.2f}–{ratio['high']:.2f})"
        )
        rows.append(
            [*map(str, case), name, f"{np.median(of_variant):.1f}", spread]
        )
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = measuring.parser(__doc__)
    parser.add_argument(
        "--networks", nargs="+", choices=NETWORKS, default=["cifar", "stl10"]
    )
    parser.add_argument(
        "--learners", nargs="+", choices=LEARNERS, default=list(LEARNERS)
    )
    parser.add_argument("--batch_sizes", nargs="+", type=int, default=[10, 50])
    parser.add_argument("--bfloat16", action="store_true", help="time it too")
    parser.add_argument("--jit_compile", choices=JIT_COMPILE, default="auto")
    parser.add_argument("--rounds", type=int, default=9, help="samples each")
    parser.add_argument("--steps", type=int, default=10, help="per sample")
    parser.add_argument(
        "--max_networks", type=int, default=16, help='for "one network each"'
    )
    return parser


if __name__ == "__main__":
    main()
