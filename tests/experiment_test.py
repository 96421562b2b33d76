"""A whole run, put together in Python."""

import contextlib
import dataclasses
import json
import signal
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import lasem_tf
from lasem_tf import experiment
from lasem_tf.checks import InputError
from lasem_tf.methods import RMSprop
from lasem_tf.networks.backbones import plain_cnn
from lasem_tf.training.interruption import Interrupted
from lasem_tf.training.workdir import Workdir


def backbone(image_shape):
    return plain_cnn(
        image_shape,
        channels=(4, 4),
        kernel_sizes=(3, 3),
        pool_sizes=(2, 2),
        dense_units=(8,),
    )


def _stream(num_tasks=2):
    return lasem_tf.data.synthetic(
        num_tasks=num_tasks, num_train=20, num_test=20
    )


def _method(configuration="all", **arguments):
    return lasem_tf.Static(
        backbone=backbone,
        sharing=lasem_tf.HardParameterSharing(),
        configuration=configuration,
        **arguments,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "finished"
    history = lasem_tf.run(_method(), _stream(), num_epochs=2, workdir=workdir)
    return types.SimpleNamespace(workdir=workdir, history=history)


def test_a_run_returns_every_accuracy(finished):
    accuracy = finished.history.accuracy("test")
    assert accuracy.shape == (4, 2)
    assert np.isnan(accuracy[0, 1]) and not np.isnan(accuracy[3]).any()


def test_a_run_leaves_what_the_contract_says(finished):
    names = {path.name for path in finished.workdir.iterdir()}
    assert names >= {
        "operative_config.gin",
        "run.json",
        "metrics.csv",
        "configurations.csv",
        "accuracy_matrix.csv",
        "summary.json",
        "exports",
        "checkpoints",
        "tensorboard",
    }
    summary = json.loads((finished.workdir / "summary.json").read_text())
    assert summary["selected_configurations"] == ["SS", "SS"]
    assert summary["final_accuracy"] == pytest.approx(
        list(finished.history.accuracy("test")[3])
    )
    exports = sorted(p.name for p in (finished.workdir / "exports").iterdir())
    assert exports == ["task_00", "task_01"]


def test_the_configuration_is_told_from_the_arguments(finished):
    text = (finished.workdir / "operative_config.gin").read_text()
    lines = text.splitlines()
    assert lines[0] == experiment.TOLD_BY_PYTHON
    assert {
        "run.num_epochs = 2",
        "run.batch_size = 10",
        "run.deterministic = False",
        "stream.name = 'synthetic'",
        "stream.num_tasks = 2",
        "stream.seed = 0",
        "Static.configuration = 'all'",
    } <= set(lines)


def test_a_finished_run_is_not_repeated(finished):
    before = (finished.workdir / "metrics.csv").read_bytes()
    method = _method()
    history = lasem_tf.run(
        method, _stream(), num_epochs=2, workdir=finished.workdir
    )
    np.testing.assert_array_equal(
        history.accuracy("test"), finished.history.accuracy("test")
    )
    assert (finished.workdir / "metrics.csv").read_bytes() == before
    # The method is as it was, so its models can be used.
    images = np.zeros((1, *_stream()[0].image_shape), np.float32)
    assert method.task_model(1)(images).shape == (1, 4)


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ({}, {"num_epochs": 3}, "begun with `run.num_epochs = 2`"),
        ({}, {"seed": 1}, "begun with `seed = 0`. Received: seed = 1"),
        ({"seed": 1}, {}, "begun with `Static.seed = "),
        ({"configuration": "TT"}, {}, "`Static.configuration = 'all'`"),
        ({}, {"stream": 1}, "begun with `stream.num_tasks = 2`"),
    ],
)
def test_another_run_may_not_go_on_in_the_workdir(
    finished, method, arguments, message
):
    before = (finished.workdir / "run.json").read_bytes()
    stream = _stream(arguments.pop("stream", 2))
    with pytest.raises(InputError, match=message):
        lasem_tf.run(
            _method(**method),
            stream,
            **({"num_epochs": 2} | arguments),
            workdir=finished.workdir,
        )
    assert (finished.workdir / "run.json").read_bytes() == before


