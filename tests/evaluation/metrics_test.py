"""Every expected number here was worked out by hand from `ACCURACY`."""

import numpy as np
import pytest

from lasem_tf.checks import InputError
from lasem_tf.evaluation import metrics

NAN = float("nan")

# Three tasks; phases of 3, 2 and 2 epochs.
#                     task 0 task 1 task 2
ACCURACY = np.array(
    [
        [0.20, NAN, NAN],
        [0.60, NAN, NAN],  # peak of task 0
        [0.50, NAN, NAN],  # end of task 0
        [NAN, 0.30, NAN],
        [0.40, 0.40, NAN],  # end and peak of task 1
        [0.90, NAN, 0.80],  # task 0 gains, but not in its own phase
        [0.25, 0.60, 0.70],  # end of the stream
    ]
)
PHASE_ENDS = (2, 4, 6)
MATRIX = np.array([[0.50, NAN, NAN], [0.40, 0.40, NAN], [0.25, 0.60, 0.70]])


def test_accuracy_matrix_holds_the_ends_of_the_phases():
    np.testing.assert_array_equal(
        metrics.accuracy_matrix(ACCURACY, PHASE_ENDS), MATRIX
    )


def test_accuracy_matrix_of_an_unfinished_stream():
    np.testing.assert_array_equal(
        metrics.accuracy_matrix(ACCURACY, PHASE_ENDS[:2]), MATRIX[:2]
    )


def test_peak_counts_the_own_phase_only():
    np.testing.assert_array_equal(
        metrics.peak_per_task_accuracy(ACCURACY, PHASE_ENDS), [0.6, 0.4, 0.8]
    )


def test_peak_by_validation_takes_the_first_best_validation_epoch():
    validation = np.array(
        [
            [0.50, NAN, NAN],  # first of two equal epochs: test 0.20
            [0.30, NAN, NAN],
            [0.50, NAN, NAN],
            [NAN, 0.90, NAN],  # test 0.30
            [0.99, 0.10, NAN],
            [0.99, NAN, 0.10],
            [0.99, 0.99, 0.20],  # test 0.70
        ]
    )
    np.testing.assert_array_equal(
        metrics.peak_per_task_accuracy(ACCURACY, PHASE_ENDS, validation),
        [0.2, 0.3, 0.7],
    )


def test_peak_by_validation_skips_epochs_without_test_accuracy():
    accuracy = np.array([[0.3], [NAN]])
    validation = np.array([[0.1], [0.9]])
    peak = metrics.peak_per_task_accuracy(accuracy, (1,), validation)
    np.testing.assert_array_equal(peak, [0.3])


def test_final_accuracy_is_the_last_row():
    np.testing.assert_array_equal(
        metrics.final_accuracy(MATRIX), [0.25, 0.6, 0.7]
    )


def test_forgetting_ratio_divides_by_the_end_of_the_phase_not_the_peak():
    # 0.25 / 0.50 and 0.60 / 0.40; the last task has none.
    np.testing.assert_allclose(
        metrics.catastrophic_forgetting_ratio(MATRIX), [0.5, 1.5], rtol=1e-15
    )


def test_forgetting_ratio_is_exactly_one_where_nothing_changed():
    # Fractions that no float holds exactly: a mean of means would miss 1.
    diagonal = np.array([1 / 3, 337 / 1000, 0.1 + 0.2, 1 / 7])
    matrix = np.where(np.tri(4, dtype=bool), diagonal, NAN)
    ratio = metrics.catastrophic_forgetting_ratio(matrix)
    assert ratio.tolist() == [1.0, 1.0, 1.0]
    assert metrics.backward_transfer(matrix) == 0.0


def test_forgetting_ratio_of_a_task_that_knew_nothing_is_one():
    matrix = np.array([[0.0, NAN, NAN], [0.0, 0.0, NAN], [0.0, 0.3, 0.5]])
    assert metrics.catastrophic_forgetting_ratio(matrix).tolist() == [1.0, 1.0]
    # The gain of task 1 is not lost: (0 + 0.3) / 2.
    np.testing.assert_allclose(metrics.backward_transfer(matrix), 0.15)


def test_one_task_has_no_forgetting_ratio_and_no_backward_transfer():
    matrix = np.array([[0.4]])
    assert metrics.catastrophic_forgetting_ratio(matrix).shape == (0,)
    assert np.isnan(metrics.backward_transfer(matrix))


def test_forgetting_along_the_stream():
    np.testing.assert_allclose(
        metrics.forgetting_along_stream(ACCURACY, PHASE_ENDS),
        [
            [NAN, NAN, NAN],
            [NAN, NAN, NAN],
            [NAN, NAN, NAN],
            [NAN, NAN, NAN],
            [0.8, NAN, NAN],
            [1.8, NAN, NAN],
            [0.5, 1.5, NAN],
        ],
        rtol=1e-15,
    )


