"""A run that is stopped, anyhow and anywhere, ends as the run left alone."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys

import pytest

from lasem_tf.checks import InputError
from lasem_tf.training import checkpoints, runner, workdir
from lasem_tf.training.interruption import Interrupted
from lasem_tf.training.workdir import Workdir


class _Killed(BaseException):
    """Stands for a kill: nothing in the library catches and swallows it."""


class _Killer:
    """Counts the steps of a run and ends the run at one of them."""

    def __init__(self, step=None):
        self.num_steps, self._step = 0, step

    def __call__(self):
        self.num_steps += 1
        if self.num_steps == self._step:
            raise _Killed


def _instrument(monkeypatch, killer, method):
    """Makes a step before and after everything that changes anything."""
    for owner, name in (
        (workdir, "write_json"),
        (workdir.os, "truncate"),
        (checkpoints, "write_json"),
        (checkpoints, "_remove"),
        (checkpoints.tf.train.Checkpoint, "write"),
        (checkpoints.tf.train.Checkpoint, "read"),
        (method, "begin_task"),
        (method, "train_epoch"),
        (method, "end_task"),
        (method, "rebuild_task"),
    ):
        step = _between(killer, getattr(owner, name))
        monkeypatch.setattr(owner, name, step)
    append = _cut_short(killer, Workdir.append)
    monkeypatch.setattr(Workdir, "append", append)


def _between(killer, original):
    def step(*arguments, **keywords):
        killer()
        result = original(*arguments, **keywords)
        killer()
        return result

    return step


def _cut_short(killer, original):
    def append(self, name, rows):
        try:
            killer()
        except _Killed:
            with (self.path / name).open("a") as file:
                file.write("7,1,3,half a r")
            raise
        original(self, name, rows)
        killer()

    return append


def _run_until_killed(fake_run, path, step, **settings):
    """Returns whether the run came to its end, and the steps it made."""
    killer, method = _Killer(step), fake_run.FakeMethod()
    with pytest.MonkeyPatch.context() as monkeypatch:
        _instrument(monkeypatch, killer, method)
        try:
            fake_run.make_runner(path, method, **settings).run()
        except _Killed:
            return False, killer.num_steps
    return True, killer.num_steps


def _assert_same(fake_run, path, left_alone):
    assert fake_run.results(path) == fake_run.results(left_alone)
    assert Workdir(path).state == "complete"
    states = []
    for each in (path, left_alone):
        method = fake_run.FakeMethod()
        fake_run.make_runner(each, method).run()
        states.append({k: v.numpy() for k, v in method.state.items()})
    for name, value in states[0].items():
        assert (value == states[1][name]).all()


def test_the_run_left_alone_is_worth_comparing_with(left_alone):
    history = runner.AccuracyHistory.from_csv(left_alone / "metrics.csv")

    loss = {
        (row.global_epoch, row.task): row.loss
        for row in history.rows
        if row.split == "test"
    }
    # Only the second task's roll-back gives the first one its loss back.
    assert loss.pop((7, 0)) == loss[3, 0]
    assert len(set(loss.values())) == len(loss)
    assert history.accuracy("test")[3, 0] > 0.6  # Chance would be a third.


@pytest.mark.parametrize("seed", range(3))
def test_killed_anywhere_again_and_again(fake_run, left_alone, tmp_path, seed):
    # Every attempt gets a little further, or not, and dies at another step.
    draw = random.Random(seed)
    checkpoint_every = draw.choice([1, 3, 100])
    num_attempts = 0

    is_complete = False
    while not is_complete:
        num_attempts += 1
        step = draw.randint(1, 25 * num_attempts)
        is_complete, _ = _run_until_killed(
            fake_run, tmp_path / "run", step, checkpoint_every=checkpoint_every
        )

    assert num_attempts > 3
    _assert_same(fake_run, tmp_path / "run", left_alone)


@pytest.fixture(scope="module")
def num_steps(fake_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("counted")
    return _run_until_killed(fake_run, path, None)[1]


# The last ones: complete on disk, and not; the checkpoint whole, and not.
@pytest.mark.parametrize("from_the_end", [0, 1, 4, 6])
def test_killed_near_the_end(
    fake_run, left_alone, tmp_path, num_steps, from_the_end
):
    path = tmp_path / "run"

    assert not _run_until_killed(fake_run, path, num_steps - from_the_end)[0]
    fake_run.make_runner(path).run()

    _assert_same(fake_run, path, left_alone)


def test_killed_before_the_first_checkpoint(fake_run, left_alone, tmp_path):
    path = tmp_path / "run"
    (path / "checkpoints" / "epoch_000003").mkdir(parents=True)
    (path / "checkpoints" / "epoch_000003" / "state.index").write_text("x")
    for name in ("run.json", "operative_config.gin"):
        (path / name).write_bytes((left_alone / name).read_bytes())
    (path / "metrics.csv").write_text("global_epoch,curr")
    Workdir(path).state = "running"

    fake_run.make_runner(path).run()

    _assert_same(fake_run, path, left_alone)


def test_falls_back_on_the_checkpoint_before(fake_run, left_alone, tmp_path):
    path = tmp_path / "run"
    _interrupt(fake_run, path, global_epoch=6)
    newest = path / "checkpoints" / "epoch_000007"
    data = next(newest.glob("state.data-*"))
    data.write_bytes(data.read_bytes()[:-1])
    method = fake_run.FakeMethod()

    fake_run.make_runner(path, method).run()

    assert "train_epoch 6" in method.calls
    _assert_same(fake_run, path, left_alone)


def test_a_run_tells_of_each_sitting_that_went_on(fake_run, tmp_path):
    path = tmp_path / "run"
    _interrupt(fake_run, path, global_epoch=1)
    assert "continued" not in json.loads((path / "run.json").read_text())
    _interrupt(fake_run, path, global_epoch=4)
    for _ in range(2):  # The second time it is complete: nothing goes on.
        fake_run.make_runner(path).run()

    run = json.loads((path / "run.json").read_text())

    assert [s["after_epochs"] for s in run["continued"]] == [2, 5]
    assert run["state"] == "complete"


class _Stop:
    """An action that presses Ctrl-C during one epoch."""

    def __init__(self, global_epoch):
        self._global_epoch = global_epoch

    def on_epoch_end(self, run):
        if run.global_epoch == self._global_epoch:
            signal.raise_signal(signal.SIGINT)


def _interrupt(fake_run, path, global_epoch, method=None):
    method = method or fake_run.FakeMethod()
    stop = _Stop(global_epoch)
    with pytest.raises(Interrupted) as caught:
        fake_run.make_runner(path, method, actions=[stop]).run()
    return str(caught.value)


def test_an_interruption_finishes_the_epoch_and_saves(fake_run, tmp_path):
    message = _interrupt(fake_run, tmp_path, global_epoch=5)

    assert message == (
        "Stopped after epoch 2 of 4 of task 2 of 3; the same command continues."
    )
    assert Workdir(tmp_path).state == "interrupted"
    progress = tmp_path / "checkpoints" / "epoch_000006" / "progress.json"
    content = json.loads(progress.read_text())
    assert (content["task"], content["epoch"]) == (1, 2)
    assert content["selections"] == ["S"]


@pytest.mark.parametrize(
    ("global_epoch", "rebuilding"),
    [
        (0, ["begin_task"]),
        (3, ["rebuild_task S", "begin_task"]),
        (5, ["rebuild_task S", "begin_task"]),
        (11, ["rebuild_task S", "rebuild_task T", "rebuild_task S"]),
    ],
)
def test_an_interrupted_run_continues_where_it_was(
    fake_run, left_alone, tmp_path, global_epoch, rebuilding
):
    path, method = tmp_path / "run", fake_run.FakeMethod()
    _interrupt(fake_run, path, global_epoch)

    fake_run.make_runner(path, method).run()

    expected = [*rebuilding, f"train_epoch {global_epoch + 1}"]
    if global_epoch == 11:
        expected = rebuilding
    assert method.calls[: len(expected)] == expected
    assert len(set(method.calls) & {"train_epoch 0"}) == 0
    _assert_same(fake_run, path, left_alone)


def test_interrupted_after_every_epoch(fake_run, left_alone, tmp_path):
    path = tmp_path / "run"
    for global_epoch in range(12):
        _interrupt(fake_run, path, global_epoch)

    fake_run.make_runner(path).run()

    _assert_same(fake_run, path, left_alone)


def test_seconds_and_place_go_on(fake_run, tmp_path, monkeypatch):
    clock, seen = [0.0], []
    monkeypatch.setattr(runner.time, "monotonic", lambda: clock[0])

    class Slow(fake_run.FakeMethod):
        def train_epoch(self, batches, global_epoch):
            clock[0] += 1
            return super().train_epoch(batches, global_epoch)

        def end_task(self):
            clock[0] += 10
            super().end_task()

    class See:
        def on_run_begin(self, run):
            seen.append((run.task_index, run.epoch, run.global_epoch))
            seen.append((run.train_seconds, run.total_seconds))
            seen.append(len(run.history.rows))

        def on_run_end(self, run):
            seen.append((run.train_seconds, run.total_seconds))

    _interrupt(fake_run, tmp_path, global_epoch=5, method=Slow())
    clock[0] += 5000  # The pause between two processes counts for nothing.
    fake_run.make_runner(tmp_path, Slow(), actions=[See()]).run()

    assert seen == [(1, 1, 5), (6, 16), 12, (12, 42)]


def test_a_second_run_is_kept_out_of_a_running_one(fake_run, tmp_path):
    pytest.importorskip("fcntl", reason="this system has no file locks")
    messages = []

    class Intrude:
        def on_task_end(self, run):
            intruder = fake_run.make_runner(run.workdir)
            with pytest.raises(InputError, match="Only one process") as caught:
                intruder.run()
            messages.append(caught.value)

    fake_run.make_runner(tmp_path, actions=[Intrude()]).run()

    assert len(messages) == 3
    assert Workdir(tmp_path).state == "complete"


# Few, since each of them imports TensorFlow, and at points that need a process;
# the tests above reach every other point.
_SIGNALS = (
    ("epoch 5", signal.SIGINT),
    ("task 0", signal.SIGTERM),
    ("before progress 7", signal.SIGKILL),
)


@pytest.fixture(scope="module")
def processes(fake_run, tmp_path_factory):
    """Starts all the processes at once: importing TensorFlow takes longest."""
    folder = tmp_path_factory.mktemp("processes")
    # The very package that is tested here, installed or not.
    source = str(pathlib.Path(runner.__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": source}
    started = {}
    for point, number in _SIGNALS:
        path = folder / f"{point}-{number.name}"
        command = [sys.executable, fake_run.__file__, path, point, str(+number)]
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started[point, number] = path, process
    yield started
    for _, process in started.values():
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("point", "number"), _SIGNALS)
def test_a_process_that_was_sent_a_signal(
    fake_run, left_alone, processes, point, number
):
    path, process = processes[point, number]
    output, errors = process.communicate(timeout=300)

    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL, errors
        assert Workdir(path).state == "running"
    else:
        assert process.returncode == 130, errors
        assert output.startswith("Stopped after epoch ")
        assert "Stopping after this epoch" in errors
        assert Workdir(path).state == "interrupted"

    fake_run.make_runner(path).run()

    _assert_same(fake_run, path, left_alone)
