"""The tables that the README and docs/results.md show are those measured."""

import json

from lasem_tf.recipes import REPOSITORY
from tests.tables import cells

REPORT = json.loads(
    (REPOSITORY / "benchmarks/results/cifar_60_epochs.json").read_text("utf-8")
)
PAGE = (REPOSITORY / "docs/results.md").read_text("utf-8")
README = (REPOSITORY / "README.md").read_text("utf-8")


def of_cifar(text, title):
    section = text.split(f"## {title}\n")[1].split("\n## ")[0]
    table = section[section.index("| run ") :].split("\n\n")[0]
    return cells(table)


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
    assert set(shown) == set(expected)
    assert len(next(iter(shown.values()))) == 9
    for run, values in shown.items():
        time = expected[run]["time"]
        if time != "–":
            time += f" ({expected[run]['runs']})"
        assert values.pop("time (runs)") == time
        assert values == {name: expected[run][name] for name in values}


def test_the_readme_shows_some_of_them():
    shown, expected = of_cifar(README, "Results"), measured()
    assert len(shown) > 10 and len(next(iter(shown.values()))) == 6
    for run, values in shown.items():
        assert values == {name: expected[run][name] for name in values}
