import collections

import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.util import tensor_util

from lasem_tf.evaluation.history import AccuracyHistory
from lasem_tf.reports.tensorboard import TensorBoard


def read_curves(workdir):
    """Returns tag -> list of (step, value), hiding nothing that is there."""
    accumulator = event_accumulator.EventAccumulator(
        str(workdir / "tensorboard"),
        size_guidance={event_accumulator.TENSORS: 0},
        # Readers may drop what a restarted run repeats; we leave nothing to
        # drop.
        purge_orphaned_data=False,
    )
    accumulator.Reload()
    # Files are read in the order of their names, which hold a time in seconds:
    # here several are of the same second, and a tenth comes before a second.
    return {
        tag: sorted(
            (event.step, float(tensor_util.make_ndarray(event.tensor_proto)))
            for event in accumulator.Tensors(tag)
        )
        for tag in accumulator.Tags()["tensors"]
    }


def back_to(run, num_epochs_done):
    """Returns the run as its checkpoint after so many epochs knows it."""
    frame = run.history.to_frame()
    kept = frame[frame.global_epoch < num_epochs_done]
    run.history = AccuracyHistory.from_frame(kept)
    run.global_epoch = num_epochs_done - 1
    return run


def test_curves_of_a_run(make_run):
    curves = read_curves(make_run().play([TensorBoard()]).workdir)
    expected = {
        "accuracy/task_00/test": [(0, 0.6), (1, 0.5), (3, 0.4), (5, 0.25)],
        "accuracy/task_01/test": [(2, 0.3), (3, 0.4), (5, 0.6)],
        "accuracy/task_02/validation": [(4, 0.85), (5, 0.75)],
        "loss/task_02/test": [(4, 1.2), (5, 1.3)],
        "training/loss": [(e, 1 / (1 + e)) for e in range(6)],
        "training/learning_rate": [(e, 0.5**e) for e in range(6)],
        "prior/SS": list(enumerate([0.1, 0.4, 0.3, 0.2, 0.1, 0.4])),
        "posterior/TT": list(enumerate([0.1, 0.2, 0.3, 0.4, 0.1, 0.2])),
    }
    for tag, curve in expected.items():
        np.testing.assert_allclose(curves[tag], curve, rtol=1e-6, err_msg=tag)
    tags = collections.Counter(tag.split("/")[0] for tag in curves)
    assert tags == {
        "accuracy": 6,
        "loss": 6,
        "training": 2,
        "prior": 4,
        "posterior": 4,
    }


def test_killed_and_continued_run_shows_the_curves_of_the_run_left_alone(
    make_run,
):
    alone = make_run(workdir="alone").play([TensorBoard()])
    killed = make_run(workdir="killed")
    truth = killed.accuracies
    # Were anything of the epochs after the checkpoint to stay, it would show.
    killed.accuracies = np.where(np.arange(6)[:, np.newaxis] < 3, truth, 5.0)
    killed.play([TensorBoard()], until=5)
    (path,) = (killed.workdir / "tensorboard").iterdir()
    with path.open("ab") as file:
        file.write(b"\x18\x00\x00")  # A record that the kill left unfinished.
    killed.accuracies = truth
    back_to(killed, 3).play([TensorBoard()])
    assert read_curves(killed.workdir) == read_curves(alone.workdir)


def test_run_may_be_continued_many_times(make_run):
    alone = make_run(workdir="alone").play([TensorBoard()])
    killed = make_run(workdir="killed")
    for checkpoint in (0, 1, 2, 4, 4):
        back_to(killed, checkpoint).play([TensorBoard()], until=5)
    back_to(killed, 5).play([TensorBoard()])
    assert read_curves(killed.workdir) == read_curves(alone.workdir)


def test_every_epoch_is_on_disk_when_it_ends(make_run):
    run = make_run()
    action = TensorBoard()
    run.play([action], until=1)
    # The file is still open, as it is when a run is killed.
    assert read_curves(run.workdir)["accuracy/task_00/test"] == [
        (0, np.float32(0.6))
    ]


def test_nothing_written_leaves_no_file(make_run):
    run = make_run()
    action = TensorBoard()
    action.on_run_begin(run)
    action.on_run_end(run)
    assert not (run.workdir / "tensorboard").exists()


def test_method_that_chooses_nothing_has_no_prior(make_run):
    run = make_run()
    action = TensorBoard()
    run.play([], until=1)
    run.result = type(run.result)(loss=np.float32(0.5), learning_rate=0.1)
    action.on_run_begin(run)
    action.on_epoch_end(run)
    curves = read_curves(run.workdir)
    assert not [tag for tag in curves if tag.startswith(("prior", "posterior"))]
    assert curves["training/loss"] == [(0, 0.5)]
    assert tf.summary.experimental.get_step() is None
