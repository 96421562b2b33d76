import dataclasses

from lasem_tf.reports.run_view import RunView
from lasem_tf.training.actions import RunState


def test_the_runner_offers_what_reports_read():
    offered = {field.name for field in dataclasses.fields(RunState)}
    assert set(RunView.__annotations__) <= offered
