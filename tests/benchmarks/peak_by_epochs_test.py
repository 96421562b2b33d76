"""What the script on peaks reads out of runs, complete or not."""

import json
import sys

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
    (tmp_path / "accuracy_matrix.csv").write_text(
        "after_task,task_00,task_01\n0,0.3,\n1,0.25,0.6\n"
    )
    beliefs = [
        "task,epoch,configuration,prior,posterior",
        *("0,1,SS,0.9,0.9", "0,1,TS,0.1,0.1", "0,2,SS,0.2,0", "0,2,TS,0.8,1"),
        *("1,2,SS,0.7,0.7", "1,2,TS,0.3,0.3", "2,0,SS,0.0,0", "2,0,TS,1.0,1"),
    ]
    (tmp_path / "configurations.csv").write_text("\n".join(beliefs) + "\n")
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
    assert found["accuracy_matrix"] == [[0.3], [0.25, 0.6]]
    assert found["selected"] == ["TS", "SS"]
    assert str(workdir.parent) not in found["run"]["command"]
    assert "40.0" in module.table({"run": found})[3]


def test_the_report_holds_the_table_and_no_place(
    script, workdir, tmp_path, monkeypatch, capsys
):
    path = tmp_path / "report.json"
    words = [str(workdir), "--epochs", "1", "3", "--json", str(path)]
    monkeypatch.setattr(sys, "argv", ["peak_by_epochs.py", *words])
    script("peak_by_epochs").main()
    report = json.loads(path.read_text())
    assert report["table"] == capsys.readouterr().out.strip()
    assert report["flags"] == {"epochs": [1, 3]}
    assert str(tmp_path) not in path.read_text()


def test_a_run_in_its_first_phase_has_finished_nothing(script, workdir):
    (workdir / "accuracy_matrix.csv").unlink()
    found = script("peak_by_epochs").of_run(workdir, [1, 9])
    assert found["end_of_phase"] == found["peaks"]["9"] == []
    assert found["accuracy_matrix"] == found["selected"] == []
    assert found["peaks"]["1"] == [0.1, 0.2, 0.5]


def test_a_relative_folder_is_left_out_of_the_command(
    script, workdir, monkeypatch
):
    monkeypatch.chdir(workdir.parent)
    folder = workdir.relative_to(workdir.parent)
    found = script("peak_by_epochs").of_run(folder, [1])
    assert found["run"]["command"] == f"bin/train --workdir=WORKDIR/{folder}"
