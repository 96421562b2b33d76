"""What the comparison on CIFAR-100 tells `bin/train`, and what it reports."""

import json
import os
import resource
import sys

import pytest

from lasem_tf import configuration
from lasem_tf.recipes import REPOSITORY
from tests.tables import cells

SUMMARY = {
    "method": "static",
    "learner": "hps",
    "dataset": "cifar100",
    "num_tasks": 2,
    "num_epochs": 1,
    "mean_peak_per_task_accuracy": 0.5,
    "mean_peak_per_task_accuracy_by_validation": 0.4,
    "mean_final_accuracy": 0.3,
    "mean_catastrophic_forgetting_ratio": 0.9,
    "num_parameters": 1000,
}


@pytest.fixture
def comparison(script, monkeypatch):
    module = script("cifar_comparison")

    def reported(*flags):
        monkeypatch.setattr(sys, "argv", ["cifar_comparison.py", *flags])
        module.main()

    module.reported = reported
    return module


def leave_run(
    workdir,
    name,
    seed,
    seconds,
    measured=None,
    cpu_seconds=1.0,
    start="2026-11-24",
    **results,
):
    folder = workdir / f"{name}_seed{seed}"
    folder.mkdir(parents=True)
    run = {"state": "complete", "command": f"x {folder}", "start": start}
    (folder / "run.json").write_text(json.dumps(run))
    times = {"train_seconds": seconds, "total_seconds": 2 * seconds}
    summary = SUMMARY | {"seed": seed} | times | results
    (folder / "summary.json").write_text(json.dumps(summary))
    if measured is not None:
        content = {
            "machine": {"processor": measured},
            "peak_memory_bytes": 2**30,
            "cpu_seconds": cpu_seconds,
        }
        (folder / "measured.json").write_text(json.dumps(content))


def tables_of(printed):
    """Returns what a report says of accuracies and of costs."""
    parts = printed.split("\n\n")
    return [cells(part) for part in parts if part.startswith("| run ")]


def test_every_line_is_a_recipe_that_can_be_read(comparison):
    for line in comparison.LINES.values():
        flags = comparison._flags(*line)
        files = [f[11:] for f in flags if f.startswith("--gin_file=")]
        params = [f[12:] for f in flags if f.startswith("--gin_param=")]
        assert len(files) + len(params) == len(flags)
        configuration.parse([REPOSITORY / f for f in files], params)


