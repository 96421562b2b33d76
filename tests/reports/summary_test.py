import json

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.reports.summary import WriteSummary, read_summary, summarize

# The keys that scripts rely on, with the type of their value.
CONTRACT = {
    "method": str,
    "learner": str,
    "dataset": str,
    "seed": int,
    "num_tasks": int,
    "num_epochs": int,
    "selected_configurations": list,
    "peak_per_task_accuracy": list,
    "mean_peak_per_task_accuracy": float,
    "peak_per_task_accuracy_by_validation": list,
    "mean_peak_per_task_accuracy_by_validation": float,
    "end_of_phase_accuracy": list,
    "mean_end_of_phase_accuracy": float,
    "final_accuracy": list,
    "mean_final_accuracy": float,
    "catastrophic_forgetting_ratio": list,
    "mean_catastrophic_forgetting_ratio": float,
    "backward_transfer": float,
    "train_seconds": float,
    "total_seconds": float,
    "num_parameters": int,
    "approximations": list,
    "num_left_out": int,
}


def test_summary_holds_the_numbers_worked_out_by_hand(make_run):
    summary = summarize(make_run().play([]))
    exact = {
        "method": "lasem",
        "learner": "hps",
        "dataset": "made_up",
        "seed": 7,
        "num_tasks": 3,
        "num_epochs": 2,
        "selected_configurations": ["SS", "TS", "TT"],
        "peak_per_task_accuracy": [0.6, 0.4, 0.8],
        "end_of_phase_accuracy": [0.5, 0.4, 0.7],
        "final_accuracy": [0.25, 0.6, 0.7],
        "train_seconds": 60.4,
        "total_seconds": 90.0,
        "num_parameters": 12345,
        "approximations": [],
    }
    assert {key: summary[key] for key in exact} == exact
    rounded = {
        "mean_peak_per_task_accuracy": 0.6,
        "mean_end_of_phase_accuracy": 1.6 / 3,
        "mean_final_accuracy": 1.55 / 3,
        "catastrophic_forgetting_ratio": [0.5, 1.5],
        "mean_catastrophic_forgetting_ratio": 1.0,
        "backward_transfer": (-0.25 + 0.2) / 2,
    }
    for key, value in rounded.items():
        np.testing.assert_allclose(summary[key], value, rtol=1e-12)


def test_written_summary_has_the_keys_and_types_of_the_contract(make_run):
    run = make_run().play([WriteSummary()])
    summary = json.loads((run.workdir / "summary.json").read_text())
    assert {key: type(value) for key, value in summary.items()} == CONTRACT
    assert summary == summarize(run)


def test_peak_by_validation_follows_the_validation_accuracy(make_run):
    run = make_run().play([])
    # Task 0 validates best after its second epoch: test 0.5, not 0.6.
    run.history.add(1, 0, 1, 0, "validation", 0.99, 1.0)
    summary = summarize(run)
    assert summary["peak_per_task_accuracy_by_validation"] == [0.5, 0.4, 0.8]
    assert summary["peak_per_task_accuracy"] == [0.6, 0.4, 0.8]


def test_without_validation_there_is_no_peak_by_validation(make_run):
    run = make_run().play([])
    frame = run.history.to_frame().query("split == 'test'")
    run.history = type(run.history).from_frame(frame)
    summary = summarize(run)
    assert summary["peak_per_task_accuracy_by_validation"] is None
    assert summary["mean_peak_per_task_accuracy_by_validation"] is None


def test_one_task_has_nothing_to_forget_or_to_transfer(make_run):
    run = make_run([[0.2], [0.4]]).play([WriteSummary()])
    summary = read_summary(run.workdir)
    assert summary["catastrophic_forgetting_ratio"] == []
    assert summary["mean_catastrophic_forgetting_ratio"] is None
    assert summary["backward_transfer"] is None
    assert summary["mean_final_accuracy"] == 0.4


def test_frozen_tasks_have_a_ratio_of_exactly_one(make_run):
    thirds = np.tile([1 / 3, 0.1 + 0.2, 337 / 1000], (6, 1))
    summary = summarize(make_run(thirds).play([]))
    assert summary["catastrophic_forgetting_ratio"] == [1.0, 1.0]
    assert summary["mean_catastrophic_forgetting_ratio"] == 1.0


def test_selections_that_are_no_configurations_are_left_out(make_run):
    selections = ("SS", None, {"columns": 3})
    summary = summarize(make_run(selections=selections).play([]))
    assert summary["selected_configurations"] == ["SS", None, None]


def test_methods_that_share_in_a_way_of_their_own_select_none(make_run):
    run = make_run(selections=("8-8", "8-16", "8-24")).play([])
    run.method.has_base_learner = False
    assert summarize(run)["selected_configurations"] == [None] * 3


def test_accuracy_matrix_grows_with_the_tasks(make_run):
    run = make_run().play([WriteSummary()], until=4)
    path = run.workdir / "accuracy_matrix.csv"
    assert path.read_text().splitlines() == [
        "after_task,task_00,task_01",
        "0,0.5,",
        "1,0.4,0.4",
    ]
    assert not (run.workdir / "summary.json").exists()
    run.play([WriteSummary()])
    np.testing.assert_array_equal(
        pd.read_csv(path, index_col="after_task"),
        [[0.5, np.nan, np.nan], [0.4, 0.4, np.nan], [0.25, 0.6, 0.7]],
    )


def test_unfinished_run_is_refused(make_run):
    run = make_run().play([], until=4)
    with pytest.raises(
        InputError, match="whole stream. Received: 2 of 3 tasks"
    ):
        summarize(run)


@pytest.mark.parametrize("content", [None, "{", "[]", '{"accuracy": 1}'])
def test_what_is_no_summary_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "summary.json").write_text(content)
    message = "A finished run has a `summary.json`. Received: '.*' which has"
    with pytest.raises(InputError, match=message.replace("' w", "', w")):
        read_summary(tmp_path)


def test_what_changes_the_arithmetic_is_named(make_run):
    run = make_run()
    run.method.approximations = ("e_step_dtype=bfloat16",)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        summary = summarize(run.play([]))
    finally:
        keras.config.set_dtype_policy(before)
    assert summary["approximations"] == [
        "e_step_dtype=bfloat16",
        "dtype_policy=mixed_bfloat16",
    ]


def test_layers_of_lower_precision_are_named(make_run):
    run = make_run()
    layers = [
        keras.layers.Dense(2, dtype=dtype)
        for dtype in ("mixed_bfloat16", "float64", "float32")
    ]
    run.method.task_model = lambda task: keras.Sequential(layers)
    summary = summarize(run.play([]))
    assert summary["approximations"] == ["layers in bfloat16"]


def test_a_gpu_that_may_round_is_named(make_run, monkeypatch):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    try:
        for enabled, named in ((True, ["tensor_float_32"]), (False, [])):
            tf.config.experimental.enable_tensor_float_32_execution(enabled)
            summary = summarize(make_run().play([]))
            assert summary["approximations"] == named
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)
