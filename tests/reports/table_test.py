import pytest

from lasem_tf.checks import InputError
from lasem_tf.reports.summary import summarize
from lasem_tf.reports.table import comparison_table, results_table

EXPECTED = """\
lasem on hps: made_up, 3 tasks × 2 epochs, seed 7

| task | configuration | peak % | end of phase % | final % | forgetting ratio |
|------|---------------|-------:|---------------:|--------:|-----------------:|
| 0    | SS            |   60.0 |           50.0 |    25.0 |             0.50 |
| 1    | TS            |   40.0 |           40.0 |    60.0 |             1.50 |
| 2    | –             |   80.0 |           70.0 |    70.0 |                – |
| mean |               |   60.0 |           53.3 |    51.7 |             1.00 |

Peak = test maximum: best test accuracy within the task's own phase.
Forgetting ratio = final / end of phase; 1 = nothing forgotten.
Backward transfer: -2.5 points. Parameters: 12,345. Training: 60 s of 90 s."""


@pytest.fixture
def summary(make_run):
    return summarize(make_run(selections=("SS", "TS", None)).play([]))


def test_table_of_a_run(summary):
    assert results_table(summary) == EXPECTED


def test_table_fits_a_terminal(summary):
    assert max(map(len, results_table(summary).splitlines())) <= 80


def test_table_says_when_the_peak_is_chosen_by_validation(summary):
    summary["peak_per_task_accuracy_by_validation"] = [0.111, 0.222, 0.333]
    summary["mean_peak_per_task_accuracy_by_validation"] = 0.222
    text = results_table(summary, peak_selection="validation")
    assert "Peak by validation = test accuracy at the best valid" in text
    assert "|   11.1 |" in text
    assert "test maximum" not in text


def test_table_of_a_run_without_validation(summary):
    summary["peak_per_task_accuracy_by_validation"] = None
    summary["mean_peak_per_task_accuracy_by_validation"] = None
    text = results_table(summary, peak_selection="validation")
    assert "| 0    | SS            |      – |" in text


def test_table_of_one_task(make_run):
    text = results_table(summarize(make_run([[0.2], [0.4]]).play([])))
    assert "1 task × 2 epochs" in text
    assert (
        "| mean |               |   40.0 |           40.0 |    40.0 |" in text
    )
    assert "Backward transfer: –. Parameters" in text


def test_comparison_shows_mean_and_interval_over_seeds(summary):
    seeds = [
        summary
        | {
            "seed": seed,
            "mean_peak_per_task_accuracy": 0.40 + 0.01 * seed,
            "mean_peak_per_task_accuracy_by_validation": 0.35,
            "mean_final_accuracy": 0.30,
            "mean_catastrophic_forgetting_ratio": 0.90 + 0.1 * seed,
            "train_seconds": 100.0 + seed,
        }
        for seed in range(3)
    ]
    single = summary | {"learner": "tf"}
    # Half widths by hand: t(0.975, 2) / sqrt(3) = 2.484 deviations.
    assert comparison_table({"HPS": seeds, "TF": [single]}).splitlines() == [
        "| run | data set | tasks × epochs | seeds |     peak % "
        "| by validation % |    final % "
        "| forgetting ratio | training s | parameters |",
        "|-----|----------|----------------|------:|-----------:"
        "|----------------:|-----------:"
        "|-----------------:|-----------:|-----------:|",
        "| HPS | made_up  | 3 × 2          |     3 | 41.0 ± 2.5 "
        "|      35.0 ± 0.0 | 30.0 ± 0.0 "
        "|      1.00 ± 0.25 |    101 ± 2 |     12,345 |",
        "| TF  | made_up  | 3 × 2          |     1 |       60.0 "
        "|            60.0 |       51.7 "
        "|             1.00 |         60 |     12,345 |",
        "",
        "Mean ± 95 % confidence interval over seeds (Student t).",
        "Peak = test maximum: best test accuracy within the task's own phase.",
        "Peak by validation = test accuracy at the best validation epoch of "
        "the task's own phase.",
        "Forgetting ratio = final / end of phase; 1 = nothing forgotten.",
    ]


def test_comparison_of_what_is_not_defined(make_run):
    summary = summarize(make_run([[0.2], [0.4]]).play([]))
    line = comparison_table({"one task": [summary]}).splitlines()[2]
    assert [cell.strip() for cell in line.split("|")][5:9] == [
        "40.0",
        "40.0",
        "40.0",
        "–",
    ]


def test_comparison_of_unlike_runs_is_refused(summary):
    other = summary | {"seed": 8, "num_epochs": 60}
    message = "differ in the seed only. Received: 'x' with `num_epochs` 2, 60"
    with pytest.raises(InputError, match=message):
        comparison_table({"x": [summary, other]})


def test_comparison_of_a_repeated_seed_is_refused(summary):
    message = r"a different seed for each run. Received: 'x' with .* \[7, 7\]"
    with pytest.raises(InputError, match=message):
        comparison_table({"x": [summary, summary]})


@pytest.mark.parametrize("runs", [{}, {"x": []}])
def test_comparison_of_nothing_is_refused(runs):
    with pytest.raises(InputError, match="Received: (0 runs|'x' with .* none)"):
        comparison_table(runs)


def test_unknown_peak_is_refused(summary):
    message = "`peak_selection` must be one of 'test', 'validation'"
    with pytest.raises(InputError, match=message):
        results_table(summary, peak_selection="train")