def test_a_binding_reaches_every_run(comparison, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(
        comparison.runs,
        "train",
        lambda title, flags, folder: told.append(flags),
    )
    leave_run(tmp_path, "tf_top_1", 3, 1.0)
    comparison.reported(
        "--workdir",
        str(tmp_path),
        "--seeds",
        "3",
        "--lines",
        "HPS, All",
        "TF, Top 1",
        "--gin_param=run_experiment.checkpoint_every=50",
    )
    binding = "--gin_param=run_experiment.checkpoint_every=50"
    assert [binding in flags for flags in told] == [True, True]
    assert '--gin_param=Static.configuration="top_1"' in told[1]


def test_time_is_told_beside_the_reference_on_the_same_machine(
    comparison, tmp_path, capsys
):
    runs = tmp_path / "runs"
    leave_run(runs, "df_cnn_lasem", 0, 100.0, "fast", 80.0)
    # Half of its wall time something else had the processor.
    leave_run(runs, "hps_all", 0, 100.0, "fast", 40.0)
    leave_run(runs, "hps_all", 1, 400.0, "slow", 400.0)
    leave_run(runs, "hps_lasem", 0, 70.0)
    comparison.reported("--report", "--workdir", str(runs))
    _, costs = tables_of(capsys.readouterr().out)
    assert {line: [*row.values()] for line, row in costs.items()} == {
        "DF-CNN, LASEM": ["DF-CNN, LASEM", "1", "1.00", "1,024"],
        "HPS, All": ["HPS, All", "1", "0.50", "1,024"],
    }


def test_a_seed_that_ran_on_two_machines_is_timed_on_both(
    comparison, tmp_path, capsys
):
    """Its accuracy is that of the latest run."""
    report = tmp_path / "report.json"
    machines = [
        ("new", "2026-11-27", 0.625, {"df_cnn_lasem": 80.0, "hps_all": 20.0}),
        ("old", "2026-11-24", 0.5, {"df_cnn_lasem": 400.0, "hps_all": 300.0}),
    ]
    for machine, start, peak, times in machines:
        runs = tmp_path / machine
        for name, cpu_seconds in times.items():
            leave_run(
                runs,
                name,
                0,
                100.0,
                machine,
                cpu_seconds,
                start=start,
                mean_peak_per_task_accuracy=peak,
            )
        comparison.reported(
            "--report", "--workdir", str(runs), "--json", str(report)
        )
        printed = capsys.readouterr().out
    accuracies, costs = tables_of(printed)
    for line, time in (("HPS, All", "0.50"), ("DF-CNN, LASEM", "1.00")):
        assert costs[line]["timed runs"] == "2"
        assert costs[line]["time to DF-CNN, LASEM"] == time
    assert accuracies["HPS, All"]["seeds"] == "1"
    assert accuracies["HPS, All"]["peak %"] == "62.5"
    found = json.loads(report.read_text())["runs"]["HPS, All"]
    assert [run["run"]["start"] for run in found] == [
        "2026-11-24",
        "2026-11-27",
    ]


def test_a_report_is_added_to(comparison, tmp_path, capsys):
    report = tmp_path / "report.json"
    for seed, runs in ((0, "first"), (1, "second")):
        leave_run(tmp_path / runs, "hps_all", seed, 50.0)
        comparison.reported(
            "--report", "--workdir", str(tmp_path / runs), "--json", str(report)
        )
    found = json.loads(report.read_text())["runs"]["HPS, All"]
    assert [run["summary"]["seed"] for run in found] == [0, 1]
    assert str(tmp_path) not in report.read_text()


def test_says_so_if_nothing_is_complete(comparison, tmp_path):
    with pytest.raises(SystemExit, match="is complete yet"):
        comparison.reported("--report", "--workdir", str(tmp_path))


def test_what_a_run_used_is_added_over_its_sittings(comparison, tmp_path):
    path = tmp_path / "measured.json"
    used = list(resource.getrusage(resource.RUSAGE_SELF))
    for user, system, peak in ((3.0, 0.5, 2048), (1.0, 0.0, 1024)):
        used[:3] = user, system, peak
        comparison.runs._keep_measured(path, resource.struct_rusage(used))
    found = json.loads(path.read_text())
    assert found["cpu_seconds"] == 4.5
    assert found["peak_memory_bytes"] == 2**21


def test_what_an_interrupted_sitting_used_is_kept(
    comparison, tmp_path, monkeypatch
):
    (tmp_path / "run").mkdir()
    used = resource.getrusage(resource.RUSAGE_SELF)
    waits = iter([KeyboardInterrupt(), (1, 0, used)])

    def wait4(process, options):
        (tmp_path / "run" / "metrics.csv").touch()
        found = next(waits)
        if isinstance(found, KeyboardInterrupt):
            raise found
        return found

    class Process:
        pid = 1

    monkeypatch.setattr(comparison.runs.os, "wait4", wait4)
    monkeypatch.setattr(
        comparison.runs.subprocess, "Popen", lambda *_, **__: Process()
    )
    with pytest.raises(KeyboardInterrupt):
        comparison.runs.train("a run", [], tmp_path / "run")
    found = json.loads((tmp_path / "run" / "measured.json").read_text())
    assert found["cpu_seconds"] == used.ru_utime + used.ru_stime


@pytest.mark.parametrize("trains", [False, True])
def test_what_did_not_train_leaves_the_measurements_alone(
    comparison, tmp_path, monkeypatch, trains
):
    """It was complete, or was refused, perhaps on another machine."""
    leave_run(tmp_path, "run", 0, 50.0, "another", 80.0)
    folder = tmp_path / "run_seed0"
    metrics = folder / "metrics.csv"
    metrics.write_text("0,0\n")
    before = (folder / "measured.json").read_text()

    class Process:
        pid = 1

    def wait4(process, options):
        if trains:
            changed = metrics.stat().st_mtime_ns + 1_000_000
            os.utime(metrics, ns=(changed, changed))
        return 1, 0, resource.getrusage(resource.RUSAGE_SELF)

    monkeypatch.setattr(comparison.runs.os, "wait4", wait4)
    monkeypatch.setattr(
        comparison.runs.subprocess, "Popen", lambda *_, **__: Process()
    )
    comparison.runs.train("a run", [], folder)
    after = (folder / "measured.json").read_text()
    assert (after != before) == trains


def test_runs_of_a_line_that_has_no_name_now_stay(comparison, tmp_path):
    report = tmp_path / "report.json"
    leave_run(tmp_path / "runs", "hps_all", 0, 50.0)
    flags = ["--report", "--workdir", str(tmp_path / "runs")]
    comparison.reported(*flags, "--json", str(report))
    content = json.loads(report.read_text())
    content["runs"]["renamed since"] = content["runs"]["HPS, All"]
    report.write_text(json.dumps(content))
    comparison.reported(*flags, "--json", str(report))
    assert "renamed since" in json.loads(report.read_text())["runs"]


def test_runs_that_were_told_other_things_are_not_one_line(
    comparison, tmp_path
):
    """They would stand in one row, or one replace another."""
    report = tmp_path / "report.json"
    for name, epochs in (("long", 60), ("short", 2)):
        leave_run(tmp_path / name, "hps_all", len(name), 1.0)
        path = tmp_path / name / f"hps_all_seed{len(name)}" / "run.json"
        run = json.loads(path.read_text())
        run["command"] += f" --gin_param=NUM_EPOCHS={epochs} --seed=0"
        path.write_text(json.dumps(run))
    flags = ["--report", "--json", str(report), "--seeds", "4", "5"]
    comparison.reported(*flags, "--workdir", str(tmp_path / "long"))
    before = report.read_bytes()
    with pytest.raises(SystemExit, match="'HPS, All' were told different"):
        comparison.reported(*flags, "--workdir", str(tmp_path / "short"))
    assert report.read_bytes() == before


def test_a_run_that_a_gpu_continued_is_not_timed_beside_others(
    comparison, tmp_path, capsys
):
    for name in ("df_cnn_lasem", "hps_all"):
        leave_run(tmp_path, name, 0, 1.0, "fast", 1.0)
    path = tmp_path / "hps_all_seed0" / "run.json"
    run = json.loads(path.read_text())
    run["device"] = ["/device:CPU:0"]
    run["continued"] = [{"device": ["/device:CPU:0", "/device:GPU:0 (X)"]}]
    path.write_text(json.dumps(run))
    comparison.reported("--report", "--workdir", str(tmp_path))
    _, costs = tables_of(capsys.readouterr().out)
    assert set(costs) == {"DF-CNN, LASEM"}
