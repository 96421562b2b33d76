import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest

from lasem_tf.checks import InputError
from lasem_tf.data import Augmentation
from lasem_tf.evaluation.evaluator import evaluate
from lasem_tf.seeding import derive_seed
from lasem_tf.training import runner as runner_module
from lasem_tf.training.workdir import Workdir


class _Record:
    """An action that notes what it was told and when."""

    def __init__(self):
        self.notes = []

    def on_epoch_end(self, run):
        self.notes.append(("epoch", run.task_index, run.epoch))
        self.global_epoch, self.result = run.global_epoch, run.result
        self.measured = [row.task for row in run.history.at(run.global_epoch)]

    def on_task_end(self, run):
        self.notes.append(("task", run.task_index, run.epoch))

    def on_run_end(self, run):
        self.notes.append(("end", run.task_index, run.epoch))
        self.train_seconds = run.train_seconds
        self.total_seconds = run.total_seconds
        self.state = Workdir(run.workdir).state


class _Begin:
    """An action with the one hook that `_Record` has not."""

    def on_run_begin(self, run):
        self.run = dataclasses.replace(run)


def test_learns_the_tasks_in_order(fake_run, tmp_path):
    method, record, begin = fake_run.FakeMethod(), _Record(), _Begin()

    fake_run.make_runner(tmp_path, method, actions=[record, begin]).run()

    assert method.calls == [
        *("begin_task", *(f"train_epoch {e}" for e in range(4)), "end_task"),
        *("begin_task", *(f"train_epoch {e}" for e in range(4, 8)), "end_task"),
        *(
            "begin_task",
            *(f"train_epoch {e}" for e in range(8, 12)),
            "end_task",
        ),
    ]
    assert record.notes == [
        *[("epoch", 0, e) for e in range(4)],
        ("task", 0, 3),
        *[("epoch", 1, e) for e in range(4)],
        ("task", 1, 3),
        *[("epoch", 2, e) for e in range(4)],
        ("task", 2, 3),
        ("end", 2, 3),
    ]
    assert record.state == "running"
    assert record.global_epoch == 11
    assert math.isfinite(record.result.loss)
    assert (begin.run.task_index, begin.run.epoch) == (0, -1)
    assert (begin.run.global_epoch, begin.run.result) == (-1, None)
    assert (begin.run.num_epochs, begin.run.seed) == (4, 3)
    assert Workdir(tmp_path).state == "complete"


