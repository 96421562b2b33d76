import pytest

from lasem_tf.training.actions import Action, notify

_HOOKS = ("on_run_begin", "on_epoch_end", "on_task_end", "on_run_end")


class _Note:
    """An action with one hook only."""

    def __init__(self, name, notes):
        self._name, self._notes = name, notes

    def on_epoch_end(self, run):
        self._notes.append((self._name, run))


def test_calls_the_actions_that_have_the_hook_in_order():
    notes = []
    actions = [_Note("first", notes), Action(), _Note("second", notes)]

    for hook in _HOOKS:
        notify(actions, hook, run="the run")

    assert notes == [("first", "the run"), ("second", "the run")]


def test_errors_of_an_action_are_not_hidden():
    class Broken(Action):
        def on_run_end(self, run):
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        notify([Broken()], "on_run_end", run=None)


@pytest.mark.parametrize("hook", _HOOKS)
def test_an_action_may_leave_out_any_hook(hook):
    assert getattr(Action(), hook)("the run") is None
