import pytest

from lasem_tf.checks import InputError
from lasem_tf.data.problems import BadImageWarning, Problems

ERROR = InputError("All is well.", received="not all", remedy="Mend it.")


def test_the_first_problem_stops_all():
    problems = Problems("raise")
    with pytest.raises(InputError, match="Received: not all"):
        problems.meet(ERROR, "'a.png'")
    assert problems.num_left_out == 0


def test_problems_are_told_and_counted_where_they_are_skipped():
    problems = Problems("skip")
    with pytest.warns(BadImageWarning, match="Left out 'a.png': All is well"):
        problems.meet(ERROR, "'a.png'")
    with pytest.warns(BadImageWarning, match="Left out class 'cat'"):
        problems.meet(ERROR, "class 'cat'", 12)
    assert problems.num_left_out == 13


def test_refuses_another_way_of_meeting_them():
    with pytest.raises(InputError, match="`on_bad_image` must be one of"):
        Problems("ignore")


def test_a_warning_takes_one_line_whatever_files_are_called():
    with pytest.warns(BadImageWarning) as told:
        Problems("skip").meet(ERROR, "'two\nlines\r.png'")
    (message,) = (str(warning.message) for warning in told)
    assert message.startswith("Left out 'two lines .png': All is well.")
    assert len(message.splitlines()) == 1
