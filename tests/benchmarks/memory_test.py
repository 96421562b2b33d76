"""What the scripts on memory and long streams print."""

import json
import subprocess
import sys

from lasem_tf.recipes import REPOSITORY


def report(tmp_path, script, *flags):
    path = tmp_path / "report.json"
    subprocess.run(
        [
            sys.executable,
            REPOSITORY / "benchmarks" / script,
            *flags,
            "--json",
            path,
        ],
        check=True,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
    )
    return json.loads(path.read_text())


def test_memory_counts_configurations_and_mebibytes(tmp_path):
    cases = report(tmp_path, "memory.py", "--networks", "cifar")["cases"]
    assert [case["configurations"] for case in cases] == [1, 16]
    for case in cases:
        assert case["peak_mebibytes"] >= case["before_mebibytes"] > 50
    static, lasem = (case["peak_mebibytes"] for case in cases)
    assert lasem > static


def test_a_long_stream_traces_each_task_once(tmp_path):
    content = report(tmp_path, "long_stream.py", "--num_tasks", "2")
    assert [task["task"] for task in content["tasks"]] == [1, 2]
    for task in content["tasks"]:
        assert task["traces"] == 1
        assert task["step_milliseconds"] > 0
        assert task["start_seconds"] > 0
    assert "start of a further task" in content["table"]