def test_actions_are_told(tmp_path):
    class Count:
        num_epochs = 0

        def on_epoch_end(self, run):
            self.num_epochs += 1

    count = Count()
    lasem_tf.run(
        _method(),
        _stream(1),
        num_epochs=2,
        workdir=tmp_path / "new",
        actions=[count],
    )
    assert count.num_epochs == 2


@pytest.mark.parametrize("existed", [False, True])
def test_a_refused_run_leaves_nothing(tmp_path, existed):
    workdir = tmp_path / "new"
    if existed:
        workdir.mkdir()
    with pytest.raises(InputError, match="one letter per"):
        lasem_tf.run(_method("TST"), _stream(1), num_epochs=1, workdir=workdir)
    assert workdir.exists() == existed
    assert not existed or not any(workdir.iterdir())


def test_a_run_refused_for_another_process_leaves_its_workdir(
    tmp_path, monkeypatch
):
    pytest.importorskip("fcntl", reason="this system has no file locks")
    workdir = tmp_path / "new"
    others = Workdir(workdir)
    held = contextlib.ExitStack()
    whole = Workdir.open

    def open_and_overtake(self, *arguments):
        # The other process started in the same instant, and was faster.
        whole(self, *arguments)
        held.enter_context(others.locked())

    monkeypatch.setattr(Workdir, "open", open_and_overtake)
    with held, pytest.raises(InputError, match="Only one process at a time"):
        lasem_tf.run(_method(), _stream(1), num_epochs=1, workdir=workdir)
    assert others.state == "running"


@pytest.mark.parametrize("num_measured", [0, 1])
def test_a_loss_that_is_not_finite_leaves_what_may_explain_it(
    tmp_path, monkeypatch, num_measured
):
    method = _method()
    whole = method.train_epoch

    def diverge(batches, global_epoch):
        result = whole(batches, global_epoch)
        loss = result.loss if global_epoch < num_measured else float("nan")
        return dataclasses.replace(result, loss=loss)

    monkeypatch.setattr(method, "train_epoch", diverge)
    with pytest.raises(FloatingPointError, match="is nan in epoch"):
        lasem_tf.run(method, _stream(1), num_epochs=2, workdir=tmp_path / "new")
    assert Workdir(tmp_path / "new").state == "interrupted"
    metrics = (tmp_path / "new" / "metrics.csv").read_text().splitlines()
    assert len(metrics) == 1 + 2 * num_measured


def test_what_others_put_there_is_never_removed(tmp_path):
    (tmp_path / "diary.txt").write_text("dear diary")
    with pytest.raises(InputError, match="holds 'diary.txt'"):
        lasem_tf.run(_method(), _stream(1), num_epochs=1, workdir=tmp_path)
    assert (tmp_path / "diary.txt").read_text() == "dear diary"


def test_an_interrupted_run_is_kept_and_goes_on(tmp_path):
    class Interrupt:
        def on_epoch_end(self, run):
            signal.raise_signal(signal.SIGTERM)

    def go_on(*actions):
        return lasem_tf.run(
            _method(),
            _stream(1),
            num_epochs=2,
            workdir=tmp_path / "new",
            actions=actions,
        )

    with pytest.raises(Interrupted, match="epoch 1 of 2 .* same"):
        go_on(Interrupt())
    assert Workdir(tmp_path / "new").state == "interrupted"
    assert go_on().accuracy("test").shape == (2, 1)
    assert Workdir(tmp_path / "new").state == "complete"


