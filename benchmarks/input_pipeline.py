"""Images per second: what each stream delivers, and what training consumes.

    python benchmarks/input_pipeline.py
    python benchmarks/input_pipeline.py --streams digits --json input.json

"delivers" draws the training mini-batches of whole epochs, in a compiled loop
as training does, and does nothing with them; "consumes" trains one plain
network on one task, all shared, with mini-batches that lie ready. The two take
turns, some epochs at a time. Streams need the data that their recipes need;
Office-Home, which everyone must fetch by hand, runs where it is asked for, and
arrays of its size stand in for it otherwise.
"""

from __future__ import annotations

import argparse
import functools
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import measuring
import numpy as np
import tensorflow as tf
from PIL import Image

from lasem_tf import backbones, data, layers, methods
from lasem_tf.data.pipeline import training_batches
from lasem_tf.reports.table import aligned_rows
from lasem_tf.tasks import Task, TaskStream

BATCH_SIZE = 10
EPOCHS = 5  # A sample.


def _photographs(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns images of noise and labels; nothing looks at what they show."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (300, size, size, 3), np.uint8)
    return images, np.arange(300) % 10


def _arrays() -> TaskStream:
    return data.from_arrays([_photographs(128)])


def _image_folder() -> TaskStream:
    with tempfile.TemporaryDirectory() as folder:
        photos = pathlib.Path(folder, "photos")
        for number, (image, label) in enumerate(
            zip(*_photographs(120), strict=True)
        ):
            path = photos / f"class {label}" / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
        return data.image_folder(photos, cache_dir=f"{folder}/cache")


# How a stream is made, and the network that trains on it.
STREAMS: dict[str, tuple[Callable[..., TaskStream], Callable]] = {
    "digits": (data.digits, backbones.digits),
    "synthetic": (data.synthetic, backbones.by_channel),
    "cifar100": (
        functools.partial(data.cifar100, num_tasks=1),
        backbones.cifar,
    ),
    "tfds_classes of cifar100": (
        functools.partial(
            data.tfds_classes, "cifar100", 10, train_fraction=0.04
        ),
        backbones.cifar,
    ),
    "stl10": (
        functools.partial(data.stl10, num_tasks=1, train_fraction=1.0),
        backbones.stl10,
    ),
    "image_folder": (_image_folder, backbones.stl10),
    "arrays": (_arrays, backbones.office_home),
    "office_home": (data.office_home, backbones.office_home),
}
_BY_HAND = "office_home"


def main() -> None:
    arguments = _parser().parse_args()
    found = [
        _measure(name, arguments.rounds, augmentation)
        for name in arguments.streams
        for augmentation in (None, data.Augmentation(max_shift=2))
    ]
    header = [
        "stream",
        "augmented",
        "image",
        "delivers /s",
        "consumes /s",
        "ratio",
    ]
    rows = [
        [
            result["stream"],
            "yes" if result["augmented"] else "no",
            "x".join(map(str, result["image_shape"])),
            f"{result['delivered_per_second']:,.0f}",
            f"{result['consumed_per_second']:,.0f}",
            f"{result['ratio']:.1f}",
        ]
        for result in found
    ]
    text = "\n".join(aligned_rows(header, rows, num_text_columns=3))
    print(text)
    measuring.write_report(arguments, {"streams": found, "table": text})


def _measure(
    name: str, num_rounds: int, augmentation: data.Augmentation | None
) -> dict[str, Any]:
    """Returns the two rates of one stream and their ratio."""
    make_stream, backbone = STREAMS[name]
    task = make_stream()[0]
    method = methods.Static(backbone, layers.HardParameterSharing())
    method.begin_task(task)
    ready = training_batches(task, BATCH_SIZE, 0, 0).cache()
    samples = measuring.interleaved(
        {
            "delivers": functools.partial(_draw, task, augmentation),
            "consumes": lambda: [
                method.train_epoch(ready, epoch) for epoch in range(EPOCHS)
            ],
        },
        num_rounds,
    )
    num_images = EPOCHS * (task.num_train // BATCH_SIZE) * BATCH_SIZE
    delivered, consumed = (
        num_images / np.median(samples[kind]) for kind in samples
    )
    return {
        "stream": name,
        "augmented": augmentation is not None,
        "image_shape": task.image_shape,
        "delivered_per_second": delivered,
        "consumed_per_second": consumed,
        "ratio": float(
            np.median(np.divide(samples["consumes"], samples["delivers"]))
        ),
        "seconds": samples,
        "spread": {name: measuring.spread(s) for name, s in samples.items()},
    }


def _draw(task: Task, augmentation: data.Augmentation | None) -> None:
    for epoch in range(EPOCHS):
        batches = training_batches(task, BATCH_SIZE, 0, epoch, augmentation)
        _drain(iter(batches), batches.cardinality())


@tf.function(reduce_retracing=True)
def _drain(batches: Iterator, num_batches: tf.Tensor) -> tf.Tensor:
    """Draws all, in a compiled loop as training does."""
    total = tf.zeros([])
    for _ in tf.range(num_batches):
        images, _labels = next(batches)
        total += images[0, 0, 0, 0]
    return total


def _parser() -> argparse.ArgumentParser:
    parser = measuring.parser(__doc__)
    parser.add_argument(
        "--streams",
        nargs="+",
        choices=STREAMS,
        default=[name for name in STREAMS if name != _BY_HAND],
    )
    parser.add_argument("--rounds", type=int, default=7, help="samples each")
    return parser


if __name__ == "__main__":
    main()
