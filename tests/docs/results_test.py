"""The tables that the README and docs/results.md show are those measured."""

import json

from lasem_tf.recipes import REPOSITORY
from tests.tables import cells

REPORT = json.loads(
    (REPOSITORY / "benchmarks/results/cifar_60_epochs.json").read_text("utf-8")
)
PAGE = (REPOSITORY / "docs/results.md").read_text("utf-8")
README = (REPOSITORY / "README.md").read_text("utf-8")


STATIC = {
    "Top 3": "TSSS",
    "Top 2": "TTSS",
    "Top 1": "TTTS",
    "Bottom 3": "SSST",
    "Bottom 2": "SSTT",
    "Bottom 1": "STTT",
    "Alternating": "TSTS",
}


def of_cifar(text, title, first_cell="run"):
    section = text.split(f"## {title}\n")[1].split("\n## ")[0]
    table = section[section.index(f"| {first_cell} ") :].split("\n\n")[0]
    return cells(table)


def is_static(run):
    return run.rpartition(", ")[2] in STATIC


def measured():
    """Returns what the comparison's report says, in the page's columns."""
    costs = cells(REPORT["costs"])
    unknown = {"timed runs": "0", "peak MiB": "–"}
    found = {}
    for run, values in cells(REPORT["table"].split("\n\n")[0]).items():
        cost = costs.get(run, unknown)
        found[run] = dict(values, MiB=cost["peak MiB"], time="–")
        if cost["timed runs"] != "0":
            found[run]["time"] = cost["time to DF-CNN, LASEM"]
            found[run]["runs"] = cost["timed runs"]
    return found


def test_the_page_shows_every_run_of_the_report():
    shown, expected = of_cifar(PAGE, "CIFAR-100"), measured()
    assert set(shown) == {run for run in expected if not is_static(run)}
    assert len(next(iter(shown.values()))) == 9
    for run, values in shown.items():
        time = expected[run]["time"]
        if time != "–":
            time += f" ({expected[run]['runs']})"
        assert values.pop("time (runs)") == time
        assert values == {name: expected[run][name] for name in values}


def test_the_page_shows_every_static_configuration():
    shown, expected = of_cifar(PAGE, "CIFAR-100", "shared"), measured()
    num_measured = 0
    for name, letters in {"All": "SSSS", **STATIC}.items():
        values = shown.pop(f"{name} (`{letters}`)")
        for learner in ("HPS", "TF", "DF-CNN"):
            found = expected.get(f"{learner}, {name}")
            num_measured += found is not None
            for column in ("peak %", "final %"):
                value = found[column] if found else "–"
                assert values[f"{learner}, {column}"] == value
    assert not shown
    assert num_measured == sum(map(is_static, expected)) + 3


def test_the_page_shows_the_peaks_of_long_phases():
    report = json.loads(
        (REPOSITORY / "benchmarks/results/cifar_2000_epochs.json").read_text()
    )
    table = PAGE.split("At the paper's length")[1]
    table = cells(table[table.index("| | 1 |") :].split("\n\n")[0])
    for method, run in (("All", "hps_all"), ("LASEM", "hps_lasem")):
        found = report["runs"][f"{run}_seed0"]
        for row, values in (
            ("peak", found["peaks"]["2000"]),
            ("end of the task's phase", found["end_of_phase"]),
            ("after the fourth task", found["accuracy_matrix"][3]),
        ):
            expected = [f"{100 * value:.1f}" for value in values]
            expected += ["–"] * (5 - len(values))
            mean = f"{100 * sum(values[:4]) / 4:.1f}"
            shown = [*table[f"{method}, {row}"].values()][1:]
            assert shown == [*expected, mean]
    selected = report["runs"]["hps_lasem_seed0"]["selected"]
    told = ", ".join(f"`{s}`" for s in selected[:-1]) + f" and `{selected[-1]}`"
    assert f"LASEM selected {told}." in PAGE


def test_the_readme_shows_some_of_them():
    shown, expected = of_cifar(README, "Results"), measured()
    assert len(shown) > 10 and len(next(iter(shown.values()))) == 6
    for run, values in shown.items():
        assert values == {name: expected[run][name] for name in values}
