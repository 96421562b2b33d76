import io
import re
import sys

from lasem_tf.reports.progress import ProgressBar

LINES = """\
Task 1 of 3 learned: SS, test accuracy 50.0 %, 0:01:30 so far.
Task 2 of 3 learned: TS, test accuracy 40.0 %, 0:01:30 so far.
Task 3 of 3 learned: TT, test accuracy 70.0 %, 0:01:30 so far.
"""


class Terminal(io.StringIO):
    def isatty(self):
        return True


def lines_of(output):
    """What was printed above the bar."""
    shown = output.getvalue().replace("\r", "\n").splitlines()
    return [line for line in shown if line.startswith("Task")]


def test_quiet_where_there_is_no_terminal(make_run):
    output = io.StringIO()
    make_run().play([ProgressBar(output)])
    assert output.getvalue() == ""


def test_default_output_is_standard_error(make_run, capsys, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    make_run().play([ProgressBar()])
    assert lines_of(terminal) == LINES.splitlines()
    assert capsys.readouterr().out == ""


def test_method_that_chooses_nothing(make_run):
    output = Terminal()
    selections = (None, {"columns": 2}, "TT")
    make_run(selections=selections).play([ProgressBar(output)])
    assert lines_of(output)[:2] == [
        "Task 1 of 3 learned: test accuracy 50.0 %, 0:01:30 so far.",
        "Task 2 of 3 learned: test accuracy 40.0 %, 0:01:30 so far.",
    ]


def test_bar_shows_where_the_run_is(make_run):
    output = Terminal()
    make_run().play([ProgressBar(output)])
    last = output.getvalue().split("\r")[-1]
    # After six epochs the prior of the fifth shift is highest at its second.
    assert last.startswith("task 3/3 · epoch 2/2 · test 70.0 % · SS |")
    assert re.search(r"\| 100 % · 00:00 left\s*$", last)
    assert lines_of(output) == LINES.splitlines()


def test_bar_of_a_continued_run_starts_where_it_was_left(make_run):
    run = make_run().play([], until=3)
    output = Terminal()
    bar = ProgressBar(output)
    run.play([bar], until=4)
    bar.on_run_end(run)
    shown = output.getvalue()
    assert re.search(r"\r *\|[^|]*\|  50 % · \? left", shown)
    last = shown.split("\r")[-1]
    assert last.startswith("task 2/3 · epoch 2/2 · test 40.0 % · ")
    assert "|  67 % · " in last
