import json
import pathlib

import pytest


def test_variants_take_turns_after_a_round_that_does_not_count(script):
    called = []
    variants = {name: lambda name=name: called.append(name) for name in "ab"}
    seconds = script("measuring").interleaved(variants, num_rounds=2)
    assert called == list("ababab")
    assert {name: len(of_variant) for name, of_variant in seconds.items()} == {
        "a": 2,
        "b": 2,
    }


def test_ratios_are_taken_within_a_round(script):
    samples = {
        "one": [1.0, 10.0, 2.0, 4.0, 1.0],
        "other": [2.0, 30.0, 2.0, 16.0, 5.0],  # 2, 3, 1, 4, 5 times
    }
    found = script("measuring").ratios(samples, to="one")
    assert found["other"] == {"median": 3.0, "low": 2.0, "high": 4.0}
    assert found["one"] == {"median": 1.0, "low": 1.0, "high": 1.0}


def test_spread_is_median_and_quartiles(script):
    found = script("measuring").spread([5.0, 1.0, 2.0, 4.0, 3.0])
    assert found == {"median": 3.0, "low": 2.0, "high": 4.0}


def test_a_report_holds_no_path_of_this_machine(script, tmp_path):
    measuring = script("measuring")
    path = tmp_path / "new" / "report.json"
    parser = measuring.parser("...")
    parser.add_argument("--workdir", type=pathlib.Path)
    parser.add_argument("--rounds", type=int)
    arguments = parser.parse_args(
        ["--json", str(path), "--workdir", str(tmp_path), "--rounds", "3"]
    )
    measuring.write_report(arguments, {"ours": 1})
    report = json.loads(path.read_text())
    assert str(tmp_path) not in path.read_text()
    assert (report["flags"], report["ours"]) == ({"rounds": 3}, 1)
    assert report["machine"]["cores"] >= 1
    assert set(report) >= {"script", "start", "versions", "git_revision"}


def test_without_a_place_no_report(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    measuring = script("measuring")
    measuring.write_report(measuring.parser("...").parse_args([]), {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("state", ["running", "interrupted"])
def test_a_run_that_is_not_complete_is_not_reported(script, tmp_path, state):
    folder = tmp_path / "some_run"
    runs = script("runs")
    assert runs.complete_run(folder) is None
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"state": state}))
    assert runs.complete_run(folder) is None


def test_a_complete_run_is_told_without_its_place(script, tmp_path):
    folder = tmp_path / "some_run"
    folder.mkdir()
    run = {"state": "complete", "command": f"train --workdir={folder}"}
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "summary.json").write_text('{"seed": 4}')
    found = script("runs").complete_run(folder)
    assert found["summary"] == {"seed": 4}
    assert found["run"]["command"] == "train --workdir=WORKDIR/some_run"