@pytest.mark.parametrize(
    "name", ["num_epochs", "batch_size", "seed", "checkpoint_every"]
)
@pytest.mark.parametrize("value", [1.5, "2", None, True])
def test_whole_numbers_must_be_whole(tmp_path, name, value):
    with pytest.raises(InputError, match=f"`{name}` must be a whole number"):
        lasem_tf.run(
            _method(),
            _stream(1),
            **({"num_epochs": 1} | {name: value}),
            workdir=tmp_path / "new",
        )
    assert not (tmp_path / "new").exists()


# The root, as gin calls it.


def _run_experiment(**arguments):
    return experiment.run_experiment(
        **{
            "method": lasem_tf.Static,
            "backbone": backbone,
            "sharing": lasem_tf.HardParameterSharing,
            "stream": lambda seed: _stream(),
            "num_epochs": 1,
        }
        | arguments
    )


def test_the_root_makes_objects_runs_and_prints_the_table(tmp_path, capsys):
    workdir = tmp_path / "new"
    history = _run_experiment(
        workdir=workdir,
        num_tasks=1,
        config_text=lambda: "f.x = 1\n",
    )
    assert history.accuracy("test").shape == (1, 1)
    assert (workdir / "operative_config.gin").read_text() == "f.x = 1\n"
    printed = capsys.readouterr().out
    accuracy = 100 * history.accuracy("test")[0, 0]
    assert printed.startswith(f"Workdir: {workdir}\n")
    assert f" {accuracy:.1f} |" in printed
    assert f"Report: {workdir / 'summary.json'}" in printed


def test_the_root_hands_on_what_it_is_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    started, seeds = [], []
    monkeypatch.setattr(
        experiment, "run", lambda *objects, **rest: started.append(objects)
    )
    monkeypatch.setattr(experiment, "_print_results", lambda workdir: None)

    def stream(seed):
        seeds.append(seed)
        return _stream()

    _run_experiment(
        workdir=None,
        stream=stream,
        seed=7,
        sharing=lasem_tf.TensorFactorization,
        optimizer=lambda: RMSprop(learning_rate=0.5),
        learning_rate_decay=0.25,
        jit_compile=True,
    )
    ((method, tasks),) = started
    assert method.jit_compile is True
    assert method.learner == "tf"
    assert method.learning_rate_decay == 0.25
    assert float(method.optimizer().learning_rate) == 0.5
    assert (method.seed, seeds, len(tasks)) == (7, [7], 2)


def test_the_configuration_is_told_after_everything_was_used(monkeypatch):
    order = []
    monkeypatch.setattr(
        experiment, "run", lambda *objects, **rest: order.append("run")
    )
    monkeypatch.setattr(experiment, "_print_results", lambda workdir: None)

    def my_backbone(image_shape):
        order.append("backbone")
        return backbone(image_shape)

    def optimizer():
        order.append("optimizer")
        return keras.optimizers.SGD()

    _run_experiment(
        workdir="new",
        backbone=my_backbone,
        optimizer=optimizer,
        config_text=lambda: order.append("told") or "",
    )
    assert order == ["backbone", "optimizer", "told", "run"]


@pytest.mark.parametrize("num_tasks", [0, 3, 1.5, "all"])
def test_the_root_refuses_a_wrong_number_of_tasks(num_tasks):
    with pytest.raises(InputError, match="`num_tasks` must lie between 1 and"):
        _run_experiment(workdir="new", num_tasks=num_tasks)


def test_the_root_refuses_an_optimizer_that_cannot_be_made():
    with pytest.raises(InputError, match="Received: .*learning_rate=fast"):
        _run_experiment(
            workdir="new", optimizer=lambda: RMSprop(learning_rate="fast")
        )


def test_deterministic_is_handed_to_tensorflow(tmp_path, monkeypatch):
    called = []
    # The real one would hold for all tests that follow.
    monkeypatch.setattr(
        tf.config.experimental,
        "enable_op_determinism",
        lambda: called.append(True),
    )
    with pytest.raises(InputError):
        lasem_tf.run(
            _method(),
            _stream(1),
            num_epochs=0,
            workdir=tmp_path / "new",
            deterministic=True,
        )
    assert called == [True]
