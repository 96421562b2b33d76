import numpy as np
import pytest

from lasem_tf.checks import (
    InputError,
    check_at_least,
    check_count,
    check_one_of,
    check_whole_number,
)


def test_input_error_is_one_line_of_expectation_received_and_remedy():
    error = InputError(
        "`width` must be\n  positive.", received=(0, "a"), remedy="Pass 1."
    )
    assert isinstance(error, ValueError)
    assert str(error) == (
        "`width` must be positive. Received: (0, 'a'). Pass 1."
    )


def test_input_error_takes_text_as_it_is():
    error = InputError("Expected.", received="width=0", remedy="Pass 1.")
    assert str(error) == "Expected. Received: width=0. Pass 1."


@pytest.mark.parametrize("value", [1, 1.0, 2, float("inf")])
def test_check_at_least_accepts(value):
    check_at_least("rate", value, 1)


@pytest.mark.parametrize("value", [0.999, -1, float("nan"), True, "2", None])
def test_check_at_least_refuses(value):
    with pytest.raises(InputError) as caught:
        check_at_least("rate", value, 1)
    assert str(caught.value) == (
        "`rate` must be a number not below 1. "
        f"Received: rate={value!r}. Pass for example `rate=1`."
    )


@pytest.mark.parametrize("value", [0, -3, np.int64(5)])
def test_check_whole_number_accepts(value):
    check_whole_number("epochs", value)


@pytest.mark.parametrize("value", [1.0, True, "1", None, np.float32(1)])
def test_check_whole_number_refuses(value):
    with pytest.raises(InputError) as caught:
        check_whole_number("epochs", value)
    assert str(caught.value) == (
        "`epochs` must be a whole number. "
        f"Received: epochs={value!r}. Pass for example `epochs=1`."
    )


@pytest.mark.parametrize("value", [2, 3, np.int64(5)])
def test_check_count_accepts(value):
    check_count("epochs", value, 2)


@pytest.mark.parametrize(
    "value", [1, -3, 2.0, 2.5, True, "2", None, np.float32(2), float("nan")]
)
def test_check_count_refuses(value):
    with pytest.raises(InputError) as caught:
        check_count("epochs", value, 2)
    assert str(caught.value) == (
        "`epochs` must be a whole number not below 2. "
        f"Received: epochs={value!r}. Pass for example `epochs=2`."
    )


def test_check_one_of():
    check_one_of("prior", "counts", ("counts", "average"))
    with pytest.raises(InputError) as caught:
        check_one_of("prior", "flat", ("counts", "average"))
    assert str(caught.value) == (
        "`prior` must be one of 'counts', 'average'. "
        "Received: prior='flat'. Pass for example `prior='counts'`."
    )
