"""Recipes: what they may say, and what is said of wrong ones."""

import pathlib
import sys
import urllib.error

import gin
import numpy as np
import pytest

import lasem_tf
from lasem_tf import command_line, configuration, experiment, recipes
from lasem_tf.checks import InputError
from lasem_tf.recipes import GIN_FOLDER

QUICKSTART = GIN_FOLDER / "quickstart.gin"
STATIC = GIN_FOLDER / "methods" / "static.gin"
SHORT = ("NUM_EPOCHS=1", "NUM_TASKS=1")
# Made in a moment and learned in a moment.
TINY = """
run_experiment.stream = @data.synthetic
synthetic.num_tasks = 1
synthetic.num_train = 20
synthetic.num_test = 20
run_experiment.backbone = @plain_cnn
plain_cnn.channels = (4, 4)
plain_cnn.kernel_sizes = (3, 3)
plain_cnn.pool_sizes = (2, 2)
plain_cnn.dense_units = (8,)
run_experiment.sharing = @HardParameterSharing
run_experiment.method = @Static
Static.configuration = "all"
run_experiment.num_epochs = %NUM_EPOCHS
NUM_EPOCHS = 1
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Runs each test in an empty folder, and forgets what it imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.fixture
def tiny(elsewhere):
    (elsewhere / "tiny.gin").write_text(TINY)
    return elsewhere / "tiny.gin"


def test_a_recipe_becomes_a_method_and_a_stream(started):
    configuration.train([QUICKSTART], SHORT, run_name="mine")
    (run,) = started
    assert isinstance(run["method"], lasem_tf.Lasem)
    assert run["method"].learner == "hps"
    assert (run["stream"].name, len(run["stream"])) == ("digits", 1)
    assert (run["num_epochs"], run["batch_size"], run["seed"]) == (1, 10, 0)
    assert run["workdir"] == pathlib.Path("runs/mine_seed0")


def test_the_learning_rate_reaches_the_optimizer(started):
    configuration.train([QUICKSTART], [*SHORT, "LEARNING_RATE=0.125"])
    assert float(started[0]["method"].optimizer().learning_rate) == 0.125


def test_later_recipes_and_bindings_win(started, elsewhere):
    (elsewhere / "mine.gin").write_text("NUM_EPOCHS = 7\nBATCH_SIZE = 3")
    params = ["BATCH_SIZE=4", "BATCH_SIZE=5", "NUM_TASKS=1"]
    configuration.train([QUICKSTART, STATIC, "mine.gin"], params)
    (run,) = started
    assert isinstance(run["method"], lasem_tf.Static)
    assert (run["num_epochs"], run["batch_size"]) == (7, 5)


def test_flags_win_over_recipes(started):
    configuration.train(
        [QUICKSTART],
        [*SHORT, "run_experiment.seed=1"],
        seed=5,
        deterministic=True,
        workdir="here",
    )
    (run,) = started
    assert (run["seed"], run["stream"].seed) == (5, 5)
    assert run["method"].seed == 5
    assert run["deterministic"] is True
    assert run["workdir"] == pathlib.Path("here")


def test_different_seeds_go_to_different_folders(started):
    for seed in (0, 1):
        configuration.train([QUICKSTART], SHORT, run_name="q", seed=seed)
    assert [str(run["workdir"]) for run in started] == [
        "runs/q_seed0",
        "runs/q_seed1",
    ]


def test_data_dir_reaches_a_recipe_that_reads_data_and_no_other():
    configuration.parse([GIN_FOLDER / "hps_cifar.gin"], data_dir="/data")
    assert gin.get_bindings("cifar100")["data_dir"] == "/data"
    configuration.parse([QUICKSTART], data_dir="/data")
    assert "DATA_DIR" not in gin.config_str()


def test_includes_are_found_beside_the_recipe_and_in_the_repository(
    started, elsewhere
):
    folder = elsewhere / "recipes"
    folder.mkdir()
    # A folder of this name in the current one must not be in the way.
    (elsewhere / "methods").mkdir()
    (folder / "base.gin").write_text(f"include '{QUICKSTART.name}'")
    (folder / "mine.gin").write_text(
        "include 'base.gin'\ninclude 'methods/static.gin'\nNUM_EPOCHS = 4"
    )
    configuration.train([folder / "mine.gin"], ["NUM_TASKS=1"])
    assert started[0]["num_epochs"] == 4
    assert isinstance(started[0]["method"], lasem_tf.Static)


NETWORKS = """
import gin
import keras