def test_forgetting_along_the_stream_ends_with_the_final_ratio():
    generator = np.random.default_rng(0)
    accuracy = generator.uniform(0.1, 0.9, size=(12, 4))
    ends = (2, 5, 8, 11)
    matrix = metrics.accuracy_matrix(accuracy, ends)
    np.testing.assert_array_equal(
        metrics.forgetting_along_stream(accuracy, ends)[-1, :-1],
        metrics.catastrophic_forgetting_ratio(matrix),
    )


def test_backward_transfer():
    # ((0.25 - 0.50) + (0.60 - 0.40)) / 2
    np.testing.assert_allclose(metrics.backward_transfer(MATRIX), -0.025)


def test_forward_transfer():
    matrix = [[0.5, 0.3, NAN], [0.4, 0.4, 0.1], [0.2, 0.6, 0.7]]
    # ((0.3 - 0.2) + (0.1 - 0.25)) / 2
    found = metrics.forward_transfer(matrix, np.array([0.9, 0.2, 0.25]))
    np.testing.assert_allclose(found, -0.025)
    assert np.isnan(metrics.forward_transfer([[0.5]], np.array([0.1])))


def test_sharing_frequency():
    found = metrics.sharing_frequency(["SSTT", "STTT", "STST", "TTTT"])
    np.testing.assert_array_equal(found, [0.75, 0.25, 0.25, 0.0])


def test_confidence_interval():
    # Mean 3, s = sqrt(2.5), t(0.975, 4) = 2.776445: printed in any table.
    found = metrics.confidence_interval_95([1, 2, 3, 4, 5])
    np.testing.assert_allclose(found, 2.776445 * np.sqrt(2.5 / 5), rtol=1e-6)
    # t(0.975, 1) = 12.7062; s of {0, 2} is sqrt(2).
    found = metrics.confidence_interval_95([0.0, 2.0])
    np.testing.assert_allclose(found, 12.7062, rtol=1e-5)


def test_confidence_interval_of_each_column_over_seeds():
    values = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    found = metrics.confidence_interval_95(values)
    # t(0.975, 2) = 4.302653, s = 1.
    np.testing.assert_allclose(found, [4.302653 / np.sqrt(3), 0], rtol=1e-6)


def test_one_seed_has_no_confidence_interval():
    assert np.isnan(metrics.confidence_interval_95([0.4]))


@pytest.mark.parametrize("ends", [(2, 2, 6), (4, 2, 6), (2, 4, 7), (-1, 4)])
def test_phase_ends_must_fit(ends):
    message = r"`phase_ends` must be increasing.*Received: phase_ends="
    with pytest.raises(InputError, match=message):
        metrics.accuracy_matrix(ACCURACY, ends)
    with pytest.raises(InputError, match=message):
        metrics.peak_per_task_accuracy(ACCURACY, ends)
    with pytest.raises(InputError, match=message):
        metrics.forgetting_along_stream(ACCURACY, ends)


def test_task_without_evaluation_in_its_phase_is_refused():
    accuracy = np.array([[0.5, NAN], [0.4, NAN]])
    message = "Received: none for task 1 in the global epochs 1 to 1"
    with pytest.raises(InputError, match=message):
        metrics.peak_per_task_accuracy(accuracy, (0, 1))


@pytest.mark.parametrize(
    "measure",
    [
        metrics.final_accuracy,
        metrics.catastrophic_forgetting_ratio,
        metrics.backward_transfer,
    ],
)
def test_unfinished_stream_is_refused(measure):
    message = "Every task must have been learned, and evaluated at the end"
    with pytest.raises(InputError, match=message + r".*\(2, 3\)"):
        measure(MATRIX[:2])
    with pytest.raises(InputError, match=message + ".*gaps in its last row"):
        measure(np.array([[0.5, NAN], [NAN, 0.4]]))


def test_forward_transfer_without_early_answers_is_refused():
    with pytest.raises(InputError, match=r"none for the tasks \[1, 2\]"):
        metrics.forward_transfer(MATRIX, np.zeros(3))


def test_configurations_of_different_length_are_refused():
    message = "Configurations must be given, all of one length"
    with pytest.raises(InputError, match=message):
        metrics.sharing_frequency(["ST", "STT"])
    with pytest.raises(InputError, match=message):
        metrics.sharing_frequency([])


def test_confidence_interval_of_nothing_is_refused():
    with pytest.raises(InputError, match="at least one value"):
        metrics.confidence_interval_95([])
