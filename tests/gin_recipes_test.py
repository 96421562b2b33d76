"""The recipes in gin/: what they say is what the paper says, and they run."""

import json

import keras
import pytest
import tensorflow as tf

import lasem_tf
from lasem_tf import configuration
from lasem_tf.recipes import GIN_FOLDER
from tests.recipe_files import (
    ALL_FILES,
    LEARNERS,
    METHODS,
    RECIPES,
    SYNTHETIC,
    convolutions_of,
    name_of,
    on_made_images,
)


def test_there_are_recipes():
    assert {name_of(path) for path in ALL_FILES} >= {
        "quickstart.gin",
        "planted.gin",
        "hps_cifar.gin",
        "tf_cifar.gin",
        "dfcnn_cifar.gin",
        "hps_officehome.gin",
        "tf_officehome.gin",
        "dfcnn_officehome.gin",
        "hps_stl10.gin",
        "tf_stl10.gin",
        "dfcnn_stl10.gin",
        "dfcnn_stl10_grouped.gin",
        "dfcnn_stl10_nine_layers.gin",
        "image_folder.gin",
        "methods/lasem.gin",
        "methods/static.gin",
        "methods/lasem_fixed_posterior.gin",
        "methods/lasem_grouped.gin",
        "methods/lasem_rare_e_steps.gin",
        "methods/lasem_bfloat16_e_step.gin",
        "methods/lasem_historic_prior.gin",
        "methods/lasem_related_prior.gin",
        "methods/brute_force.gin",
        "methods/channel_gated.gin",
        "methods/darts.gin",
        "methods/dynamically_expandable.gin",
        "methods/progressive.gin",
        "methods/additive_decomposition.gin",
        "precision/mixed_bfloat16.gin",
        "datasets/arrays.gin",
        "datasets/augmented.gin",
        "datasets/cifar100.gin",
        "datasets/digits.gin",
        "datasets/image_folder.gin",
        "datasets/office_home.gin",
        "datasets/office_home_incremental.gin",
        "datasets/stl10.gin",
        "datasets/tfds_classes.gin",
        "datasets/synthetic.gin",
    }
    assert not list(GIN_FOLDER.rglob("*.py"))  # It would shadow gin-config.


@pytest.mark.parametrize("path", ALL_FILES, ids=name_of)
def test_a_header_says_where_it_comes_from(path):
    lines = path.read_text("utf-8").splitlines()
    header = "\n".join(
        line for line in lines[: lines.index("")] if line.startswith("#")
    )
    assert "Source:" in header or "Not from the paper" in header
    if path in RECIPES:
        assert "What to expect:" in header
        assert f"bin/train --gin_file=gin/{path.name}" in header
        assert "NUM_EPOCHS, NUM_TASKS, BATCH_SIZE, LEARNING_RATE" in header
    if path in METHODS:
        assert f"--gin_file=gin/methods/{path.name}" in header
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_every_recipe_builds(started, path):
    on_made_images([path])
    (run,) = started
    assert isinstance(run["method"], lasem_tf.Lasem)
    if path.name.partition("_")[0] in LEARNERS:
        assert run["method"].approximations == (), "as the paper does"
    assert keras.config.dtype_policy().name == "float32"
    assert not tf.config.experimental.tensor_float_32_execution_enabled()
    of_others = {"planted.gin": 50} | {
        f"{learner}_officehome.gin": 16 for learner in LEARNERS
    }
    assert run["batch_size"] == of_others.get(path.name, 10)


@pytest.mark.parametrize("path", METHODS, ids=name_of)
def test_every_method_goes_on_top_of_a_recipe(started, path):
    on_made_images([GIN_FOLDER / "hps_cifar.gin", path])
    (run,) = started
    expected = {
        "additive_decomposition.gin": lasem_tf.AdditiveDecomposition,
        "brute_force.gin": lasem_tf.BruteForce,
        "channel_gated.gin": lasem_tf.ChannelGated,
        "darts.gin": lasem_tf.Darts,
        "dynamically_expandable.gin": lasem_tf.DynamicallyExpandable,
        "lasem.gin": lasem_tf.Lasem,
        "lasem_average_prior.gin": lasem_tf.Lasem,
        "lasem_historic_prior.gin": lasem_tf.Lasem,
        "lasem_related_prior.gin": lasem_tf.Lasem,
        "progressive.gin": lasem_tf.Progressive,
        "lasem_grouped.gin": lasem_tf.Lasem,
        "lasem_rare_e_steps.gin": lasem_tf.Lasem,
        "lasem_bfloat16_e_step.gin": lasem_tf.Lasem,
        "static.gin": lasem_tf.Static,
        "lasem_fixed_posterior.gin": lasem_tf.FixedPosterior,
    }[path.name]
    assert type(run["method"]) is expected
    # Nothing else changes.
    learner = "hps" if run["method"].has_base_learner else "none"
    assert (run["num_epochs"], run["method"].learner) == (2000, learner)


