import numpy as np
import pandas as pd
import pytest

from lasem_tf.checks import InputError
from lasem_tf.evaluation.history import AccuracyHistory, HistoryRow

NAN = float("nan")


def two_phases():
    """Two tasks of two epochs; the first is evaluated again at the end."""
    history = AccuracyHistory()
    history.add(0, 0, 0, 0, "test", 0.1, 2.0)
    history.add(1, 0, 1, 0, "test", 0.3, 1.5)
    history.add(2, 1, 0, 1, "test", 0.2, 2.0)
    history.add(3, 1, 1, 0, "test", 0.25, 1.7)
    history.add(3, 1, 1, 1, "test", 0.4, 1.2)
    return history


def test_accuracy_is_laid_out_by_epoch_and_task():
    np.testing.assert_array_equal(
        two_phases().accuracy("test"),
        [[0.1, NAN], [0.3, NAN], [NAN, 0.2], [0.25, 0.4]],
    )


def test_splits_do_not_mix():
    history = two_phases()
    history.add(1, 0, 1, 0, "validation", 0.9, 1.0)
    validation = history.accuracy("validation")
    assert validation[1, 0] == 0.9
    assert np.isnan(validation).sum() == validation.size - 1
    assert history.accuracy("test")[1, 0] == 0.3


def test_second_evaluation_replaces_the_first():
    history = two_phases()
    before = len(history.rows)
    row = history.add(3, 1, 1, 1, "test", 0.7, 0.9)
    assert len(history.rows) == before
    assert row in history.rows
    assert history.accuracy("test")[3, 1] == 0.7


def test_phases_and_counts():
    history = two_phases()
    assert history.phase_ends == (1, 3)
    assert history.num_global_epochs == 4
    assert history.num_tasks == 2


def test_rows_of_one_epoch():
    assert [row.task for row in two_phases().at(3)] == [0, 1]
    assert two_phases().at(17) == ()


def test_empty_history():
    history = AccuracyHistory()
    assert history.rows == ()
    assert history.phase_ends == ()
    assert history.num_global_epochs == 0
    assert history.accuracy("test").shape == (0, 0)


def test_survives_the_disk_to_the_last_bit(tmp_path):
    history = AccuracyHistory()
    # Thirds and sevenths are where a careless reader loses the last bit.
    for epoch in range(300):
        history.add(epoch, 0, epoch, 0, "test", epoch / 301, 1 / (epoch + 1))
    path = tmp_path / "metrics.csv"
    history.to_frame().to_csv(path, index=False)
    assert path.read_text().splitlines()[0] == (
        "global_epoch,current_task,epoch,task,split,accuracy,loss"
    )
    assert AccuracyHistory.from_csv(path).rows == history.rows


def test_frame_round_trip_and_later_rows_replace_earlier_ones():
    frame = two_phases().to_frame()
    assert list(frame.columns) == list(HistoryRow._fields)
    replaced = frame.iloc[[-1]].assign(accuracy=0.99)
    history = AccuracyHistory.from_frame(pd.concat([frame, replaced]))
    assert len(history.rows) == len(frame)
    assert history.accuracy("test")[3, 1] == 0.99


def test_header_alone_is_an_empty_history(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text(",".join(HistoryRow._fields) + "\n")
    assert AccuracyHistory.from_csv(path).rows == ()


def test_rows_hold_plain_numbers():
    history = AccuracyHistory()
    row = history.add(
        np.int64(0), 0, 0, np.int32(0), "test", np.float64(0.5), np.float32(1)
    )
    assert [type(value) for value in row] == [int] * 4 + [str, float, float]


def test_unknown_split_is_refused():
    message = "`split` must be one of 'train', 'validation', 'test'"
    with pytest.raises(InputError, match=message):
        AccuracyHistory().add(0, 0, 0, 0, "dev", 0.1, 1.0)
    with pytest.raises(InputError, match=message):
        two_phases().accuracy("dev")


def test_missing_column_is_refused(tmp_path):
    frame = two_phases().to_frame().drop(columns=["split", "loss"])
    message = (
        "needs the columns global_epoch.*Received: none called split, loss"
    )
    with pytest.raises(InputError, match=message):
        AccuracyHistory.from_frame(frame)
    path = tmp_path / "metrics.csv"
    frame.to_csv(path, index=False)
    with pytest.raises(InputError, match=message):
        AccuracyHistory.from_csv(path)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(
        InputError, match="'.*nowhere.csv', which is not a file"
    ):
        AccuracyHistory.from_csv(tmp_path / "nowhere.csv")