def test_what_is_measured_when(left_alone):
    metrics = pd.read_csv(left_alone / "metrics.csv")

    for split in ("validation", "test"):
        rows = metrics[metrics["split"] == split]
        found = list(zip(rows["global_epoch"], rows["task"], strict=True))
        expected = [
            (epoch, task)
            for epoch in range(12)
            for task in range(3)
            if task == epoch // 4 or (epoch % 4 == 3 and task < epoch // 4)
        ]
        assert found == expected
    assert (metrics["current_task"] == metrics["global_epoch"] // 4).all()
    assert (metrics["epoch"] == metrics["global_epoch"] % 4).all()


def test_every_learned_task_is_measured_as_often_as_asked(fake_run, tmp_path):
    record = _Record()
    fake_run.make_runner(tmp_path, evaluate_all_every=3, actions=[record]).run()

    metrics = pd.read_csv(tmp_path / "metrics.csv")
    first_task = metrics[(metrics["task"] == 0) & (metrics["split"] == "test")]
    assert list(first_task["global_epoch"]) == [0, 1, 2, 3, 6, 7, 10, 11]
    assert record.measured == [0, 0, 1, 1, 2, 2]


def test_measures_the_network_as_it_is_after_the_task_ended(fake_run, tmp_path):
    # The second task rolls its shared filters back when it ends.
    method, stream = fake_run.FakeMethod(), fake_run.make_stream()
    seen = {}

    class Measure:
        def on_task_end(self, run):
            if run.task_index == 1:
                for task in (0, 1):
                    batches = (
                        stream[task]
                        .test.batch(40)
                        .map(lambda x, y: (stream[0].preprocess(x), y))
                    )
                    seen[task] = evaluate(method.predictor(task), batches).loss

    history = fake_run.make_runner(tmp_path, method, actions=[Measure()]).run()

    written = {
        row.task: row.loss for row in history.at(7) if row.split == "test"
    }
    assert written == pytest.approx(seen, rel=1e-6)


def test_the_history_is_what_the_file_says(fake_run, tmp_path):
    history = fake_run.make_runner(tmp_path).run()

    text = (tmp_path / "metrics.csv").read_text()
    rows = [tuple(line.split(",")) for line in text.splitlines()[1:]]
    assert [tuple(map(str, row)) for row in history.rows] == rows
    first = history.accuracy("test")[:, 0]
    assert np.isnan(first).tolist() == [e > 3 and e % 4 != 3 for e in range(12)]


def test_beliefs_are_written_for_every_epoch_and_configuration(left_alone):
    beliefs = pd.read_csv(left_alone / "configurations.csv")

    assert list(beliefs["configuration"]) == ["S", "T"] * 12
    assert list(beliefs["task"] * 4 + beliefs["epoch"]) == [
        epoch for epoch in range(12) for _ in "ST"
    ]
    prior = np.array([0.1, 0.9], np.float32) / 7
    row = beliefs[(beliefs["task"] == 1) & (beliefs["epoch"] == 2)]
    assert (row["prior"].to_numpy(np.float32) == prior).all()
    assert (row["posterior"].to_numpy(np.float32) == prior[::-1]).all()


def test_the_data_order_is_a_function_of_seed_task_and_epoch(
    fake_run, tmp_path, monkeypatch
):
    asked, original = [], runner_module.training_batches

    def note(task, batch_size, seed, epoch, augmentation):
        asked.append((task.name, batch_size, seed, epoch, augmentation))
        return original(task, batch_size, seed, epoch, augmentation)

    augmentation = Augmentation()
    runner = fake_run.make_runner(tmp_path, augmentation=augmentation)
    monkeypatch.setattr(runner_module, "training_batches", note)
    runner.run()

    assert asked == [
        (
            f"fake_{task}",
            4,
            derive_seed(3, "data_order", task),
            epoch,
            augmentation,
        )
        for task in range(3)
        for epoch in range(4)
    ]


def test_a_complete_run_is_not_repeated(fake_run, tmp_path):
    first, again = fake_run.FakeMethod(), fake_run.FakeMethod()
    history = fake_run.make_runner(tmp_path, first).run()
    files = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    record, begin = _Record(), _Begin()

    runner = fake_run.make_runner(tmp_path, again, actions=[record, begin])

    assert runner.run().rows == history.rows
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == files
    assert record.notes == [] and not hasattr(begin, "run")
    assert again.calls == ["rebuild_task S", "rebuild_task T", "rebuild_task S"]
    for name, variable in first.state.items():
        assert (again.state[name].numpy() == variable.numpy()).all()


def test_a_complete_run_without_checkpoints_keeps_its_results(
    fake_run, tmp_path
):
    history = fake_run.make_runner(tmp_path).run()
    results = fake_run.results(tmp_path)
    for folder in (tmp_path / "checkpoints").iterdir():
        (folder / "progress.json").unlink()

    assert fake_run.make_runner(tmp_path).run().rows == history.rows
    assert fake_run.results(tmp_path) == results


def test_training_seconds_leave_out_everything_else(
    fake_run, tmp_path, monkeypatch
):
    # A clock that moves only where we let it.
    clock = [0.0]
    monkeypatch.setattr(runner_module.time, "monotonic", lambda: clock[0])

    class Slow(fake_run.FakeMethod):
        def begin_task(self, task):
            clock[0] += 1000
            super().begin_task(task)

        def train_epoch(self, batches, global_epoch):
            clock[0] += 1
            return super().train_epoch(batches, global_epoch)

        def end_task(self):
            clock[0] += 100
            super().end_task()

    record = _Record()
    fake_run.make_runner(tmp_path, Slow(), actions=[record]).run()

    assert record.train_seconds == 12
    assert record.total_seconds == 12 + 3 * 1100
    progress = tmp_path / "checkpoints/epoch_000012/progress.json"
    content = json.loads(progress.read_text())
    assert content["train_seconds"] == record.train_seconds
    assert content["total_seconds"] == record.total_seconds


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_run(fake_run, tmp_path, loss):
    class Diverging(fake_run.FakeMethod):
        def train_epoch(self, batches, global_epoch):
            result = super().train_epoch(batches, global_epoch)
            if global_epoch == 5:
                result = dataclasses.replace(result, loss=loss)
            return result

    message = (
        rf"training loss of task 2 \('fake_1'\) is {loss} in epoch 2\. Lower"
    )
    with pytest.raises(FloatingPointError, match=message):
        fake_run.make_runner(tmp_path, Diverging()).run()

    assert Workdir(tmp_path).state == "interrupted"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_epochs", 0),
        ("num_epochs", 1.5),
        ("batch_size", 0),
        ("evaluate_all_every", -1),
        ("checkpoint_every", 0),
        ("evaluation_batch_size", 0),
    ],
)
def test_numbers_that_are_too_small_are_refused(
    fake_run, tmp_path, name, value
):
    with pytest.raises(InputError, match=f"`{name}` must be .*{name}={value}"):
        fake_run.make_runner(tmp_path, **{name: value})


def test_a_method_made_for_other_epochs_is_refused(fake_run, tmp_path):
    method = fake_run.FakeMethod()
    method.num_epochs = 3
    fake_run.make_runner(tmp_path, method, num_epochs=3)
    message = "what the method was made for, 3. Received: num_epochs=4"
    with pytest.raises(InputError, match=message):
        fake_run.make_runner(tmp_path, method, num_epochs=4)


def test_a_batch_that_any_task_cannot_fill_is_refused_at_once(
    fake_run, tmp_path
):
    method = fake_run.FakeMethod()

    with pytest.raises(InputError, match=r"batch_size=15"):
        fake_run.make_runner(tmp_path, method, batch_size=15)

    assert method.calls == []


def test_a_method_that_has_been_in_a_run_is_refused(fake_run, tmp_path):
    """It would tell of the tasks of the run before."""
    method = fake_run.FakeMethod()
    fake_run.make_runner(tmp_path / "first", method).run()
    again = fake_run.make_runner(tmp_path / "second", method)
    with pytest.raises(InputError, match="in no run before.*Make a new Fake"):
        again.run()


def test_a_new_method_that_equals_the_last_one_is_not_it(fake_run, tmp_path):
    class Equal(fake_run.FakeMethod):
        def __eq__(self, other):
            return type(self) is type(other)

        __hash__ = None

    methods = [Equal(), Equal()]
    for number, method in enumerate(methods):
        fake_run.make_runner(tmp_path / str(number), method).run()
    assert methods[0] == methods[1]