@pytest.mark.parametrize("path", METHODS, ids=name_of)
def test_every_method_finds_the_same_head_in_the_planted_recipe(started, path):
    on_made_images([GIN_FOLDER / "planted.gin", path])
    # gin wraps what it hands out.
    assert started[0]["method"].head.__name__ == "zero_head"


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("brute_force", []),
        ("lasem_fixed_posterior", ['FixedPosterior.configuration="top_3"']),
    ],
)
def test_methods_with_candidates_heed_the_groups_of_a_recipe(
    started, method, changes
):
    on_made_images(
        [
            GIN_FOLDER / "dfcnn_stl10_grouped.gin",
            GIN_FOLDER / f"methods/{method}.gin",
        ],
        changes,
    )
    candidates = started[0]["method"]._candidates(9)
    assert len(candidates) == 8


def test_methods_say_what_their_headers_say(started):
    recipe = GIN_FOLDER / "hps_cifar.gin"
    for path in METHODS:
        on_made_images([recipe, path])
    methods = dict(
        zip(
            [path.stem for path in METHODS],
            [run["method"] for run in started],
            strict=True,
        )
    )
    assert methods["static"].configuration == "all"
    assert methods["lasem"].likelihood == "joint"
    assert methods["lasem"].prior == "counts"
    assert methods["lasem"].layer_groups is None
    assert methods["lasem"].e_step_tolerance is None
    assert methods["lasem_average_prior"].prior == "average"
    assert methods["lasem_historic_prior"].prior == "historic"
    assert methods["lasem_related_prior"].prior == "related"
    assert methods["brute_force"].candidates == "full"
    darts = methods["darts"]
    assert (darts.second_order, darts.architecture_data) == (True, "validation")
    assert methods["progressive"].compression == 2
    gated = methods["channel_gated"]
    assert (gated.sparsity_weight, gated.relevance_threshold) == (0.5, 0)
    growing = methods["dynamically_expandable"]
    assert (growing.num_epochs, growing.num_new_units) == (2000, 32)
    decomposition = methods["additive_decomposition"]
    assert decomposition.sparsity_weight == 4e-4
    assert decomposition.drift_weight == 100
    assert methods["lasem_rare_e_steps"].e_step_tolerance == 0.5
    assert methods["lasem"].e_step_dtype == "float32"
    assert methods["lasem_bfloat16_e_step"].e_step_dtype == "bfloat16"
    assert methods["lasem_grouped"].layer_groups == ((1, 2), (3, 4))
    assert methods["lasem_fixed_posterior"].configuration == "alternating"
    assert methods["lasem_fixed_posterior"].probability == 0.9


def test_lower_precision_goes_on_top_of_a_recipe(started):
    before = keras.config.dtype_policy()
    try:
        on_made_images(
            [
                GIN_FOLDER / "hps_cifar.gin",
                GIN_FOLDER / "precision" / "mixed_bfloat16.gin",
            ]
        )
        (run,) = started
        model = run["method"].backbone((32, 32, 3))
    finally:
        keras.config.set_dtype_policy(before)
    assert model.output.dtype == "bfloat16"
    assert model.layers[1].kernel.dtype == "float32"


@pytest.mark.parametrize("learner", LEARNERS)
def test_cifar_recipes_train_as_the_paper_does(started, learner):
    on_made_images([GIN_FOLDER / f"{learner}_cifar.gin"])
    (run,) = started
    method = run["method"]
    assert (run["num_epochs"], run["batch_size"]) == (2000, 10)
    assert run["evaluate_all_every"] == 0
    assert method.learner == learner
    assert method.learning_rate_decay == 1 / 4000
    optimizer = method.optimizer()
    assert isinstance(optimizer, lasem_tf.methods.RMSprop)
    assert float(optimizer.learning_rate) == pytest.approx(1e-4)
    assert (optimizer.rho, optimizer.epsilon) == (0.9, 1e-10)
    model = method.backbone((32, 32, 3))
    convolutions = [x for x in model.layers if hasattr(x, "kernel_size")]
    assert [c.filters for c in convolutions] == [32, 32, 64, 64]


def test_the_cifar_stream_is_that_of_the_paper():
    configuration.parse([GIN_FOLDER / "hps_cifar.gin"])
    text = configuration.gin.config_str()
    assert "NUM_TASKS = 10" in text
    assert "run_experiment.stream = @data.cifar100" in text
    assert "cifar100.classes_per_task = 10" in text
    assert "cifar100.train_fraction = 0.04" in text
    assert f"cifar100.validation_fraction = {1 / 6}" in text


