"""What the script on DARTS' mixture tells of each task."""


def test_branches_and_mixture_stand_beside_each_other(script):
    found = [
        {
            "accuracy": {"mixture": 0.5, "larger_branches": 0.25},
            "shares": [[0.75, 0.25], [0.45, 0.55]],
        },
        {
            "accuracy": {"mixture": 0.4, "larger_branches": 0.35},
            "shares": [[0.5, 0.5], [0.4, 0.6]],
        },
    ]
    lines = script("darts_mixture").table(found)
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in lines]
    assert rows[2:] == [
        ["1", "50.0", "25.0", "0.65"],
        ["2", "40.0", "35.0", "0.55"],
        ["mean", "45.0", "30.0", "0.60"],
    ]