import lasem_tf

@gin.register
def my_{name}(image_shape, width=4):
    images = keras.Input(image_shape)
    outputs = keras.layers.Conv2D(width, 3, activation="relu")(images)
    return keras.Model(images, keras.layers.Flatten()(outputs))

@gin.register
class Mine{name}(lasem_tf.Lasem):
    name = "mine"
"""
MINE = """
include "quickstart.gin"
import networks_{name}
run_experiment.backbone = @my_{name}
my_{name}.width = 6
run_experiment.method = @Mine{name}
"""


@pytest.mark.parametrize("place", ["current", "beside"])
def test_own_network_and_method_by_import(started, elsewhere, place):
    folder = elsewhere if place == "current" else elsewhere / "recipes"
    folder.mkdir(exist_ok=True)
    networks = NETWORKS.format(name=place)
    (folder / f"networks_{place}.py").write_text(networks)
    (folder / "mine.gin").write_text(MINE.format(name=place))
    configuration.train([folder / "mine.gin"], SHORT)
    (run,) = started
    assert run["method"].name == "mine"
    model = run["method"].backbone((8, 8, 1))
    assert model.layers[1].filters == 6
    assert f"my_{place}.width = 6" in run["config_text"]
    assert f"import networks_{place}" in run["config_text"]
    # What is in force alone is enough to repeat the run, wherever it lies.
    alone = elsewhere / "runs" / "operative_config.gin"
    alone.parent.mkdir()
    alone.write_text(run["config_text"])
    sys.path.remove(str(folder))
    configuration.parse([alone])
    assert str(folder) in sys.path


def test_every_binding_in_force_is_told(started):
    configuration.train([QUICKSTART], [*SHORT, "LEARNING_RATE=0.01"])
    lines = started[0]["config_text"].splitlines()
    assert {
        "NUM_EPOCHS = 1",
        "LEARNING_RATE = 0.01",
        "run_experiment.num_epochs = %NUM_EPOCHS",
        "run_experiment.seed = 0",
        "RMSprop.learning_rate = %LEARNING_RATE",
        # Defaults that the recipe left alone.
        "RMSprop.rho = 0.9",
        "Lasem.layer_groups = None",
        "run_experiment.evaluate_all_every = 0",
    } <= set(lines)


def test_what_is_told_repeats_the_run(started, elsewhere):
    params = [*SHORT, 'Static.configuration="TST"', "BATCH_SIZE=7"]
    configuration.train([QUICKSTART, STATIC], params, seed=3)
    (elsewhere / "told.gin").write_text(started[0]["config_text"])
    configuration.train(["told.gin"])
    first, second = started
    assert second["config_text"] == first["config_text"]
    assert second["batch_size"] == 7
    assert second["seed"] == 3
    assert second["method"].configuration == "TST"
    assert "Lasem" not in first["config_text"]


def test_a_binding_without_effect_is_noted(started, capsys):
    configuration.train([QUICKSTART], [*SHORT, 'Static.configuration="all"'])
    assert "`Static.configuration` has no effect" in capsys.readouterr().out
    configuration.train([QUICKSTART], [*SHORT, 'methods.Lasem.prior="counts"'])
    assert "no effect" not in capsys.readouterr().out


def test_the_stream_of_a_run_is_made_again(tiny, elsewhere, started):
    configuration.train([tiny], seed=4)
    told = elsewhere / "operative_config.gin"
    told.write_text(started[0]["config_text"])
    stream = configuration.load_stream(elsewhere)
    assert (stream.name, len(stream), stream.seed) == ("synthetic", 1, 4)
    again = lasem_tf.data.synthetic(
        seed=4, num_tasks=1, num_train=20, num_test=20
    )
    for images, expected in zip(stream[0].test, again[0].test, strict=True):
        np.testing.assert_array_equal(images[0], expected[0])


def test_a_stream_needs_a_run(elsewhere):
    with pytest.raises(InputError, match="without 'operative_config.gin'"):
        configuration.load_stream(elsewhere)
    told = elsewhere / "operative_config.gin"
    told.write_text(experiment.TOLD_BY_PYTHON + "\nrun.num_epochs = 1\n")
    with pytest.raises(InputError, match="begun from Python"):
        configuration.load_stream(elsewhere)


# What is said of wrong recipes.


@pytest.mark.parametrize(
    ("binding", "message"),
    [
        (
            "NUM_EPOCH=20",
            "A macro must be one that the recipes use. Received: NUM_EPOCH. "
            "Did you mean 'NUM_EPOCHS'?",
        ),
        (
            "Lassem.prior='counts'",
            "known names only, not 'Lassem'. Received: "
            "`Lassem.prior='counts'`. Did you mean 'Lasem'?",
        ),
        (
            "run_experiment.method=@Statik",
            "not 'Statik'. Received: `run_experiment.method=@Statik`. "
            "Did you mean 'Static'?",
        ),
        (
            "run_experiment.stream=@data.digit()",
            "not 'data.digit'. .* Did you mean 'data.digits'?",
        ),
        (
            "Lasem.priorr='counts'",
            "'Lasem' has no parameter 'priorr' to set. Received: "
            "`Lasem.priorr='counts'`. Did you mean 'prior'?",
        ),
        (
            "run_experiment.num_epoch=3",
            "no parameter 'num_epoch' to set. .* Did you mean 'num_epochs'?",
        ),
        (
            # Behind the `**` of its constructor, and given by the root.
            "Lasem.seed=3",
            "'Lasem' has no parameter 'seed' to set.",
        ),
        (
            "run_experiment.workdir='x'",
            "'run_experiment' has no parameter 'workdir' to set.",
        ),
        (
            "digits.num_tasks=2",
            "'digits' is not. Received: `digits.num_tasks=2`. Write one of "
            "'backbones.digits', 'data.digits'.",
        ),
        (
            "NUM_EPOCHS=%LENGTH",
            "Every macro that is used must have a value. Received: 'LENGTH' "
            "without a value. Set it: `--gin_param='LENGTH=...'`.",
        ),
        (
            "NUM_EPOCHS=%gin.REQUIRED",
            "Every required value must be set. .*NUM_EPOCHS",
        ),
        (
            "Lasem.prior=counts",
            "with texts in quotes. Received: `Lasem.prior=counts`. Write for",
        ),
        ("BATCH_SIZE=(1,", "A binding must read `name = value`"),
        (
            "import no_such_module",
            "modules that Python finds. Received: `import no_such_module`. "
            "No module named 'no_such_module': install it",
        ),
        (
            "include 'no_such.gin'",
            "only files that are there. Received: `include 'no_such.gin'`.",
        ),
    ],
)
def test_a_wrong_binding_is_refused(binding, message):
    with pytest.raises(InputError, match=message) as caught:
        configuration.parse([QUICKSTART], [binding])
    assert "\n" not in str(caught.value)


def test_the_place_in_a_file_is_told(elsewhere):
    wrong = elsewhere / "wrong.gin"
    wrong.write_text("\n\nLassem.prior = 'counts'\n")
    place = rf"`Lassem.prior = 'counts'` \({wrong}, line 3\)"
    with pytest.raises(InputError, match=place):
        configuration.parse([QUICKSTART, wrong])


def test_an_error_in_a_module_of_the_user_keeps_its_traceback(elsewhere):
    (elsewhere / "broken_module.py").write_text("{}['no such key']")
    with pytest.raises(KeyError, match="no such key"):
        configuration.parse([QUICKSTART], ["import broken_module"])


def test_a_recipe_that_says_too_little_is_refused():
    with pytest.raises(
        InputError, match="`run_experiment.backbone` must be set"
    ):
        configuration.parse([STATIC])


@pytest.mark.parametrize(
    "param", ["run_experiment.num_epochs=1", "RMSprop.learning_rate=1e-3"]
)
def test_what_a_recipe_sets_by_a_macro_can_be_set_without(param):
    configuration.parse([QUICKSTART], [param])
    name, value = param.split("=")
    assert gin.query_parameter(name) == float(value)


def test_nothing_stays_of_what_was_read_before():
    configuration.parse([QUICKSTART], ["NUM_EPOCHS=77"])
    configuration.parse([QUICKSTART])
    assert "77" not in gin.config_str()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (['Static.configuration="TST"'], "one letter per .* layer, here 2"),
        (['Static.configuration="SX"'], "with the letters S"),
        (
            [
                "run_experiment.method=@Lasem",
                "Lasem.layer_groups=((1,), (1, 2))",
            ],
            "must name each of the layers 1 to 2 exactly once",
        ),
        (["run_experiment.batch_size=21"], "must not exceed .* which is 20"),
        (["run_experiment.num_tasks=0"], "`num_tasks` must lie between 1"),
        (["run_experiment.num_tasks=1.5"], "Received: num_tasks=1.5"),
        (["NUM_EPOCHS=0"], "`num_epochs` must be a whole number not"),
        (["NUM_EPOCHS=1.5"], "`num_epochs` must be a whole number"),
        (["run_experiment.seed='a'"], "`seed` must be a whole number"),
        (
            ["run_experiment.optimizer=@RMSprop", "RMSprop.learning_rate='a'"],
            "An optimizer must be made of values that it takes",
        ),
        (
            ["run_experiment.optimizer=@RMSprop", "RMSprop.rho='x'"],
            "`rho` must be a number",
        ),
        (["run_experiment.method='lasem'"], "method` .* such as `@Lasem`"),
        (["run_experiment.sharing='hps'"], "such as `@HardParameterSharing`"),
        (["run_experiment.sharing=@Lasem"], "sharing` must .* SharingRule"),
        (
            ["run_experiment.method=@HardParameterSharing"],
            "method` must .* LifelongMethod. Received: .*HardParameterSharing",
        ),
        (["run_experiment.dtype_policy='x'"], "`dtype_policy` must be one"),
        (["run_experiment.dtype_policy='bfloat16'"], "with weights in float32"),
        (["run_experiment.tensor_float_32='x'"], "`tensor_float_32` must be"),
        (["run_experiment.jit_compile='x'"], "`jit_compile` must be one of"),
        (["run_experiment.stream=@RMSprop"], "stream` must .* TaskStream"),
        (["run_experiment.backbone=@RMSprop"], "Received: backbone=RMSprop"),
    ],
)
def test_a_value_that_cannot_be_used_exits_with_2_and_leaves_nothing(
    tiny, elsewhere, capsys, params, message
):
    before = sorted(elsewhere.iterdir())
    with pytest.raises(SystemExit) as caught:
        command_line.main(
            lambda argv: configuration.train([tiny], params, workdir="new"),
            ["train"],
        )
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("ERROR: ")
    with pytest.raises(InputError, match=message):
        raise InputError(error, received="", remedy="")
    assert sorted(elsewhere.iterdir()) == before


def test_missing_data_are_told_how_to_get(elsewhere, monkeypatch, caplog):
    def no_network(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.raises(InputError, match="`--data_dir` or `TFDS_DATA_DIR`"):
        configuration.train(
            recipes.find_recipes(["hps_cifar.gin"]),
            SHORT,
            data_dir=str(elsewhere / "empty"),
            workdir="new",
        )
    assert not pathlib.Path("new").exists()
    assert not caplog.records, "one line is enough, and it is ours"