def test_base_learners_are_sized_as_in_the_authors_tables(started):
    for learner in LEARNERS:
        on_made_images([GIN_FOLDER / f"{learner}_cifar.gin"])
    _, tensor_factorization, deconvolution = [
        run["method"].sharing for run in started
    ]
    assert tensor_factorization.orthogonality_weight == 0.1
    assert deconvolution.base_channels == (16, 24, 32, 36)
    assert deconvolution.deconv_channels == (24, 48, 64, 72)


@pytest.mark.parametrize("learner", LEARNERS)
def test_cifar_recipes_take_their_first_steps(tmp_path, learner):
    files = [
        GIN_FOLDER / f"{learner}_cifar.gin",
        GIN_FOLDER / "methods" / "static.gin",
        SYNTHETIC,
    ]
    params = [
        "NUM_EPOCHS=1",
        "NUM_TASKS=1",
        "synthetic.num_train=20",
        "synthetic.num_test=20",
    ]
    configuration.train(files, params, workdir=tmp_path / "new")
    summary = json.loads((tmp_path / "new" / "summary.json").read_text())
    assert summary["learner"] == learner
    assert summary["selected_configurations"] == ["SSSS"]


@pytest.mark.parametrize("learner", LEARNERS)
def test_office_home_recipes_train_as_the_paper_does(started, learner):
    on_made_images([GIN_FOLDER / f"{learner}_officehome.gin"])
    (run,) = started
    method = run["method"]
    assert (run["num_epochs"], run["batch_size"]) == (1000, 16)
    assert method.learner == learner
    assert method.learning_rate_decay == 1e-4
    assert float(method.optimizer().learning_rate) == pytest.approx(2e-5)
    convolutions = convolutions_of(method.backbone((128, 128, 3)))
    assert [c.filters for c in convolutions] == [64, 256, 256, 256]
    assert [c.kernel_size[0] for c in convolutions] == [11, 5, 3, 3]
    if learner == "dfcnn":
        assert method.sharing.base_channels == (24, 64, 64, 64)
        assert method.sharing.deconv_channels == (48, 128, 128, 128)


@pytest.mark.parametrize("learner", LEARNERS)
def test_stl10_recipes_train_as_the_paper_does(started, learner):
    on_made_images([GIN_FOLDER / f"{learner}_stl10.gin"])
    (run,) = started
    method = run["method"]
    assert (run["num_epochs"], run["batch_size"]) == (500, 10)
    assert method.learner == learner
    assert method.learning_rate_decay == 0
    assert float(method.optimizer().learning_rate) == pytest.approx(1e-4)
    model = method.backbone((96, 96, 3))
    filters = [c.filters for c in convolutions_of(model)]
    assert filters == [32, 32, 64, 64, 128, 128]
    dense = [x.units for x in model.layers if isinstance(x, keras.layers.Dense)]
    assert dense == ([128] if learner == "tf" else [128, 16])
    if learner == "dfcnn":
        assert method.sharing.base_channels == (12, 24, 32, 48, 64, 96)
        assert method.sharing.deconv_channels == (24, 48, 64, 96, 128, 192)


def test_nine_layers_are_shared_in_groups_or_one_by_one(started):
    for name in ("dfcnn_stl10_grouped", "dfcnn_stl10_nine_layers"):
        on_made_images([GIN_FOLDER / f"{name}.gin"])
    grouped, one_by_one = [
        run["method"]._candidates(
            len(convolutions_of(run["method"].backbone((96, 96, 3))))
        )
        for run in started
    ]
    assert len(grouped) == 8 and len(one_by_one) == 512
    assert {str(c) for c in grouped} >= {"SSSTTTSSS", "TTTTTTSSS"}


@pytest.mark.parametrize(
    ("recipe", "bindings"),
    [
        (
            "hps_officehome",
            ["run_experiment.stream = @data.office_home", "NUM_TASKS = 10"],
        ),
        (
            "hps_stl10",
            [
                "NUM_TASKS = 20",
                "data.stl10.num_tasks = %NUM_TASKS",
                "data.stl10.classes_per_task = 3",
                "data.stl10.train_fraction = 0.25",
                "data.stl10.validation_fraction = 0.15",
                "data.stl10.transformed = True",
            ],
        ),
        (
            "dfcnn_stl10_grouped",
            [
                "NUM_TASKS = 15",
                "data.stl10.classes_per_task = 5",
                "data.stl10.train_fraction = 0.1",
                "data.stl10.validation_fraction = 0.5",
            ],
        ),
    ],
)
def test_streams_are_those_of_the_paper(recipe, bindings):
    configuration.parse([GIN_FOLDER / f"{recipe}.gin"])
    lines = configuration.gin.config_str().splitlines()
    assert set(bindings) <= set(lines)


def test_augmentation_goes_on_top_of_a_recipe(started):
    files = ["hps_cifar.gin", "datasets/augmented.gin"]
    on_made_images([GIN_FOLDER / file for file in files])
    augmentation = started[0]["augmentation"]
    assert (augmentation.flip, augmentation.max_shift) == (True, 4)
