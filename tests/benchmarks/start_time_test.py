"""What the script on starting times prints."""

from tests.benchmarks.memory_test import report


def test_tells_the_seconds_to_both_tasks(tmp_path):
    found = report(
        tmp_path, "start_time.py", "--recipes", "quickstart", "--rounds", "1"
    )
    ((ready, first, second),) = found["seconds"]["quickstart"]
    # TensorFlow alone takes a second; a further task need not be compiled.
    assert ready > 1
    assert first > second > 0
    assert f"{first:.1f}" in found["table"]
