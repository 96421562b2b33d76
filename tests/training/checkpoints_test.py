import json
import shutil

import keras
import pytest
import tensorflow as tf

from lasem_tf.training import checkpoints
from lasem_tf.training.checkpoints import (
    Progress,
    newest_checkpoint,
    save_checkpoint,
)


def _state(value=0.0):
    return {
        "weights": tf.Variable([value, value + 1]),
        "layer": _built_layer(value),
    }


def _built_layer(value):
    layer = keras.layers.Dense(2, kernel_initializer="ones")
    layer.build([None, 3])
    layer.kernel.assign(layer.kernel * value)
    return layer


@pytest.fixture
def folder(tmp_path):
    """Three checkpoints were written, of 8, 9 and 10 epochs."""
    folder = tmp_path / "checkpoints"
    for number in (8, 9, 10):
        progress = Progress(task=1, epoch=number, selections=("ST",))
        save_checkpoint(folder, number, _state(float(number)), progress)
    return folder


def test_values_and_progress_come_back(tmp_path):
    progress = Progress(
        task=2,
        epoch=7,
        selections=("ST", None),
        csv_bytes={"metrics.csv": 123},
        train_seconds=0.1,
        total_seconds=0.3,
    )
    save_checkpoint(tmp_path, 9, _state(5.0), progress)
    state = _state()

    checkpoint = newest_checkpoint(tmp_path)
    checkpoint.restore(state)

    assert checkpoint.progress == progress
    assert state["weights"].numpy().tolist() == [5.0, 6.0]
    assert state["layer"].kernel.numpy().tolist() == [[5.0, 5.0]] * 3


def test_no_folder_is_no_checkpoint(tmp_path):
    assert newest_checkpoint(tmp_path / "absent") is None


def test_the_newest_two_are_kept(folder):
    names = sorted(path.name for path in folder.iterdir())

    assert names == ["epoch_000009", "epoch_000010"]
    assert newest_checkpoint(folder).progress.epoch == 10


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_another_state_is_not_restored(folder, change):
    state = _state()
    if change == "missing":
        del state["layer"]
    elif change == "extra":
        state["more"] = tf.Variable(1.0)
    else:
        state["weights"] = tf.Variable([1.0])

    error = ValueError if change == "shape" else AssertionError
    with pytest.raises(error):
        newest_checkpoint(folder).restore(state)


def _data(folder):
    return next(folder.glob("state.data-*"))


def _without_progress(folder):
    (folder / "progress.json").unlink()


def _half_progress(folder):
    path = folder / "progress.json"
    path.write_text(path.read_text()[:40])


def _progress_of_something_else(folder):
    (folder / "progress.json").write_text("[1]")


def _unknown_progress(folder):
    path = folder / "progress.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"x": 1}))


def _without_data(folder):
    _data(folder).unlink()


def _half_data(folder):
    _data(folder).write_bytes(_data(folder).read_bytes()[:10])


def _flipped_bit(folder):
    content = bytearray(_data(folder).read_bytes())
    content[3] ^= 1
    _data(folder).write_bytes(content)


def _without_index(folder):
    (folder / "state.index").unlink()


def _empty(folder):
    shutil.rmtree(folder)
    folder.mkdir()


@pytest.mark.parametrize(
    "damage",
    [
        _without_progress,
        _half_progress,
        _progress_of_something_else,
        _unknown_progress,
        _without_data,
        _half_data,
        _flipped_bit,
        _without_index,
        _empty,
    ],
)
def test_a_damaged_checkpoint_is_never_taken_for_whole(folder, damage):
    damage(folder / "epoch_000010")
    state = _state()

    checkpoint = newest_checkpoint(folder)
    checkpoint.restore(state)

    assert checkpoint.progress.epoch == 9
    assert state["weights"].numpy().tolist() == [9.0, 10.0]
    damage(folder / "epoch_000009")
    assert newest_checkpoint(folder) is None


def test_a_damaged_checkpoint_is_written_over(folder):
    _half_data(folder / "epoch_000010")
    (folder / "epoch_000010" / "state_temp").mkdir()

    save_checkpoint(folder, 10, _state(20.0), Progress(epoch=20))

    assert newest_checkpoint(folder).progress.epoch == 20
    assert not (folder / "epoch_000010" / "state_temp").exists()


def test_later_checkpoints_that_were_passed_over_are_removed(folder):
    _half_data(folder / "epoch_000010")
    (folder / "epoch_000012").mkdir()
    _flipped_bit(folder / "epoch_000010")

    save_checkpoint(folder, 9, _state(), Progress(epoch=9))

    assert [path.name for path in folder.iterdir()] == ["epoch_000009"]


@pytest.mark.parametrize("step", ["write_json", "_checksums"])
def test_an_error_while_writing_leaves_the_earlier_one(
    folder, monkeypatch, step
):
    def fail(*arguments):
        raise OSError("No space left on device")

    with monkeypatch.context() as context:
        context.setattr(checkpoints, step, fail)
        with pytest.raises(OSError, match="No space left"):
            save_checkpoint(folder, 11, _state(), Progress(epoch=11))

    assert (folder / "epoch_000011").is_dir()
    assert newest_checkpoint(folder).progress.epoch == 10
