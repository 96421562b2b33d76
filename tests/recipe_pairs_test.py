"""Which methods go on top of which recipes in gin/, and what says so."""

import contextlib

import pytest

from lasem_tf.checks import InputError
from tests.recipe_files import (
    METHODS,
    RECIPES,
    convolutions_of,
    name_of,
    on_made_images,
)


def expected_refusal(recipe, path, num_layers):
    """Returns why a pair does not go together, and how the file says so.

    `None` twice if it does.
    """
    learner = recipe.name.partition("_")[0]
    of_its_own = "shares in a way of its own"
    if of_its_own in header_of(path) and learner in ("tf", "dfcnn"):
        return of_its_own, "with hard parameter sharing"
    if path.stem == "dynamically_expandable" and recipe.stem == "planted":
        return "which merges branches", "whose network is a chain"
    if path.stem == "lasem_grouped" and num_layers != 4:
        error = "`layer_groups` must name each of the layers"
        return error, "whose network has four layers"
    if path.stem == "lasem_fixed_posterior" and "grouped" in recipe.stem:
        error = "must be one of the candidates"
        return error, "must treat the layers of a group alike"
    return None, None


def header_of(path):
    return path.read_text("utf-8").replace("\n# ", " ")


@pytest.mark.parametrize("recipe", RECIPES, ids=name_of)
@pytest.mark.parametrize("path", METHODS, ids=name_of)
def test_methods_go_on_any_recipe_or_say_where_they_do_not(
    started, path, recipe
):
    """As far as the first task's beginning, with made images."""
    on_made_images([recipe])
    plain = started.pop()
    task = plain["stream"][0]
    backbone = plain["method"].backbone(task.image_shape)
    num_layers = len(convolutions_of(backbone))
    changes = []
    if path.stem == "brute_force" and "nine" in recipe.stem:
        # The file says what 512 would take.
        changes = ['BruteForce.candidates=["SSSSSSSSS"]']
    error, said = expected_refusal(recipe, path, num_layers)
    may_refuse = contextlib.nullcontext()
    if error:
        assert said in header_of(path)
        may_refuse = pytest.raises(InputError, match=error)
    with may_refuse:
        on_made_images([recipe, path], changes)
        started[0]["method"].begin_task(task)
    if not error:
        method = started[0]["method"]
        learner = plain["method"].learner
        expected = learner if method.has_base_learner else "none"
        assert method.learner == expected
