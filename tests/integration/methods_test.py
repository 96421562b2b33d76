"""Every file of gin/methods/ through a whole run, stopped on its way."""

import csv
import json
import signal

import pytest

from lasem_tf import configuration, experiment
from lasem_tf.export import disagreements, evaluate_exports
from lasem_tf.recipes import GIN_FOLDER
from lasem_tf.training import Interrupted
from tests.recipe_files import METHODS

NUM_EPOCHS = 2
# The network of the quick start has three layers, the file's groups four.
CHANGES = {"lasem_grouped": ["Lasem.layer_groups=((1, 3), (2,))"]}


class StopInTheSecondTask(experiment.WriteSummary):
    """Ctrl-C where a task is half learned.

    In the place of an action of every run, since recipes take no others.
    """

    def on_epoch_end(self, run):
        if run.global_epoch == NUM_EPOCHS:
            signal.raise_signal(signal.SIGINT)


def _train(path, workdir):
    configuration.train(
        [GIN_FOLDER / "quickstart.gin", path],
        [
            f"NUM_EPOCHS={NUM_EPOCHS}",
            "NUM_TASKS=2",
            *CHANGES.get(path.stem, []),
        ],
        workdir=workdir,
    )


def _state(workdir):
    return json.loads((workdir / "run.json").read_text())["state"]


@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.stem)
def test_a_method_runs_stops_continues_and_exports(path, tmp_path, monkeypatch):
    workdir = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(experiment, "WriteSummary", StopInTheSecondTask)
        with pytest.raises(Interrupted, match="epoch 1 of 2 of task 2 of 2"):
            _train(path, workdir)
    assert _state(workdir) == "interrupted"
    _train(path, workdir)
    assert _state(workdir) == "complete"
    with (workdir / "metrics.csv").open() as file:
        rows = [tuple(row.values())[:5] for row in csv.DictReader(file)]
    splits = ("validation", "test")
    assert rows == [
        (str(epoch), str(epoch // 2), str(epoch % 2), str(task), split)
        for epoch in range(4)
        for task in ((0, 1) if epoch == 3 else (epoch // 2,))
        for split in splits
    ]
    summary = json.loads((workdir / "summary.json").read_text())
    for text in summary["selected_configurations"]:
        if summary["learner"] == "none":
            assert text is None
        else:
            assert len(text) == 3 and set(text) <= {"S", "T"}
    # What is exported answers as what was measured in memory.
    stream = configuration.load_stream(workdir)
    measured = evaluate_exports(workdir, stream)
    assert disagreements(summary, measured) == ()
