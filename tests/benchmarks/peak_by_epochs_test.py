"""What the script on peaks reads out of runs, complete or not."""

import json

import pytest

HEADER = "global_epoch,current_task,epoch,task,split,accuracy,loss"
# Two tasks of three epochs, a third that has had one.
TESTED = [
    ((0, 0, 0), 0, 0.1),
    ((1, 0, 1), 0, 0.4),
    ((2, 0, 2), 0, 0.3),
    ((3, 1, 0), 1, 0.2),
    ((4, 1, 1), 1, 0.1),
    ((5, 1, 2), 0, 0.25),
    ((5, 1, 2), 1, 0.6),
    ((6, 2, 0), 2, 0.5),
]


@pytest.fixture
def workdir(tmp_path):
    rows = [HEADER]
    for moment, task, accuracy in TESTED:
        place = ",".join(map(str, moment))
        rows.append(f"{place},{task},test,{accuracy},1.0")
        rows.append(f"{place},{task},validation,0.99,1.0")
    (tmp_path / "metrics.csv").write_text("\n".join(rows) + "\n")
    run = {"command": f"bin/train --workdir={tmp_path}"} | dict.fromkeys(
        ("start", "device", "git_revision", "versions"), "x"
    )
    (tmp_path / "run.json").write_text(json.dumps(run))
    return tmp_path


def test_peaks_are_of_the_first_epochs_of_a_tasks_own_phase(script, workdir):
    module = script("peak_by_epochs")
    found = module.of_run(workdir, [1, 2, 3])
    assert found["peaks"] == {
        "1": [0.1, 0.2, 0.5],
        "2": [0.4, 0.2],
        "3": [0.4, 0.6],
    }
    assert found["end_of_phase"] == [0.3, 0.6]
    assert found["now"] == [0.25, 0.6]
    assert str(workdir.parent) not in found["run"]["command"]
    assert "40.0" in module.table({"run": found})[3]


@pytest.mark.parametrize("epochs", [[1, 2], [1, 9]])
def test_what_is_finished_does_not_depend_on_the_epochs_asked(
    script, workdir, epochs
):
    found = script("peak_by_epochs").of_run(workdir, epochs)
    assert found["end_of_phase"] == [0.3, 0.6]
    assert found["now"] == [0.25, 0.6]
    assert found["peaks"].get("9", []) == []


def test_a_relative_folder_is_left_out_of_the_command(
    script, workdir, monkeypatch
):
    monkeypatch.chdir(workdir.parent)
    folder = workdir.relative_to(workdir.parent)
    found = script("peak_by_epochs").of_run(folder, [1])
    assert found["run"]["command"] == f"bin/train --workdir=WORKDIR/{folder}"
