import dataclasses

import pytest

from lasem_tf.checks import InputError
from lasem_tf.evaluation.evaluator import Evaluation
from lasem_tf.export import (
    disagreements,
    evaluate_exports,
    export_task,
    remeasured,
)
from tests.export.small_task import (
    images_of,
    make_model,
    make_stream,
)


@pytest.fixture(scope="module")
def stream():
    return make_stream(num_tasks=2)


@pytest.fixture(scope="module")
def workdir(stream, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("workdir")
    for index, task in enumerate(stream):
        path = workdir / "exports" / f"task_{index:02d}"
        export_task(make_model(seed=index), task, path)
    return workdir


def test_counts_the_correct_answers_of_every_export(workdir, stream):
    evaluations = evaluate_exports(workdir, stream, batch_size=10)

    for index, task in enumerate(stream):
        logits = make_model(seed=index)(task.preprocess(images_of(task.test)))
        labels = [int(label) for _, label in task.test]
        num_correct = int((logits.numpy().argmax(axis=1) == labels).sum())
        assert evaluations[index].num_correct == num_correct
        assert evaluations[index].num_examples == 23


def test_missing_export_is_refused(workdir):
    with pytest.raises(InputError, match="one export for each of the 3 tasks"):
        evaluate_exports(workdir, make_stream(num_tasks=3))


def test_export_of_another_task_is_refused(workdir, stream):
    other = dataclasses.replace(stream[1], class_names=("a", "b", "c"))
    stream = dataclasses.replace(stream, tasks=(stream[0], other))

    with pytest.raises(InputError, match=r"must have the classes \['a', 'b'"):
        evaluate_exports(workdir, stream)


def summary_of(*final_accuracy, end_of_phase=None):
    """A summary whose parts agree with each other."""
    phase = end_of_phase or final_accuracy
    pairs = list(zip(final_accuracy, phase, strict=True))[:-1]
    ratio = [final / end for final, end in pairs]
    moved = [final - end for final, end in pairs]
    return {
        "method": "lasem",
        "end_of_phase_accuracy": list(phase),
        "final_accuracy": list(final_accuracy),
        "mean_final_accuracy": sum(final_accuracy) / len(final_accuracy),
        "catastrophic_forgetting_ratio": ratio,
        "mean_catastrophic_forgetting_ratio": (
            sum(ratio) / len(ratio) if ratio else None
        ),
        "backward_transfer": sum(moved) / len(moved) if moved else None,
    }


@pytest.mark.parametrize("num_correct", [499, 500, 501])
def test_one_test_image_is_tolerated(num_correct):
    evaluations = [Evaluation(num_correct, 1000, loss=1.0)]

    assert disagreements(summary_of(0.5), evaluations) == ()


def test_more_than_one_test_image_is_named():
    evaluations = [Evaluation(500, 1000, 1.0), Evaluation(498, 1000, 1.0)]

    assert disagreements(summary_of(0.5, 0.5), evaluations) == (
        "task 1: the export answers 498 of 1000 test images correctly, "
        "summary.json says 500",
    )


@pytest.mark.parametrize(
    "key",
    [
        "mean_final_accuracy",
        "mean_catastrophic_forgetting_ratio",
        "backward_transfer",
    ],
)
def test_a_mean_that_does_not_follow_is_named(key):
    summary = summary_of(0.5, 0.5)
    evaluations = [Evaluation(500, 1000, 1.0), Evaluation(500, 1000, 1.0)]
    summary[key] += 0.1
    (line,) = disagreements(summary, evaluations)
    assert f"`{key}`: summary.json says {summary[key]}" in line


def test_what_follows_from_final_accuracies_is_measured_again():
    summary = summary_of(0.1, 0.1, 0.1, end_of_phase=(0.5, 0.8, 0.6))
    counts = (4, 8, 6)
    evaluations = [Evaluation(count, 10, loss=1.0) for count in counts]

    measured = remeasured(summary, evaluations)

    assert measured["method"] == "lasem"
    assert measured["end_of_phase_accuracy"] == [0.5, 0.8, 0.6]
    assert measured["final_accuracy"] == [0.4, 0.8, 0.6]
    assert measured["mean_final_accuracy"] == pytest.approx(0.6)
    # 0.4 / 0.5 and 0.8 / 0.8: the last task cannot have been forgotten.
    ratio = measured["catastrophic_forgetting_ratio"]
    assert ratio == pytest.approx([0.8, 1.0])
    mean_ratio = measured["mean_catastrophic_forgetting_ratio"]
    assert mean_ratio == pytest.approx(0.9)
    assert measured["backward_transfer"] == pytest.approx(-0.05)


def test_a_single_task_cannot_be_forgotten():
    measured = remeasured(summary_of(0.5), [Evaluation(5, 10, 1.0)])

    assert measured["catastrophic_forgetting_ratio"] == []
    assert measured["mean_catastrophic_forgetting_ratio"] is None
    assert measured["backward_transfer"] is None


@pytest.mark.parametrize("function", [remeasured, disagreements])
def test_summary_of_another_number_of_tasks_is_refused(function):
    with pytest.raises(InputError, match="must report all 1 exported tasks"):
        function(summary_of(0.5, 0.5), [Evaluation(5, 10, 1.0)])
