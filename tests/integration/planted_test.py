"""LASEM finds in made images what was planted there."""

import json

import pytest

from lasem_tf import configuration
from lasem_tf.recipes import GIN_FOLDER


@pytest.mark.parametrize("planted", ["TS", "ST", "SS", "TT"])
def test_the_recipe_selects_what_is_planted(tmp_path, planted):
    configuration.train(
        [GIN_FOLDER / "planted.gin"],
        ["NUM_TASKS=3", f"synthetic.planted='{planted}'"],
        workdir=tmp_path / "run",
    )
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    # The first task has nothing to share yet.
    assert summary["selected_configurations"][1:] == [planted] * 2
