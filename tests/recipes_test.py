"""What the command line says of a run, before TensorFlow is loaded."""

import pytest

from lasem_tf import recipes
from lasem_tf.checks import InputError
from lasem_tf.recipes import GIN_FOLDER


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "written",
    [
        "gin/hps_cifar.gin",
        "hps_cifar.gin",
        str(GIN_FOLDER / "hps_cifar.gin"),
    ],
)
def test_a_recipe_is_found_from_any_folder(written):
    assert recipes.find_recipes([written]) == [GIN_FOLDER / "hps_cifar.gin"]


def test_the_current_folder_comes_first(elsewhere):
    (elsewhere / "hps_cifar.gin").touch()
    found = recipes.find_recipes(["hps_cifar.gin", "methods/static.gin"])
    assert found == [
        elsewhere / "hps_cifar.gin",
        GIN_FOLDER / "methods" / "static.gin",
    ]


def test_a_missing_file_is_refused_with_the_nearest_name():
    with pytest.raises(
        InputError,
        match="Received: 'gin/hps_cifr.gin'. Did you mean 'gin/hps_cifar.gin'?",
    ):
        recipes.find_recipes(["gin/hps_cifr.gin"])


def test_a_file_like_no_other_is_refused_with_the_list():
    with pytest.raises(InputError, match="Choose one of .*gin/quickstart.gin"):
        recipes.find_recipes(["zzzzzz"])


def test_a_folder_is_no_recipe():
    with pytest.raises(InputError, match="must name a file .*'gin'"):
        recipes.find_recipes(["gin"])


def test_no_recipe_is_refused():
    with pytest.raises(InputError, match="at least one recipe. Received: none"):
        recipes.find_recipes([])


@pytest.mark.parametrize(
    "binding",
    ["NUM_EPOCHS=20", " a/Lasem.prior = 'counts'", "x.y=@z", "a_b.c=(1,\n2)"],
)
def test_a_binding_has_a_name_and_a_value(binding):
    recipes.check_bindings([binding])


@pytest.mark.parametrize("binding", ["NUM_EPOCHS", "=3", "NUM_EPOCHS=", "3=4"])
def test_half_a_binding_is_refused(binding):
    with pytest.raises(InputError, match="must read NAME=VALUE. Received: '"):
        recipes.check_bindings(["NUM_TASKS=2", binding])


def test_a_run_is_named_by_its_recipes_and_bindings():
    files = ["gin/hps_cifar.gin", "gin/methods/static.gin"]
    assert recipes.run_name(files) == "hps_cifar-static"
    bindings = ['Static.configuration = "TTTT"', "NUM_EPOCHS=5"]
    assert recipes.run_name(files, bindings) == (
        "hps_cifar-static-Static.configuration=TTTT-NUM_EPOCHS=5"
    )


def test_different_bindings_give_different_names():
    names = [
        recipes.run_name(["a.gin"], [binding])
        for binding in (
            "x=(1, 2)",
            "x=(12,)",
            "x=" + "y" * 200,
            "x=" + "y" * 201,
        )
    ]
    assert len(set(names)) == len(names)
    assert all("/" not in name and len(name) < 100 for name in names)


def test_a_repeated_run_is_named_after_its_folder():
    name = recipes.run_name(["runs/mine/operative_config.gin"])
    assert name == "repeat_of_mine"


def test_the_nearest_name_is_suggested_by_its_last_part_too():
    known = ["data.digits", "Lasem", "backbones.digits"]
    assert recipes.nearest("Lassem", known) == "Did you mean 'Lasem'?"
    assert recipes.nearest("data.digit", known) == "Did you mean 'data.digits'?"
    assert recipes.nearest("digit", known).endswith(".digits'?")
    assert recipes.nearest("zzz", known) == (
        "Choose one of Lasem, backbones.digits, data.digits."
    )
